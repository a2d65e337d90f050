"""Passwords and tokens that go over a network as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from clickstream.infra.errors import ClickstreamError
from clickstream.infra.reach import hosts_of, is_this_machine
from clickstream.infra.redis_address import given, redis_address
from clickstream.infra.settings import Settings
from clickstream.operate.doctor.check import Check

_SHOWN = {"PLAIN": "password", "OAUTHBEARER": "token"}
"""By mechanism, what it hands to the broker as it is; SCRAM proves a password without showing it."""


def check_plaintext(settings: Settings) -> Iterator[Check]:
    """Warn of each server beyond this machine that is shown a secret without TLS. Connects to nothing.

    Settings that contradict each other are told when the servers are asked.
    """
    shown = _SHOWN.get(settings.kafka_sasl_mechanism)
    if settings.kafka_security_protocol == "SASL_PLAINTEXT" and shown is not None:
        for host, port in hosts_of(settings.kafka_bootstrap):
            if not is_this_machine(host):
                yield Check(
                    "kafka",
                    "warn",
                    f"our {shown} goes to {host}:{port} unencrypted"
                    f" (SASL_PLAINTEXT, {settings.kafka_sasl_mechanism})",
                    "Set CLICKSTREAM_KAFKA_SECURITY_PROTOCOL to SASL_SSL, and name a port of it that has"
                    " TLS; else who listens on the way has it.",
                )
    with suppress(ClickstreamError):
        found = redis_address(settings) if settings.redis_url is not None else None
        if found is None or found.encrypted:
            return
        secret = "password" in found.options or given(settings, "redis_password")
        if secret or given(settings, "redis_sentinel_password"):
            for host, port in found.hosts:
                if not is_this_machine(host):
                    yield Check(
                        "redis",
                        "warn",
                        f"the password goes to {host}:{port} unencrypted (redis://)",
                        "Write CLICKSTREAM_REDIS_URL with rediss://, and the port that has TLS; else who"
                        " listens on the way has it.",
                    )
