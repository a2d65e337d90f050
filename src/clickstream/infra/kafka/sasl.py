"""Passwords and tokens for kafka-python, read anew for each connection: its own way reads them once."""

from __future__ import annotations

from typing import Any

from kafka.net.sasl import register_sasl_mechanism
from kafka.net.sasl.oauth import AbstractTokenProvider
from kafka.net.sasl.plain import SaslMechanismPlain
from kafka.net.sasl.scram import SaslMechanismScram

from clickstream.infra.kafka.credentials import current_token
from clickstream.infra.settings import Settings


def _as_it_is_now(config: dict[str, Any]) -> dict[str, Any]:
    password = config.get("sasl_plain_password")
    return {**config, "sasl_plain_password": password()} if callable(password) else config


class _Plain(SaslMechanismPlain):  # type: ignore[misc]
    def __init__(self, **config: Any) -> None:
        super().__init__(**_as_it_is_now(config))


class _Scram(SaslMechanismScram):  # type: ignore[misc]
    def __init__(self, **config: Any) -> None:
        super().__init__(**_as_it_is_now(config))


# The client makes one of these a connection. A password that is no function means what it always did.
register_sasl_mechanism("PLAIN", _Plain, overwrite=True)
register_sasl_mechanism("SCRAM-SHA-256", _Scram, overwrite=True)
register_sasl_mechanism("SCRAM-SHA-512", _Scram, overwrite=True)


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens of the endpoint that settings name."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def token(self) -> str:
        """Called on the client's I/O thread, which waits for the endpoint where the last token is old."""
        return current_token(self._settings).text
