"""All clicks of a session on one partition: producers that agree, and what is said of those that do not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer as LibrdkafkaProducer
from factory import click_json
from shop import Shop, stop

from clickstream.consumer.topics import prepare_topics
from clickstream.infra.kafka import Reader, partition_for
from clickstream.infra.placement import partitioner_of
from clickstream.infra.settings import Settings
from clickstream.local.java import find_java, kafka_jars
from clickstream.operate.doctor import Check, examine

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples" / "produce"
AT = 1_750_000_000_000


def clicks(order: int, sessions: int = 40) -> list[bytes]:
    return [click_json(session_id=f"s{n}", event_time=AT + order, order=order) for n in range(sessions)]


def produce(settings: Settings, program: str, lines: Sequence[bytes], folder: Path) -> None:
    """Run an example on some clicks."""
    copy = folder / program
    copy.write_text((EXAMPLES / program).read_text().replace('"clicks"', f'"{settings.clicks_topic}"'))
    command = [sys.executable, str(copy)]
    if program.endswith(".java"):
        jars = kafka_jars(Settings().home / "kafka", lambda _: None)
        command = [str(find_java()), "-cp", ":".join(map(str, jars)), str(copy)]
    subprocess.run(
        command,
        input=b"\n".join(lines) + b"\n",
        env=os.environ | {"CLICKSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap or ""},
        check=True,
        timeout=60,
    )


def places(settings: Settings) -> list[tuple[bytes, int]]:
    """Key and partition of each click."""
    with closing(Reader(settings, settings.clicks_topic)) as reader:
        return [
            (record.key or b"", record.partition)
            for batch in reader.read_to(reader.end_offsets())
            for record in batch
        ]


def on_keys(settings: Settings) -> list[Check]:
    return [check for check in examine(settings) if check.part == "producers"]


@pytest.mark.parametrize("other", ["produce_confluent.py", "Produce.java"])
def test_the_producers_of_the_page_put_a_session_on_one_partition(
    settings: Settings, tmp_path: Path, other: str
) -> None:
    prepare_topics(settings)
    produce(settings, "produce_kafka_python.py", clicks(1), tmp_path)
    produce(settings, other, clicks(2), tmp_path)
    found = Counter(places(settings))
    assert set(found.values()) == {2}
    assert len(found) == 40
    assert {check.status for check in on_keys(settings)} == {"ok"}


def by_default_of_librdkafka(settings: Settings, lines: Sequence[bytes]) -> None:
    producer = LibrdkafkaProducer({"bootstrap.servers": settings.kafka_bootstrap})
    for line in lines:
        producer.produce(settings.clicks_topic, line, orjson.loads(line)["session_id"].encode(), timestamp=AT)
    assert producer.flush(20) == 0


def test_the_default_of_librdkafka_is_crc32_and_the_doctor_says_so(settings: Settings) -> None:
    prepare_topics(settings)
    by_default_of_librdkafka(settings, clicks(1))
    found = Counter(partitioner_of(key, p, settings.partitions) for key, p in places(settings))
    assert set(found) == {"crc32", "both"}
    (check,) = on_keys(settings)
    assert check.status == "warn"
    assert "murmur2_random" in check.remedy


def test_two_default_partitioners_tear_sessions_apart_and_everybody_says_so(shop: Shop) -> None:
    settings = shop.settings
    by_default_of_librdkafka(settings, clicks(1))
    keys = [orjson.loads(line)["session_id"].encode() for line in clicks(2)]
    shop.send_all(
        (partition_for(key, settings.partitions), key, line, AT)
        for key, line in zip(keys, clicks(2), strict=True)
    )
    (check,) = on_keys(settings)
    assert check.status == "fail"
    assert "lie on more than one partition" in check.what
    for partition in range(settings.partitions):
        beat = orjson.dumps({"type": "heartbeat", "event_time": AT + 7_200_000})
        shop.send(partition, None, beat, AT + 7_200_000)
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)
    report = shop.audit()
    assert report.verdict == "not clean"
    assert report.torn > 10
    assert {finding.kind for finding in report.findings} == {"torn"}


def test_keys_that_lie_where_two_partitioners_put_them_are_told_before_a_session_is_torn(
    settings: Settings, tmp_path: Path
) -> None:
    prepare_topics(settings)
    lines = clicks(1)
    by_default_of_librdkafka(settings, lines[:20])
    produce(settings, "produce_kafka_python.py", lines[20:], tmp_path)
    (check,) = on_keys(settings)
    assert check.status == "fail"
    assert "murmur2" in check.what
    assert "CRC32" in check.what


def test_two_groups_that_write_one_scores_topic_are_told(shop: Shop) -> None:
    settings = shop.settings
    for number in range(10):
        line = click_json(session_id=f"s{number}", event_time=AT, order=1)
        shop.send(number % settings.partitions, f"s{number}".encode(), line, AT)
    for partition in range(settings.partitions):
        beat = orjson.dumps({"type": "heartbeat", "event_time": AT + 7_200_000})
        shop.send(partition, None, beat, AT + 7_200_000)
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)
    assert not [c for c in examine(settings) if c.part == "group" and "too" in c.what]
    other = settings.model_copy(update={"group": f"{settings.group}-other"})
    second = shop.consumer(settings=other)
    Shop(other, shop.folder).drain(second)
    stop(second)
    (check,) = [c for c in examine(settings) if c.part == "group" and "too" in c.what]
    assert check.status == "fail"
    assert other.group in check.what
    report = shop.audit()
    assert (report.duplicate, report.scored) == (10, 10)
    assert any("two groups" in note for note in report.notes)
