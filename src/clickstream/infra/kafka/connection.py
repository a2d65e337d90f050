"""How a broker is reached: the options that every client of ours begins with."""

from __future__ import annotations

import logging
from typing import Any

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.kafka.credentials import (
    certificate_files,
    key_password,
    password,
    tls_context,
    uses_sasl,
    uses_tls,
)
from clickstream.infra.kafka.sasl import TokenProvider
from clickstream.infra.settings import Settings

# The client logs each retry of a server that is away; what matters reaches the caller as an error.
logging.getLogger("kafka").setLevel(logging.CRITICAL)

CLIENT = "clickstream;"
"""Begins the client id of a consumer; its rules follow, so that the group's description carries them."""


def require_bootstrap(settings: Settings) -> str:
    """Where the broker is: `host:port[,host:port]`.

    Raises:
        ConfigurationError: no broker is named.
    """
    if not settings.kafka_bootstrap:
        raise ConfigurationError(
            "no Kafka is named and no embedded one runs",
            "Start one with `clickstream up`, or set CLICKSTREAM_KAFKA_BOOTSTRAP to host:port.",
        )
    return settings.kafka_bootstrap


def request_timeout_ms(settings: Settings) -> int:
    """How long a consumer waits for a broker that keeps the connection and answers nothing.

    That is `patience`, but no more than a minute: the client closes idle connections after nine, and takes
    only what is below.
    """
    return min(settings.patience, 60_000)


def connection_options(settings: Settings) -> dict[str, Any]:
    """Where the broker is, and how it knows us.

    Raises:
        ConfigurationError: no broker is named, or a file of a certificate or secret cannot be used.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": require_bootstrap(settings).split(","),
        "security_protocol": settings.kafka_security_protocol,
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": 500,
        "bootstrap_timeout_ms": min(5_000, settings.patience),
    }
    if uses_tls(settings):
        # The client loads the files anew for each connection, and would retry for ever where it cannot.
        tls_context(settings)
        options |= certificate_files(settings, "ssl_cafile", "ssl_certfile", "ssl_keyfile")
        options["ssl_password"] = lambda: key_password(settings) or ""
    if uses_sasl(settings):
        password(settings)
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = lambda: password(settings)
        if settings.kafka_sasl_mechanism == "OAUTHBEARER":
            options["sasl_oauth_token_provider"] = TokenProvider(settings)
    return options
