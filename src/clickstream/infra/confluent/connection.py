"""How librdkafka reaches a broker, and what it says when it does not."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.kafka.connection import require_bootstrap
from clickstream.infra.kafka.credentials import (
    certificate_files,
    current_token,
    key_password,
    password,
    tls_context,
    uses_sasl,
    uses_tls,
)
from clickstream.infra.settings import Settings

_logger = logging.getLogger("confluent_kafka")
# What matters reaches the caller as an error.
_logger.setLevel(logging.CRITICAL + 1)

_FILES = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location")
_REFUSED = (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL)


class Refusals:
    """Remembers that a broker refused us, or we refused it; takes up a secret or certificate that changed.

    librdkafka tries again for as long as it is asked to, and lets every call run out of time. It reads its
    options when it is made: a password can be changed in it, certificates cannot.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._refused: KafkaError | None = None
        self._client: Consumer | None = None
        self._files = _contents(settings)
        self._password = password(settings) if _by_password(settings) else None

    def options(self) -> dict[str, Any]:
        """Those of a client that tells this one what goes wrong. Raises as `client_options`."""
        return client_options(self._settings, self.note)

    def renew(self, client: Consumer) -> None:
        """From now on, give it the password of the settings' file where that has changed."""
        self._client = client

    def note(self, error: KafkaError) -> None:
        """Called by the client with what goes wrong in the background; must not call the client itself."""
        if error.code() in _REFUSED:
            self._refused = error

    def _took_another_password(self) -> bool:
        if self._client is None or self._password is None:
            return False
        try:
            now = password(self._settings)
        except ConfigurationError:
            return False
        if now == self._password:
            return False
        self._client.set_sasl_credentials(self._settings.kafka_username or "", now)
        self._password = now
        return True

    @property
    def outdated(self) -> bool:
        """Whether files of certificates are others than this client was made of."""
        return _contents(self._settings) != self._files

    def check(self) -> None:
        """Raise KafkaException where a connection was refused since the last check, for good.

        To be called outside of the client's calls: from within them, another password aborts the process.
        """
        refused, self._refused = self._refused, None
        if refused is not None and not self._took_another_password():
            raise KafkaException(refused)


def _by_password(settings: Settings) -> bool:
    return uses_sasl(settings) and settings.kafka_sasl_mechanism != "OAUTHBEARER"


def _contents(settings: Settings) -> tuple[bytes | None, ...]:
    """Of the files that librdkafka reads once; None for one that is not there now."""

    def content(file: str) -> bytes | None:
        try:
            return Path(file).read_bytes()
        except OSError:
            return None

    files = certificate_files(settings, *_FILES) if uses_tls(settings) else {}
    return tuple(content(file) for file in files.values())


def _authorities() -> dict[str, str]:
    """Those that OpenSSL finds on this machine, by SSL_CERT_FILE and SSL_CERT_DIR too.

    librdkafka would look elsewhere. It takes one file or folder, and certificates themselves besides.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    paths = ssl.get_default_verify_paths()
    file, folder = paths.cafile, paths.capath
    if file is None or folder is None:
        return {"ssl.ca.location": found} if (found := file or folder) else {}
    try:
        certificates = Path(file).read_text("latin-1")
    except OSError as error:
        raise ConfigurationError(
            f"the authorities in {file} cannot be read: {error.strerror}",
            "Name those that count in SSL_CERT_FILE, or in CLICKSTREAM_KAFKA_CA_FILE.",
        ) from error
    there = {"ssl.ca.pem": certificates} if "-----BEGIN " in certificates else {}
    return {"ssl.ca.location": folder, **there}


def client_options(settings: Settings, note: Callable[[KafkaError], None]) -> dict[str, Any]:
    """Where the broker is, and how it knows us; `note` is called with errors of the connections.

    Raises:
        ConfigurationError: no broker is named, or a file of a certificate or secret cannot be used.
    """
    options: dict[str, Any] = {
        "bootstrap.servers": require_bootstrap(settings),
        "security.protocol": settings.kafka_security_protocol,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
        "retry.backoff.ms": 50,
        "socket.timeout.ms": settings.patience,
        "socket.connection.setup.timeout.ms": max(settings.patience // 2, 1_000),
        "socket.keepalive.enable": True,
        "allow.auto.create.topics": False,
        "error_cb": note,
        "logger": _logger,
    }
    if uses_tls(settings):
        tls_context(settings)
        options |= certificate_files(settings, *_FILES)
        if settings.kafka_ca_file is None:
            options |= _authorities()
        if (unlocks := key_password(settings)) is not None:
            options["ssl.key.password"] = unlocks
    if uses_sasl(settings):
        options["sasl.mechanism"] = settings.kafka_sasl_mechanism
        if _by_password(settings):
            options["sasl.username"] = settings.kafka_username or ""
            options["sasl.password"] = password(settings)
        else:
            options["oauth_cb"] = partial(_token, settings)
    return options


def _token(settings: Settings, _: str) -> tuple[str, float]:
    """Called by the client on a thread of its own, and again before the token ends."""
    token = current_token(settings)
    return token.text, token.expires_at
