"""Whether a process makes progress, and whether it can: as whoever watches over it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
import pytest
from pydantic import SecretStr
from shop import wait_for
from structlog.testing import capture_logs

from clickstream.infra.errors import UnavailableError
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.monitoring import health as module
from clickstream.monitoring.health import STUCK_AFTER_S, Health, KafkaProbe, RedisProbe
from clickstream.monitoring.serving import served


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A server that is there or not, and counts how often it was asked."""

    server = "redis"

    def __init__(self) -> None:
        self.away = False
        self.asked = 0
        self.closed = False
        self.let_go = threading.Event()
        """Until it is set, a question is not answered."""
        self.let_go.set()

    def __call__(self) -> None:
        assert not self.closed
        self.asked += 1
        assert self.let_go.wait(10)
        if self.away:
            raise UnavailableError("the server does not answer")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def health(clock: Clock, server: Server) -> Health:
    return Health([server], clock)


def test_it_is_not_ready_before_its_first_turn(health: Health) -> None:
    assert health.alive().good
    assert health.ready() == (False, {"reasons": ["it is starting"]})


def test_it_is_ready_when_its_loop_turns_and_the_server_answers(health: Health) -> None:
    health.turned(partitions=[0, 3])
    assert health.ready() == (True, {"reasons": [], "partitions": [0, 3]})


def test_what_is_in_the_way_is_a_reason_until_it_is_gone(health: Health) -> None:
    health.turned(["recovering: Redis is full"])
    assert health.ready().content["reasons"] == ["recovering: Redis is full"]
    health.turned()
    assert health.ready().good


def test_a_server_that_is_away_is_a_reason_to_wait_and_none_to_restart(
    health: Health, server: Server, clock: Clock
) -> None:
    server.away = True
    health.turned()
    assert health.ready() == (False, {"reasons": ["Redis does not answer; the log says more"]})
    assert health.alive().good
    server.away = False
    clock.now += 1.0
    assert health.ready().good


def test_how_long_a_server_is_away_counts_from_the_first_question_that_it_did_not_answer(
    health: Health, server: Server, clock: Clock
) -> None:
    def away() -> float:
        return gauge(health, "clickstream_server_away_seconds")

    health.ready()
    assert away() == 0
    server.away = True
    clock.now += 5
    health.ready()
    for seconds in (0, 7, 30):
        clock.now += seconds
        health.ready()
    assert away() == 37
    clock.now += 1
    assert away() == 38, "it grows also while nobody asks"
    server.away = False
    health.ready()
    assert away() == 0


def test_servers_are_asked_once_a_second_however_often_somebody_looks(
    health: Health, server: Server, clock: Clock
) -> None:
    for _ in range(5):
        health.ready()
    assert server.asked == 1
    clock.now += 1.0
    health.ready()
    assert server.asked == 2


def test_a_loop_that_stands_still_is_neither_alive_nor_ready(health: Health, clock: Clock) -> None:
    health.turned()
    clock.now += STUCK_AFTER_S
    assert health.alive() == (False, {"last_turn_s": STUCK_AFTER_S})
    assert health.ready().content["reasons"] == ["its loop has not turned for 90 s"]


def test_a_loop_that_waits_is_not_ready_long_before_it_counts_as_dead(health: Health, clock: Clock) -> None:
    health.turned()
    clock.now += 15.0
    assert health.alive().good
    assert health.ready().content["reasons"] == ["its loop has not turned for 15 s"]
    assert gauge(health) == 0


def gauge(health: Health, name: str = "clickstream_ready") -> float:
    (sample,) = (one for one in health.samples() if one.name == name)
    assert isinstance(sample.value, (int, float))
    return sample.value


@pytest.fixture
def watched(health: Health, monkeypatch: pytest.MonkeyPatch) -> Iterator[Health]:
    """It asks the servers by itself, once its clock says that it is time."""
    monkeypatch.setattr(module, "_WATCH_EVERY_S", 0.01)
    health.turned()
    with served("127.0.0.1", free_port(), health=health):
        yield health


