"""Everything has a bound, and at its bound does what the documentation says."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
import pytest
from factory import click_json
from shop import Shop, plan_of, scraped, stop, wait_for

from clickstream.bundles.bundle import load_bundle
from clickstream.consumer.assembly import open_engine
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.embedded import EmbeddedKafka, EmbeddedValkey
from clickstream.local.processes import Process

pytestmark = pytest.mark.integration


def test_sessions_waiting_clicks_crowds_and_records_beyond_their_bounds(shop: Shop) -> None:
    tight = {"max_clicks": 4, "max_pending": 2, "max_open_sessions": 5, "max_record_bytes": 256}
    shop.settings = shop.settings.model_copy(update=tight | {"max_poll_records": 70})
    shop.publish(plan_of(shop.settings, 300))
    at = 1_218_600_000_000
    shop.send(0, b"s", b'{"type": "click", "note": "%s"}' % (b"x" * 300), at)
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)

    report = shop.audit()
    assert report.clean, report
    scores = shop.scores()
    assert {score["clicks"] for score in scores} == {1, 2, 3, 4}
    closed_by = Counter(score["closed_by"] for score in scores)
    assert closed_by["limit"] > len(scores) / 2, closed_by
    assert {"too-large": 1}.items() <= Counter(letter["reason"] for letter in shop.dead_letters()).items()


def test_a_step_ends_early_when_few_records_close_very_many_sessions(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One flush on each of eight partitions would close all sessions in one step."""
    sessions, most = 400, 20
    at = 1_218_600_000_000
    clicks = [
        (
            number % shop.topic.partitions,
            b"s%d" % number,
            click_json(session_id=f"s{number}", event_time=at),
            at,
        )
        for number in range(sessions)
    ]
    flush = orjson.dumps({"type": "heartbeat", "event_time": at, "flush": True})
    shop.send_all([*clicks, *((partition, None, flush, at) for partition in range(shop.topic.partitions))])
    settings = shop.settings.model_copy(update={"max_poll_records": most})
    engine = open_engine(settings, load_bundle(settings))
    closed: list[int] = []
    score = WindowScorer.score

    def counted(scorer: WindowScorer, windows: Sequence[UnscoredWindow], shown: Any) -> list[bytes | None]:
        closed.append(len(windows))
        return score(scorer, windows, shown)

    monkeypatch.setattr(WindowScorer, "score", counted)
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        shop.drain()
    finally:
        engine.stop()
        thread.join(30)
    assert sum(closed) == sessions
    # The record that reaches the bound closes all that it closes: it counts as a whole.
    assert max(closed) == sessions // shop.topic.partitions
    report = shop.audit()
    assert report.clean, report
    assert report.scored == sessions


def test_servers_that_go_away_are_waited_for_without_piling_up_or_spinning(shop: Shop) -> None:
    with EmbeddedValkey(shop.folder / "valkey") as valkey, EmbeddedKafka(shop.folder / "kafka") as kafka:
        changes = {
            "kafka_bootstrap": kafka.bootstrap,
            "redis_url": valkey.url,
            "max_poll_records": 50,
            "patience": 4_000,
            "metrics_port": free_port(),
        }
        here = Shop(Settings(**(shop.settings.model_dump() | changes)), shop.folder / "own")
        try:
            plan = plan_of(here.settings, 900)
            here.publish(plan, until=4_500)
            consumer = here.consumer("one")
            wait_for(lambda: here.scored() > 300, "work began")
            kafka.kill()
            assert_waits_without_spinning(here, consumer, "Kafka")
            assert outbox(here) <= 3 * here.settings.max_poll_records
            kafka.start()
            wait_for(lambda: reasons(here) == [], "ready again after Kafka came back")
            here.drain(consumer)

            # Idle, the loop does not notice. Stopped, Kafka comes back without a start.
            assert kafka.pid is not None
            os.kill(kafka.pid, signal.SIGSTOP)
            try:
                wait_for(lambda: is_ready(here) == 0, "Kafka away, said though nothing is to do", 15)
            finally:
                os.kill(kafka.pid, signal.SIGCONT)
            wait_for(lambda: is_ready(here) == 1, "ready again after Kafka went on")

            # In this order there is work that Redis is needed for, however quick the machine is.
            before = scraped(here.settings)
            valkey.kill()
            wait_for(lambda: is_ready(here) == 0, "Redis away, said though nothing is to do", 15)
            here.publish(plan, after=4_500)
            assert_waits_without_spinning(here, consumer, "Redis")
            assert scraped(here.settings)["ready",] == 0
            valkey.start()
            wait_for(lambda: reasons(here) == [], "ready again after Redis came back")
            here.drain(consumer)
            assert_told(here, before)
            stop(consumer)
            report = here.audit()
            assert report.clean, report
            assert report.scored == 900
        finally:
            here.close()


def assert_told(shop: Shop, before: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """The metrics since `before` tell of an outage that is over: recoveries, every partition claimed anew."""
    wait_for(lambda: scraped(shop.settings).get(("lag_records",)) == 0, "the lag is gone")
    now = scraped(shop.settings)
    assert now["recoveries_total",] > before["recoveries_total",]
    claims = sum(now[key] - before[key] for key in now if key[0] == "claims_total")
    assert claims >= shop.topic.partitions
    assert now["partitions", "served"] == shop.topic.partitions
    assert now["ready",] == 1
    return now


def assert_waits_without_spinning(shop: Shop, consumer: Process, server: str) -> None:
    away = f"{server} does not answer; the log says more"
    found: list[str] = []

    def is_told() -> bool:
        found[:] = reasons(shop) or []
        return away in found

    wait_for(is_told, f"not ready, because of {server}", deadline_s=5)
    # Whoever reaches the port may ask: where the servers are is not said.
    assert "127.0.0.1" not in " ".join(found)
    recovering, began, cpu_began = tries(consumer), time.monotonic(), cpu_seconds(consumer)
    wait_for(lambda: time.monotonic() - began > 5, "some seconds passed")
    seconds = time.monotonic() - began
    assert (cpu_seconds(consumer) - cpu_began) / seconds < 0.5
    # The longest wait between two tries is 2 s, the shortest 0.1 s, doubled each time.
    assert tries(consumer) - recovering < 6 + seconds
    assert consumer.poll() is None


def is_ready(shop: Shop) -> float:
    """As Prometheus is told; nobody asks /readyz meanwhile."""
    return scraped(shop.settings)["ready",]


def reasons(shop: Shop) -> list[str] | None:
    """Why the consumer is not ready; none when it is; None when it does not answer."""
    url = f"http://127.0.0.1:{shop.settings.metrics_port}/readyz"
    try:
        with urlopen(url, timeout=10) as answer:
            found: list[str] = orjson.loads(answer.read())["reasons"]
    except HTTPError as error:
        found = orjson.loads(error.read())["reasons"]
    except OSError:
        return None
    return found


def tries(consumer: Process) -> int:
    return consumer.log.read_text().count('"recovering"')


def cpu_seconds(consumer: Process) -> float:
    fields = Path(f"/proc/{consumer.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def outbox(shop: Shop) -> int:
    """Records that wait in Redis for Kafka."""
    client = connect(shop.settings)
    try:
        return sum(client.xlen(keys[3]) for keys in shop.redis_keys())
    finally:
        client.close()
