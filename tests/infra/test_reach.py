"""Why a server does not answer: three faults, three messages, for Kafka and for Redis."""

from __future__ import annotations

import socket

import pytest

from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka import Admin
from clickstream.infra.redis import connect
from clickstream.infra.settings import load_settings
from clickstream.local.child import free_port


def error_at(server: str, address: str) -> str:
    settings = load_settings(kafka_bootstrap=address, redis_url=f"redis://{address}/0", patience="1s")
    with pytest.raises(UnavailableError) as caught:
        (Admin if server == "Kafka" else connect)(settings)
    return str(caught.value)


@pytest.mark.parametrize("server", ["Kafka", "Redis"])
def test_a_host_that_is_unknown_is_told_as_that(server: str) -> None:
    assert "the name nowhere.invalid is unknown here" in error_at(server, "nowhere.invalid:9092")


@pytest.mark.parametrize("server", ["Kafka", "Redis"])
def test_a_port_that_nothing_listens_at_is_told_as_that(server: str) -> None:
    port = free_port()
    assert f"nothing listens at 127.0.0.1:{port}" in error_at(server, f"127.0.0.1:{port}")


@pytest.mark.parametrize("server", ["Kafka", "Redis"])
def test_another_server_at_the_port_is_told_as_that(server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert f"something listens at 127.0.0.1:{port}" in error_at(server, f"127.0.0.1:{port}")