def test_the_gauge_follows_a_server_though_nobody_asks_and_the_loop_is_content(
    watched: Health, server: Server, clock: Clock
) -> None:
    wait_for(lambda: server.asked == 1, "asked", 5)
    assert gauge(watched) == 1
    server.away = True
    clock.now += 1.0
    wait_for(lambda: gauge(watched) == 0, "the gauge says that it is away", 5)
    server.away = False
    clock.now += 1.0
    wait_for(lambda: gauge(watched) == 1, "the gauge says that it is back", 5)
    watched.turned(["recovering: Redis is full"])
    assert gauge(watched) == 0


def test_the_gauge_waits_for_no_server_and_the_end_leaves_nothing(
    watched: Health, server: Server, clock: Clock
) -> None:
    wait_for(lambda: server.asked == 1, "asked", 5)
    server.let_go.clear()
    clock.now += 1.0
    wait_for(lambda: server.asked == 2, "asked again", 5)
    assert gauge(watched) == 1
    # The connection is dropped after the question that is under way, not under it.
    closing = threading.Thread(target=watched.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    assert not server.closed
    server.let_go.set()
    closing.join(10)
    assert server.closed
    assert "health" not in {thread.name for thread in threading.enumerate()}
    clock.now += 1.0
    assert not watched.ready().content["reasons"]
    assert server.asked == 2


def test_a_probe_that_breaks_is_a_reason_and_not_the_end_of_asking(
    watched: Health, server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for(lambda: server.asked == 1, "asked", 5)
    with monkeypatch.context() as broken, capture_logs() as logged:
        broken.setattr(Server, "__call__", lambda _: [][1])
        clock.now += 1.0
        wait_for(lambda: gauge(watched) == 0, "the gauge says that something is wrong", 5)
        assert watched.ready().content["reasons"] == ["asking Redis failed; the log says more"]
        assert "IndexError" in logged[0]["error"]
    clock.now += 1.0
    wait_for(lambda: gauge(watched) == 1, "the gauge says that it is well again", 5)


@pytest.fixture
def address(health: Health) -> Iterator[str]:
    with served("127.0.0.1", free_port(), health=health) as port:
        yield f"http://127.0.0.1:{port}"


def get(url: str) -> tuple[int, Any]:
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, orjson.loads(answer.read())
    except HTTPError as error:
        return error.code, orjson.loads(error.read())


def test_it_is_told_over_http_with_the_reasons(address: str, health: Health) -> None:
    assert get(f"{address}/readyz") == (503, {"ready": False, "reasons": ["it is starting"]})
    health.turned(partitions=[1])
    assert get(f"{address}/readyz") == (200, {"ready": True, "reasons": [], "partitions": [1]})
    status, alive = get(f"{address}/healthz")
    assert (status, alive["alive"]) == (200, True)


def test_another_path_is_not_found_and_names_those_there_are(address: str) -> None:
    with pytest.raises(HTTPError) as caught:
        urlopen(f"{address}/health", timeout=10)
    assert caught.value.code == 404
    assert b"/readyz" in caught.value.read()


@pytest.mark.parametrize("probe", [RedisProbe, KafkaProbe])
def test_where_a_server_is_that_is_away_is_in_the_log_alone_and_once(
    probe: type[RedisProbe | KafkaProbe], clock: Clock
) -> None:
    nowhere = Settings(kafka_bootstrap="127.0.0.1:9", redis_url=SecretStr("redis://127.0.0.1:9/0"))
    asked = Health([probe(nowhere)], clock)
    asked.turned()
    with capture_logs() as logged:
        for _ in range(2):
            (reason,) = asked.ready().content["reasons"]
            assert reason == f"{probe.server.capitalize()} does not answer; the log says more"
            clock.now += 1.0
    (said,) = logged
    assert "127.0.0.1:9" in said["error"]
    asked.close()


def test_a_server_that_is_back_is_logged(health: Health, server: Server, clock: Clock) -> None:
    with capture_logs() as logged:
        for away in (True, False, False):
            server.away = away
            clock.now += 1.0
            health.ready()
    assert [(one["event"], one["server"]) for one in logged] == [
        ("server away", "redis"),
        ("server is back", "redis"),
    ]
