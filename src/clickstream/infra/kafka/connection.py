"""How a broker is reached: the options that every client of ours begins with."""

from __future__ import annotations

import logging
from typing import Any

from clickstream.infra.errors import ConfigurationError
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


def connection_options(settings: Settings) -> dict[str, Any]:
    """Where the broker is, and how it knows us.

    Raises:
        ConfigurationError: no broker is named.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": require_bootstrap(settings).split(","),
        "security_protocol": settings.kafka_security_protocol,
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": 500,
        "bootstrap_timeout_ms": min(5_000, settings.patience),
    }
    if settings.kafka_ca_file is not None:
        options["ssl_cafile"] = str(settings.kafka_ca_file)
    if settings.kafka_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        password = settings.kafka_password
        options["sasl_plain_password"] = password.get_secret_value() if password else None
    return options
