"""What a broker is shown, whichever client shows it: files as they are now, the password, a token."""

from __future__ import annotations

import ssl
from functools import cache

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.secrets import secret
from clickstream.infra.settings import Settings
from clickstream.infra.tls import client_context
from clickstream.infra.tokens import Token, TokenSource

SETTING = "CLICKSTREAM_KAFKA"
_MOST_TOKEN_WAIT_S = 5.0


def uses_tls(settings: Settings) -> bool:
    """Whether connections are encrypted."""
    return settings.kafka_security_protocol.endswith("SSL")


def uses_sasl(settings: Settings) -> bool:
    """Whether a user and a password or token are asked for."""
    return settings.kafka_security_protocol.startswith("SASL")


def certificate_files(settings: Settings, ca: str, certificate: str, key: str) -> dict[str, str]:
    """The paths of the files for TLS that are set, by what a client calls them."""
    files = {
        ca: settings.kafka_ca_file,
        certificate: settings.kafka_certificate_file,
        key: settings.kafka_key_file,
    }
    return {name: str(file.expanduser()) for name, file in files.items() if file is not None}


def tls_context(settings: Settings) -> ssl.SSLContext:
    """What the files of the settings give.

    Raises:
        ConfigurationError: one is missing or is not what it should be.
    """
    return client_context(
        SETTING,
        settings.kafka_ca_file,
        settings.kafka_certificate_file,
        settings.kafka_key_file,
        key_password(settings),
    )


def key_password(settings: Settings) -> str | None:
    """Of the key of the client's certificate."""
    return secret(settings, "kafka_key_password")


def password(settings: Settings) -> str:
    """The password as it is now.

    Raises:
        ConfigurationError: none is set, or its file cannot be read.
    """
    found = secret(settings, "kafka_password")
    if found is None:
        raise ConfigurationError(
            f"kafka_security_protocol is {settings.kafka_security_protocol}, and no password is set",
            "Set CLICKSTREAM_KAFKA_PASSWORD, or CLICKSTREAM_KAFKA_PASSWORD_FILE.",
        )
    return found


@cache
def _tokens(url: str, scope: str | None, timeout_s: float) -> TokenSource:
    return TokenSource(url, scope, timeout_s)


def token_source(settings: Settings) -> TokenSource:
    """That of the settings' endpoint, one for all clients of this process."""
    if settings.kafka_token_url is None:
        raise ConfigurationError(
            "kafka_sasl_mechanism is OAUTHBEARER, and no token endpoint is set",
            "Set CLICKSTREAM_KAFKA_TOKEN_URL.",
        )
    wait_s = min(_MOST_TOKEN_WAIT_S, settings.patience / 1000)
    return _tokens(settings.kafka_token_url, settings.kafka_token_scope, wait_s)


def current_token(settings: Settings) -> Token:
    """A token that is good for a while. Raises as `TokenSource.token`."""
    return token_source(settings).token(settings.kafka_username or "", password(settings))
