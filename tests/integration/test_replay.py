"""Replay on a real Kafka: what is on the topic is the plan, whatever happened on the way."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clickstream.infra.errors import ConfigurationError, RefusedError, UsageError
from clickstream.infra.kafka import Admin, Producer, Reader, Record
from clickstream.infra.settings import Settings
from clickstream.local.embedded import EmbeddedKafka
from clickstream.producer.faults import parse_faults
from clickstream.producer.mark import mark_of
from clickstream.producer.plan import Plan, PlanOptions, make_plan
from clickstream.producer.replay import KafkaSink, Pace, find_start, prepare, publish
from clickstream.producer.schedule import Schedule, ScheduleOptions, make_schedule
from clickstream.producer.start import ReplayStart, StartMode
from clickstream.producer.synthetic import synthetic_dataset

pytestmark = pytest.mark.integration

SESSIONS = 300
FAULTS = "late=0.03,duplicate=0.05,drop=0.03,reorder=0.05,malformed=0.05"
COMMAND = "import typer; from clickstream.cli.replay import replay; typer.run(replay)"


def schedule() -> Schedule:
    return make_schedule(synthetic_dataset(SESSIONS, 42), ScheduleOptions())


def options(settings: Settings, faults: str = "") -> PlanOptions:
    return PlanOptions.of(settings, settings.partitions, True, parse_faults(faults))


def start(settings: Settings, mode: StartMode = "new", faults: str = "") -> ReplayStart:
    prepare(settings, None)
    return find_start(mode, settings, schedule(), options(settings, faults))


def send(settings: Settings, start: ReplayStart, records: int | None = None) -> None:
    """Publish what is left, or the first so many of it, as fast as possible."""
    sink = KafkaSink(settings, start.plan)
    left = start.plan.publications(start.after)
    publish(itertools.islice(left, records), sink, Pace(None), threading.Event())
    sink.close()


def content(settings: Settings) -> dict[int, list[Record]]:
    """All records of the clicks topic by partition."""
    reader = Reader(settings, settings.clicks_topic)
    found: dict[int, list[Record]] = defaultdict(list)
    for batch in reader.read_to(reader.end_offsets()):
        for record in batch:
            found[record.partition].append(record)
    reader.close()
    return found


def planned(plan: Plan) -> dict[int, list[tuple[bytes | None, bytes | None, int]]]:
    found: dict[int, list[tuple[bytes | None, bytes | None, int]]] = defaultdict(list)
    for publication in plan.publications():
        found[publication.partition].append((publication.key, publication.value, publication.timestamp))
    return found


def assert_is_plan(settings: Settings, plan: Plan) -> None:
    """The topic holds each record of the plan once, in its order, on its partition, and nothing else."""
    records = content(settings)
    expected = planned(plan)
    assert records.keys() == expected.keys()
    for partition, wanted in expected.items():
        assert [(r.key, r.value, r.timestamp) for r in records[partition]] == wanted
        assert [mark.sequence for r in records[partition] if (mark := mark_of(r.headers))] == [
            *range(len(wanted))
        ]


@contextmanager
def replaying(settings: Settings, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`clickstream replay` of the synthetic sessions as a process of its own."""
    assert settings.kafka_bootstrap is not None
    environment = os.environ | {
        "CLICKSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "CLICKSTREAM_CLICKS_TOPIC": settings.clicks_topic,
        "CLICKSTREAM_HOME": str(settings.home),
    }
    given = ["--synthetic", str(SESSIONS), "--faults", FAULTS, *words]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *given], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def wait_until_sent(settings: Settings, records: int, deadline_s: float = 60.0) -> None:
    deadline = time.monotonic() + deadline_s
    prepare(settings, None)
    reader = Reader(settings, settings.clicks_topic)
    while sum(reader.end_offsets().values()) < records:
        assert time.monotonic() < deadline, f"{records} records were not sent within {deadline_s} s"
        time.sleep(0.02)
    reader.close()


