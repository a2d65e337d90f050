"""How librdkafka reaches a broker, and what it says when it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from clickstream.infra.kafka.connection import require_bootstrap
from clickstream.infra.settings import Settings

_logger = logging.getLogger("confluent_kafka")
# What matters reaches the caller as an error.
_logger.setLevel(logging.CRITICAL + 1)


class Refusals:
    """Remembers that a broker refused our credentials.

    librdkafka tries again for as long as it is asked to, and lets every call run out of time.
    """

    def __init__(self) -> None:
        self._refused: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """Called by the client with what goes wrong in the background."""
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
            self._refused = error

    def check(self) -> None:
        """Raise KafkaException where credentials were refused since the last check."""
        refused, self._refused = self._refused, None
        if refused is not None:
            raise KafkaException(refused)


def client_options(settings: Settings, note: Callable[[KafkaError], None]) -> dict[str, Any]:
    """Where the broker is, and how it knows us; `note` is called with errors of the connections.

    Raises:
        ConfigurationError: no broker is named.
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
    if settings.kafka_ca_file is not None:
        options["ssl.ca.location"] = str(settings.kafka_ca_file)
    if settings.kafka_security_protocol.startswith("SASL"):
        options["sasl.mechanism"] = settings.kafka_sasl_mechanism
        options["sasl.username"] = settings.kafka_username or ""
        password = settings.kafka_password
        options["sasl.password"] = password.get_secret_value() if password else ""
    return options
