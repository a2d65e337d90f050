"""Where Redis is and who we are there: the settings, read into what a client is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from redis.connection import SSLConnection, parse_url
from redis.credentials import CredentialProvider

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.reach import absence
from clickstream.infra.secrets import secret
from clickstream.infra.settings import Settings
from clickstream.infra.tls import client_context

_VARIABLE = "CLICKSTREAM_REDIS_URL"
_DEFAULT_PORT = 6379
_REMEDIES = {
    "username": "Write it before the host: redis://user@host:port/0.",
    "password": "Set CLICKSTREAM_REDIS_PASSWORD, or CLICKSTREAM_REDIS_PASSWORD_FILE.",
    "ssl_ca_certs": "Set CLICKSTREAM_REDIS_CA_FILE.",
    "ssl_certfile": "Set CLICKSTREAM_REDIS_CERTIFICATE_FILE.",
    "ssl_keyfile": "Set CLICKSTREAM_REDIS_KEY_FILE.",
    "ssl_cert_reqs": "Certificates are always checked: name the authority in CLICKSTREAM_REDIS_CA_FILE.",
    "ssl_check_hostname": "Names of hosts are always checked: connect by one that the certificate has.",
    "socket_timeout": "Set CLICKSTREAM_PATIENCE.",
}
"""What is meant for those that the client library would take from a URL."""


class Password(CredentialProvider):
    """User, and the password as it is at the moment of a connection."""

    def __init__(self, settings: Settings, name: str, username: str | None = None) -> None:
        """`name` is that of the secret setting."""
        self._settings = settings
        self._name = name
        self._username = username

    def get_credentials(self) -> tuple[str, str] | tuple[str]:
        """User, if there is one, and password. Raises as `secret`."""
        password = secret(self._settings, self._name) or ""
        return (self._username, password) if self._username else (password,)


def given(settings: Settings, name: str) -> bool:
    """Whether the secret setting `name` is there, by itself or in a file."""
    return getattr(settings, name) is not None or getattr(settings, f"{name}_file") is not None


@dataclass(frozen=True)
class RedisAddress:
    """One server, the first nodes of a cluster, or Sentinels.

    Attributes:
        hosts: each with its port; of a socket in the file system, none.
        encrypted: the URL says `rediss`.
        options: what a connection to a server of Redis is made with, but for host and port.
    """

    hosts: tuple[tuple[str, int], ...]
    encrypted: bool
    options: Mapping[str, Any]

    @property
    def tls(self) -> dict[str, Any]:
        """The options that concern TLS alone, as Sentinels take them too."""
        return {name: value for name, value in self.options.items() if name.startswith("ssl_")}


def redis_address(settings: Settings) -> RedisAddress:
    """The settings `redis_…`, read.

    Raises:
        ConfigurationError: no URL, a malformed one, or settings that contradict it.
    """
    if settings.redis_url is None:
        raise ConfigurationError(
            "no Redis is named and no embedded one runs",
            f"Start one with `clickstream up`, or set {_VARIABLE} to redis://host:port/0.",
        )
    try:
        hosts, options = _read(settings.redis_url.get_secret_value())
    except ValueError:
        # An unescaped character in the password; the message of the error would show a piece of it.
        raise ConfigurationError(
            f"{_VARIABLE} is malformed",
            "Write it as redis://[user:password@]host:port/0, with / : @ of the password as %2F %3A %40;"
            " rediss:// for TLS, and host:port,host:port for several nodes of a cluster or Sentinels.",
        ) from None
    _refuse_parameters(settings.redis_url.get_secret_value())
    encrypted = options.get("connection_class") is SSLConnection
    files = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_certificate_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    named = {name: str(file.expanduser()) for name, file in files.items() if file is not None}
    if encrypted:
        # The library reads them for each connection, and has no words for what is wrong with them.
        client_context(
            "CLICKSTREAM_REDIS",
            settings.redis_ca_file,
            settings.redis_certificate_file,
            settings.redis_key_file,
        )
    elif named:
        raise ConfigurationError(
            f"{_VARIABLE} begins with redis://, and files for TLS are set",
            "Write it with rediss://, or leave out CLICKSTREAM_REDIS_CA_FILE, _CERTIFICATE_FILE, _KEY_FILE.",
        )
    if settings.redis_cluster and settings.redis_sentinel_service is not None:
        raise ConfigurationError(
            "CLICKSTREAM_REDIS_CLUSTER and CLICKSTREAM_REDIS_SENTINEL_SERVICE are both set",
            "A Redis Cluster fails over by itself; Sentinels watch servers that are no cluster. Set one.",
        )
    if not hosts and (settings.redis_cluster or settings.redis_sentinel_service is not None):
        raise ConfigurationError(
            f"{_VARIABLE} names a socket of this machine, and no cluster or Sentinel",
            "Write it as redis://host:port,host:port.",
        )
    if len(hosts) > 1 and not settings.redis_cluster and settings.redis_sentinel_service is None:
        raise ConfigurationError(
            f"{_VARIABLE} names {len(hosts)} hosts",
            "Set CLICKSTREAM_REDIS_CLUSTER if they are nodes of a Redis Cluster,"
            " CLICKSTREAM_REDIS_SENTINEL_SERVICE if they are Sentinels; else name one.",
        )
    if given(settings, "redis_password"):
        if options.pop("password", None) is not None:
            raise ConfigurationError(
                f"{_VARIABLE} has a password, and CLICKSTREAM_REDIS_PASSWORD or its file is set",
                "One is enough: leave the password out of the URL, and keep the user (redis://user@host:port/0).",
            )
        options["credential_provider"] = Password(settings, "redis_password", options.pop("username", None))
    return RedisAddress(hosts, encrypted, options | named)


def address(settings: Settings) -> str:
    """Host and port of the server, or of the first of several, without the password."""
    if settings.redis_url is None:
        return "nowhere"
    try:
        hosts, options = _read(settings.redis_url.get_secret_value())
    except ValueError:
        return f"the address in {_VARIABLE}"
    return f"{hosts[0][0]}:{hosts[0][1]}" if hosts else str(options.get("path"))


def redis_absence(settings: Settings) -> tuple[str, str]:
    """Why nobody answers at the first host, and what to do about it."""
    what, remedy = "it cannot be reached", f"Check that it runs and that {_VARIABLE} names it."
    if settings.redis_url is None:
        return what, remedy
    try:
        hosts, options = _read(settings.redis_url.get_secret_value())
    except ValueError:
        return what, remedy
    if len(hosts) == 1:
        what, remedy = absence(*hosts[0], "Redis", _VARIABLE)
    elif hosts:
        what, remedy = "none of the hosts does", f"Check that they run and that {_VARIABLE} names them."
    if options.get("connection_class") is SSLConnection and settings.redis_certificate_file is None:
        # A server that wants a certificate may hang up before its reason has arrived.
        remedy += " If it asks for a certificate, name ours in CLICKSTREAM_REDIS_CERTIFICATE_FILE."
    return what, remedy


def _refuse_parameters(url: str) -> None:
    """The client library takes all its options from a URL: one would switch off what makes TLS safe."""
    for name in parse_qs(urlsplit(url).query, keep_blank_values=True):
        if name != "db":
            raise ConfigurationError(
                f"{_VARIABLE} has the parameter {name!r}; none but db is taken",
                _REMEDIES.get(name, "Leave it out of the URL."),
            )


def _read(url: str) -> tuple[tuple[tuple[str, int], ...], dict[str, Any]]:
    """The hosts of a URL, and all else that it says. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return (), _parsed(url)
    login, at, places = parts.netloc.rpartition("@")
    each = [urlsplit(f"//{place}") for place in places.split(",")]
    options = _parsed(urlunsplit(parts._replace(netloc=f"{login}{at}{places.split(',')[0]}")))
    options.pop("host", None)
    options.pop("port", None)
    if not all(place.hostname for place in each):
        raise ValueError("a host is missing")
    return tuple((str(place.hostname), place.port or _DEFAULT_PORT) for place in each), options


def _parsed(url: str) -> dict[str, Any]:
    found: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    return found
