"""How a client of Kafka is opened: which address answers, and what stays where none does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka import Admin, Producer, Reader
from clickstream.infra.settings import Settings

EITHER = pytest.mark.parametrize(
    "kind",
    [Admin, Producer, lambda settings: Reader(settings, "clicks")],
    ids=["admin", "producer", "reader"],
)
Kind = Callable[[Settings], Admin | Producer | Reader]


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server that takes connections and says nothing, as a frozen broker's."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@EITHER
def test_a_server_that_says_nothing_leaves_no_thread_behind(kind: Kind, mute: str) -> None:
    before = threading.active_count()
    with pytest.raises(UnavailableError, match="does not answer"):
        kind(Settings(kafka_bootstrap=mute, patience=1_000))
    assert threading.active_count() == before


@pytest.mark.integration
def test_of_several_addresses_one_that_answers_is_enough(settings: Settings, mute: str) -> None:
    both = settings.model_copy(update={"kafka_bootstrap": f"{mute},{settings.kafka_bootstrap}"})
    # The order is by chance: that it was the right one each time has one chance in 16.
    for _ in range(4):
        with closing(Admin(both)) as admin:
            assert admin.describe_topic("there-is-none") is None
