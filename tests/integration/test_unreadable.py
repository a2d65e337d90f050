"""A batch in the log that cannot be unpacked is the matter of its partition, and hangs nothing."""

from __future__ import annotations

import time
from contextlib import closing
from urllib.error import HTTPError
from urllib.request import urlopen

import confluent_kafka
import orjson
import pytest
from factory import click_json
from log_damage import rot, segment
from shop import Shop, scraped, stop, wait_for

from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka import Admin, DamagedBatchError, GroupConsumer, Reader
from clickstream.local.child import free_port

pytestmark = pytest.mark.integration

AT = 1_218_600_000_000


def visit(shop: Shop, partition: int, name: str) -> None:
    """One batch: a click of its own session, then its end."""
    click = click_json(session_id=name, event_time=AT, end=True)
    shop.send(partition, name.encode(), click, AT)


def flush(shop: Shop, partition: int) -> None:
    shop.send(partition, None, orjson.dumps({"type": "heartbeat", "event_time": AT, "flush": True}), AT)


def readiness(port: int) -> list[str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            text = answer.read()
    except HTTPError as error:
        text = error.read()
    except OSError:
        return ["nobody answers"]
    return list(orjson.loads(text)["reasons"])


def committed(shop: Shop) -> dict[int, int]:
    with closing(Admin(shop.settings)) as admin:
        offsets = admin.group_offsets(shop.settings.group, shop.topic.name)
    return {partition: found.offset for partition, found in offsets.items()}


def test_snappy_clicks_of_another_client_are_scored(shop: Shop) -> None:
    consumer = shop.consumer()
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": shop.settings.kafka_bootstrap, "compression.type": "snappy", "linger.ms": 50}
    )
    for number in range(40):
        name = f"s{number}"
        producer.produce(
            shop.topic.name,
            click_json(session_id=name, event_time=AT),
            name.encode(),
            partition=number % 4,
            timestamp=AT,
        )
    assert producer.flush(20) == 0
    for partition in range(4):
        flush(shop, partition)
    shop.drain(consumer)
    stop(consumer)
    assert len(shop.scores()) == 40


def test_a_damaged_batch_refuses_its_partition_by_name_and_the_others_are_served(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    visit(shop, 0, "before")
    flush(shop, 0)
    visit(shop, 0, "damaged")
    rot(segment(shop.topic.name, 0, tmp_path_factory.getbasetemp()))
    visit(shop, 0, "behind")
    visit(shop, 1, "elsewhere")
    flush(shop, 1)
    port = free_port()
    settings = shop.settings.model_copy(update={"metrics_port": port})
    consumer = shop.consumer(settings=settings)
    wait_for(lambda: any("from offset 2 on" in reason for reason in readiness(port)), "it is named")
    (reason,) = readiness(port)
    assert "partition 0 is not served" in reason
    assert "offsets 2 to 2" in reason
    # What came before it counts, and the others go on: with clicks that come now, too.
    visit(shop, 1, "later")
    flush(shop, 1)
    wait_for(lambda: committed(shop) | {0: 2, 1: 4} == committed(shop), "the rest is scored")
    assert {score["session_id"] for score in shop.scores()} == {"before", "elsewhere", "later"}
    assert scraped(settings)["partitions", "refused"] == 1
    assert consumer.last_words().count("not served") == 1
    assert "kafka-console-consumer.sh" in consumer.last_words()
    began = time.monotonic()
    assert consumer.stop() == 0
    assert time.monotonic() - began < 10


def test_a_consumer_with_nothing_but_a_damaged_partition_ends_and_says_why(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = shop.settings.model_copy(
        update={"clicks_topic": f"{shop.settings.clicks_topic}-one", "partitions": 1}
    )
    alone = Shop(settings, shop.folder / "alone")
    visit(alone, 0, "damaged")
    rot(segment(alone.topic.name, 0, tmp_path_factory.getbasetemp()))
    consumer = alone.consumer()
    assert consumer.wait(60) == 78
    assert "cannot be read from offset 0 on" in consumer.last_words()


def test_a_reader_names_a_damaged_batch_instead_of_reading_for_ever(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    visit(shop, 0, "damaged")
    rot(segment(shop.topic.name, 0, tmp_path_factory.getbasetemp()))
    with closing(Reader(shop.settings, shop.topic.name)) as reader, pytest.raises(DamagedBatchError) as told:
        list(reader.read_to(reader.end_offsets()))
    assert told.value.partition == 0


def test_a_client_that_failed_in_a_poll_is_replaced_and_reads_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(shop, 0, "s")
    with closing(GroupConsumer(shop.settings, shop.topic.name)) as consumer:
        wait_for(lambda: not consumer.poll(100, 10) and bool(consumer.assignment()), "it is assigned")
        failed = consumer._consumer

        def fault(*_: object, **__: object) -> None:
            raise AttributeError("'NoneType' object has no attribute 'offset'")

        monkeypatch.setattr(failed._fetcher, "fetched_records", fault)
        with pytest.raises(UnavailableError, match="the Kafka client failed"):
            consumer.poll(100, 10)
        wait_for(lambda: not consumer.poll(100, 10) and bool(consumer.assignment()), "it is assigned again")
        assert consumer._consumer is not failed
        assert consumer.newly_assigned() >= {0}
        consumer.start(0, 0)
        wait_for(lambda: 0 in consumer.poll(100, 10), "it reads")
