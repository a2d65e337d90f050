"""Somebody changes the topics under running consumers: noticed soon, and refused by name where it matters."""

from __future__ import annotations

import orjson
import pytest
from factory import click_json
from kafka.admin import KafkaAdminClient, NewPartitions
from shop import Shop, stop, wait_for

pytestmark = pytest.mark.integration

AT = 1_218_600_000_000


def admin(shop: Shop) -> KafkaAdminClient:
    return KafkaAdminClient(bootstrap_servers=shop.settings.kafka_bootstrap)


def visit(shop: Shop, partition: int, name: str) -> None:
    click = click_json(session_id=name, event_time=AT)
    flush = orjson.dumps({"type": "heartbeat", "event_time": AT, "flush": True})
    shop.send_all([(partition, name.encode(), click, AT), (partition, None, flush, AT)])


def test_added_partitions_are_refused_by_both_numbers_and_the_former_ones_can_be_drained(shop: Shop) -> None:
    before, settings = shop.topic.partitions, shop.settings
    shop.send(0, b"open", click_json(session_id="open", event_time=AT), AT)
    consumer = shop.consumer()
    shop.drain(consumer)
    admin(shop).create_partitions({shop.topic.name: NewPartitions(before + 4)})
    numbers = f"had {before} partitions when this consumer started and has {before + 4} now"
    wait_for(lambda: consumer.log.read_text().count("not served") == 4, "the new ones are refused")
    assert numbers in consumer.log.read_text()
    # What came to the new ones waits, what came to the former ones is scored.
    visit(shop, before + 3, "waits")
    visit(shop, 0, "served")
    wait_for(lambda: len(shop.scores()) == 2, "the former ones are drained")
    stop(consumer)
    assert "Traceback" not in consumer.log.read_text()
    again = shop.consumer(settings=settings)
    shop.drain(again)
    stop(again)
    assert sorted(str(score["session_id"]) for score in shop.scores()) == ["open", "served", "waits"]


def test_a_scores_topic_created_anew_with_fewer_partitions_is_written_by_key(shop: Shop) -> None:
    consumer = shop.consumer()
    visit(shop, 7, "before")
    shop.drain(consumer)
    name = shop.settings.scores_topic
    client = admin(shop)
    client.delete_topics([name])
    wait_for(lambda: name not in client.list_topics(), "it is gone")
    client.create_topics({name: {"num_partitions": 2, "replication_factor": 1}})
    visit(shop, 7, "after")
    shop.drain(consumer)
    stop(consumer)
    assert [score["session_id"] for score in shop.scores()] == ["after"]
    assert "Traceback" not in consumer.log.read_text()