def test_the_topic_holds_the_plan_and_keeps_it_for_ever(settings: Settings) -> None:
    begun = start(settings)
    send(settings, begun)
    assert_is_plan(settings, begun.plan)
    admin = Admin(settings)
    config = admin.topic_config(settings.clicks_topic)
    admin.close()
    assert config["retention.ms"] == "-1"
    assert config["message.timestamp.after.max.ms"] == str(settings.max_ahead)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_replay_goes_on_and_loses_and_repeats_nothing(
    settings: Settings, sign: signal.Signals
) -> None:
    plan = make_plan(schedule(), options(settings, FAULTS))
    with replaying(settings, "--speed", "14400") as process:
        wait_until_sent(settings, len(plan) // 3)
        process.send_signal(sign)
        _, words = process.communicate(timeout=30)
        assert process.returncode == (-sign if sign == signal.SIGKILL else 128 + sign)
        assert sign == signal.SIGKILL or "--resume" in words
    left = sum(map(len, content(settings).values()))
    assert len(plan) // 3 <= left < len(plan)
    for words_expected in ("going on after", "nothing was sent"):
        with replaying(settings, "--speed", "max", "--resume") as process:
            _, words = process.communicate(timeout=60)
            assert process.returncode == 0, words
            assert words_expected in words
        assert_is_plan(settings, plan)


def test_a_lost_broker_ends_the_replay_with_a_reason_and_it_goes_on_afterwards(
    settings: Settings, tmp_path: Path
) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        lonely = settings.model_copy(update={"kafka_bootstrap": kafka.bootstrap, "patience": 4_000})
        plan = make_plan(schedule(), options(lonely, FAULTS))
        with replaying(lonely, "--speed", "7200") as process:
            wait_until_sent(lonely, len(plan) // 4)
            kafka.kill()
            _, words = process.communicate(timeout=60)
            assert process.returncode != 0
            assert "UnavailableError: the replay stopped" in words
            assert "--resume" in words
        kafka.start()
        wait_until_sent(lonely, len(plan) // 4)
        with replaying(lonely, "--speed", "max", "--resume") as process:
            _, words = process.communicate(timeout=60)
            assert process.returncode == 0, words
        assert_is_plan(lonely, plan)


def test_a_resumed_replay_goes_on_after_heartbeats_of_others(settings: Settings) -> None:
    begun = start(settings)
    send(settings, begun, len(begun.plan) // 2)
    producer = Producer(settings)
    time_now = begun.plan.first_due
    beat = b'{"type":"heartbeat","event_time":%d}' % time_now
    for _ in range(3):
        for partition in range(settings.partitions):
            producer.send(settings.clicks_topic, partition, None, beat, time_now)
        producer.flush()
    producer.close()
    # Twice, so that heartbeats lie within the run when it is looked at.
    send(settings, start(settings, "resume"), 200)
    again = start(settings, "resume")
    send(settings, again)
    assert again.overtaken == 0
    ours = {p: [r for r in records if mark_of(r.headers)] for p, records in content(settings).items()}
    for partition, wanted in planned(begun.plan).items():
        assert [(r.key, r.value, r.timestamp) for r in ours[partition]] == wanted


def test_a_hole_in_what_is_there_is_refused(settings: Settings) -> None:
    begun = start(settings)
    sink = KafkaSink(settings, begun.plan)
    publications = list(begun.plan.publications())
    dropped = publications[100]
    for publication in publications[:500]:
        if publication is not dropped:
            sink.send(publication)
    sink.flush()
    sink.close()
    with pytest.raises(RefusedError, match=f"partition {dropped.partition} .* lacks 1 records"):
        start(settings, "resume")


def test_a_topic_with_later_event_times_is_refused_with_the_remedies(settings: Settings) -> None:
    send(settings, start(settings), 500)
    with pytest.raises(RefusedError) as refused:
        start(settings)
    assert "--resume goes on" in str(refused.value)
    with pytest.raises(RefusedError) as refused:
        start(settings, faults="late=0.5")
    for remedy in ("--topic", "--append", "--resume"):
        assert remedy in str(refused.value)


def test_appended_runs_lie_behind_each_other_and_one_of_them_goes_on(settings: Settings) -> None:
    first = start(settings)
    send(settings, first)
    second = start(settings, "append")
    send(settings, second, len(second.plan) // 2)
    rest = start(settings, "resume")
    assert 0 < len(rest.plan.left(rest.after)) < len(rest.plan)
    send(settings, rest)
    third = start(settings, "append")
    send(settings, third)
    runs = [first.plan, second.plan, third.plan]
    assert [plan.schedule.run for plan in runs] == [1, 2, 3]
    assert [plan.schedule.session_ids[0] for plan in runs] == ["s1", "r2-s1", "r3-s1"]
    wait = settings.gap + settings.allowed_lateness
    assert all(b.first_due > a.last_due + wait for a, b in itertools.pairwise(runs))
    records = content(settings)
    expected = [planned(plan) for plan in runs]
    for partition in range(settings.partitions):
        wanted = [record for plan in expected for record in plan[partition]]
        assert [(r.key, r.value, r.timestamp) for r in records[partition]] == wanted


def test_a_topic_with_other_partitions_than_asked_for_is_refused(settings: Settings) -> None:
    prepare(settings, 3)
    assert prepare(settings, None).partitions == 3
    with pytest.raises(UsageError, match="has 3 partitions, not 5"):
        prepare(settings, 5)


def test_a_topic_that_would_delete_old_records_is_refused(settings: Settings) -> None:
    admin = Admin(settings)
    admin.create_topic(settings.clicks_topic, 1, {"retention.ms": "604800000"})
    admin.close()
    with pytest.raises(ConfigurationError, match="keeps records for 7d"):
        prepare(settings, None)
