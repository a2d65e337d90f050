"""What a running group tells whoever watches it: its metrics, and `clickstream top`."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing

import orjson
import pytest
from factory import click_json
from shop import Shop, plan_of, scraped, stop, wait_for

from clickstream.infra.kafka import Producer
from clickstream.local.child import free_port
from clickstream.local.processes import Process, environment
from clickstream.operate.group import Watcher
from clickstream.producer.faults import FaultOptions

pytestmark = pytest.mark.integration

FAULTS = FaultOptions(late=0.02, duplicate=0.03, drop=0.03, malformed=0.02)


def labelled(found: dict[tuple[str, ...], float], name: str) -> dict[str, float]:
    """Label -> value, where it is not 0."""
    return {
        label: value for (one, *labels), value in found.items() if one == name and value for label in labels
    }


def test_the_metrics_say_what_was_published(shop: Shop) -> None:
    shop.settings = shop.settings.model_copy(update={"metrics_port": free_port(), "max_poll_records": 500})
    plan = plan_of(shop.settings, 400, faults=FAULTS)
    shop.publish(plan)
    consumer = shop.consumer()
    shop.drain(consumer)
    wait_for(lambda: scraped(shop.settings).get(("lag_records",)) == 0, "the lag is gone")
    found = scraped(shop.settings)
    scores, letters = shop.scores(), shop.dead_letters()
    assert found["records_total",] == shop.records()
    assert found["clicks_total",] + found["heartbeats_total",] + len(letters) >= shop.records()
    assert found["scores_total",] == found["close_to_score_seconds_count",] == len(scores)
    assert 0 < found["close_to_score_seconds_sum",] < 60 * len(scores)
    for name in ("late", "duplicates", "missing"):
        assert found[f"{name}_total",] == sum(int(str(score[name])) for score in scores) > 0, name
    assert labelled(found, "sessions_closed_total") == Counter(score["closed_by"] for score in scores)
    assert labelled(found, "dead_letters_total") == Counter(letter["reason"] for letter in letters)
    partitions = shop.topic.partitions
    assert labelled(found, "partitions") == {"served": partitions}
    assert labelled(found, "claims_total") == {"new": partitions}
    assert found["ready",] == 1
    assert found["open_sessions",] == found["lag_records",] == 0
    assert ("watermark_lag_seconds",) not in found
    assert found["stage_runs_total", "publish"] == found["transactions_total",] > 0
    assert found["stage_seconds_total", "publish"] > 0
    assert found["redis_round_trips_total",] >= found["steps_total",] * 2
    for name in ("recoveries_total", "transaction_failures_total", "suppressed_total", "republished_total"):
        assert found[name,] == 0, name
    assert_top_sees_it(shop, consumer)
    stop(consumer)


def assert_top_sees_it(shop: Shop, consumer: Process) -> None:
    """All done, one member, ready: as JSON and as a table."""
    words = [sys.executable, "-m", "clickstream", "top", "--once"]
    words += ["--metrics", f"127.0.0.1:{shop.settings.metrics_port}", "--metrics", "127.0.0.1:9"]
    with_json, table = (
        subprocess.run(
            words + more, env=environment(shop.settings), capture_output=True, timeout=90, check=True
        )
        for more in (["--json"], [])
    )
    seen = orjson.loads(with_json.stdout)
    partitions = list(range(shop.topic.partitions))
    (member,) = seen["members"].values()
    assert member == partitions
    assert seen["group_state"] == "Stable"
    assert seen["open_sessions"] == seen["lag_records"] == seen["lag_event_seconds"] == 0
    assert [row["committed"] for row in seen["partitions"]] == [row["end"] for row in seen["partitions"]]
    assert all(row["newest"] == row["last"] for row in seen["partitions"])
    ready, away = seen["consumers"]
    assert ready["ready"]
    assert ready["partitions"] == partitions
    assert 0 < ready["latency"]["p50"] <= ready["latency"]["p99"]
    assert ready["metrics"]["clickstream_scores_total"] == len(shop.scores())
    assert ready["metrics"]["clickstream_open_scores_total"] == 0
    assert away["away"]
    text = table.stdout.decode()
    assert "Stable, 1 member" in text
    assert "yes, 8 partitions" in text
    assert consumer.poll() is None


def test_top_follows_a_group_in_a_pipe_and_ends_at_ctrl_c(shop: Shop) -> None:
    plan = plan_of(shop.settings, 300)
    words = [sys.executable, "-m", "clickstream", "top"]
    with subprocess.Popen(words, env=environment(shop.settings), stdout=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        first = orjson.loads(watching.stdout.readline())
        assert (first["group_state"], first["open_sessions"]) == ("Dead", 0)
        shop.publish(plan, until=1_200)
        consumer = shop.consumer()
        shop.drain(consumer)
        lines = map(orjson.loads, watching.stdout)
        open_sessions = shop.open_sessions()
        seen = next(
            line for line in lines if line["lag_records"] == 0 and line["open_sessions"] == open_sessions
        )
        assert seen["group_state"] == "Stable"
        assert next(line for line in lines if line["scores_a_second"] == 0)["committed_a_second"] >= 0
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=30)
    assert watching.returncode == 0
    stop(consumer)


def test_a_look_lasts_as_long_as_it_should_however_many_scores_come(shop: Shop) -> None:
    """Rates over a few milliseconds would say anything. Dead letters are read as long as scores."""
    with closing(Watcher(shop.settings)) as watcher, closing(Producer(shop.settings)) as producer:
        first = watcher.snapshot(0)
        for _ in range(50):
            producer.send(shop.settings.scores_topic, 0, b"alice", b"{}")
            producer.send(shop.settings.dead_letter_topic, 0, b"alice", b"{}")
        producer.flush()
        second = watcher.snapshot(1_000)
    assert second.at - first.at >= 1
    assert (second.scores, second.dead_letters) == (50, 50)


def test_a_log_says_where_and_who_and_nothing_of_the_clicks(shop: Shop) -> None:
    at = 1_218_600_000_000
    for order in range(1, 4):
        value = click_json(session_id="zebra-visit", product="zebra", event_time=at + order, order=order)
        shop.send(0, b"zebra-visit", value, at)
    shop.send(0, b"zebra", b'{"zebra": ', at)
    shop.send(0, b"another zebra", click_json(session_id="zebra-visit", event_time=at), at)
    shop.send(0, None, orjson.dumps({"type": "heartbeat", "event_time": at, "flush": True}), at)
    killed = shop.consumer("one", failpoint="after_commit")
    assert killed.wait(60) == -signal.SIGKILL
    consumer = shop.consumer("one")
    shop.drain(consumer)
    stop(consumer)
    assert len(shop.scores()) == 1
    assert len(shop.dead_letters()) == 2
    text = killed.log.read_text() + consumer.log.read_text()
    assert "zebra" not in text
    lines = [orjson.loads(line) for line in text.splitlines()]
    owner = f"{shop.settings.group}-one"
    assert {line["owner"] for line in lines} == {owner}
    (claimed,) = (line for line in lines if line["event"] == "claimed" and line["case"] == "ahead")
    assert claimed["partition"] == 0
    assert (claimed["applied"], claimed["committed"], claimed["goes_on_at"]) == (6, None, 6)
    assert claimed["former_owner"] == owner
    (outbox,) = (line for line in lines if line["event"] == "published a former owner's outbox")
    assert (outbox["partition"], outbox["records"], outbox["to"]) == (0, 3, 6)
