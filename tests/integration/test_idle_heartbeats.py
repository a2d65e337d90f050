"""Idle heartbeats are an effort: a broker that refuses them disturbs nothing, and is reported once."""

from __future__ import annotations

import time
from contextlib import closing
from urllib.request import urlopen

import orjson
import pytest
from factory import click_json
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from shop import Shop, scraped, stop, wait_for

from clickstream.infra.kafka import Reader
from clickstream.local.child import free_port
from clickstream.local.processes import Process

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000


def now() -> int:
    return round(time.time() * 1000)


def configured(shop: Shop, **config: str) -> None:
    """Set the clicks topic; `_` in a name stands for a dot."""
    names = {name.replace("_", "."): value for name, value in config.items()}
    client = KafkaAdminClient(bootstrap_servers=shop.settings.kafka_bootstrap)
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, shop.topic.name, configs=names)])
    client.close()


def watched(shop: Shop) -> Process:
    """A consumer that finds a partition idle after a second."""
    shop.settings = shop.settings.model_copy(update={"idle_after": 1_000, "metrics_port": free_port()})
    consumer = shop.consumer()
    wait_for(lambda: '"consuming"' in consumer.log.read_text(), "it is up")
    return consumer


def idle(shop: Shop, result: str) -> float:
    return scraped(shop.settings).get(("idle_heartbeats_total", result), 0.0)


def heartbeats(shop: Shop) -> list[tuple[int, int]]:
    """Kafka timestamp and event time of each on the clicks topic."""
    with closing(Reader(shop.settings, shop.topic.name)) as reader:
        records = [record for batch in reader.read_to(reader.end_offsets()) for record in batch]
    read = [(record.timestamp or -1, orjson.loads(record.value or b"{}")) for record in records]
    return [(at, value["event_time"]) for at, value in read if value["type"] == "heartbeat"]


def test_a_broker_that_refuses_heartbeats_is_reported_once_and_nothing_stops(shop: Shop) -> None:
    shop.send(0, b"waits", click_json(session_id="waits", event_time=now()), now())
    configured(shop, cleanup_policy="compact")
    consumer = watched(shop)
    wait_for(lambda: idle(shop, "failed") >= 3, "heartbeats are tried")
    words = consumer.log.read_text()
    assert words.count("no idle heartbeat can be written") == 1
    assert "compacted" in words
    with urlopen(f"http://127.0.0.1:{shop.settings.metrics_port}/readyz", timeout=10) as answer:
        told = orjson.loads(answer.read())
    assert told["ready"] is True
    assert "refuses the record" in words
    assert told["no_idle_heartbeats"] == [0]
    told_of = scraped(shop.settings)
    assert told_of["recoveries_total",] == 0
    assert sum(value for name, value in told_of.items() if name[0] == "claims_total") == shop.topic.partitions
    # The topic is mended under it: event time moves again.
    configured(shop, cleanup_policy="delete")
    wait_for(lambda: idle(shop, "written") >= 1, "one is taken")
    wait_for(lambda: "written again" in consumer.log.read_text(), "that is reported")
    stop(consumer)


def test_on_a_topic_that_takes_no_old_timestamps_a_heartbeat_has_the_time_of_the_clock(shop: Shop) -> None:
    old = now() - 3 * HOUR_MS
    shop.send(0, b"waits", click_json(session_id="waits", event_time=old), now())
    configured(shop, message_timestamp_before_max_ms=str(HOUR_MS))
    consumer = watched(shop)
    wait_for(lambda: idle(shop, "written") >= 1, "one is taken")
    stop(consumer)
    (at, event_time), *_ = heartbeats(shop)
    assert abs(event_time - old) < HOUR_MS
    assert abs(at - now()) < HOUR_MS
    assert not shop.dead_letters()


def test_a_sender_minutes_ahead_does_not_keep_event_time_from_moving(shop: Shop) -> None:
    """Its clicks are within both bounds, of the broker and of the rules; so are the heartbeats after them."""
    ahead = shop.settings.max_ahead - 20_000
    at = now() + ahead
    shop.send(0, b"waits", click_json(session_id="waits", event_time=at + ahead), at)
    consumer = watched(shop)
    wait_for(lambda: idle(shop, "written") >= 2, "two are taken, one after the other")
    assert idle(shop, "failed") == 0
    stop(consumer)
    assert all(event_time - sent <= shop.settings.max_ahead for sent, event_time in heartbeats(shop))
    assert not shop.dead_letters()
