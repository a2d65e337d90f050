"""From clicks to scores on real servers: what a subscriber gets, however the work is cut up."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import orjson
import pytest
from factory import click_json
from jsonschema import Draft202012Validator
from kafka import KafkaConsumer, TopicPartition
from shop import Shop, plan_of, stop, wait_for

from clickstream.infra.kafka import Admin, partition_for
from clickstream.infra.settings import Settings
from clickstream.producer.faults import FaultOptions
from clickstream.records.score import Score

pytestmark = pytest.mark.integration


def test_every_session_is_scored_once_and_every_score_is_valid(shop: Shop) -> None:
    plan = plan_of(shop.settings, 400)
    shop.publish(plan)
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)

    scores = [Score.model_validate(score, strict=False) for score in shop.scores()]
    assert len({score.score_id for score in scores}) == len(scores) == 400
    assert sum(score.clicks for score in scores) == plan.clicks
    assert all(
        score.error is None and score.predictions.model_dump()["online"] is not None for score in scores
    )
    assert shop.open_sessions() == 0
    report = shop.audit()
    assert report.clean
    assert report.scored == 400


def documented(record: str) -> Draft202012Validator:
    """The payload of a record in docs/asyncapi.json."""
    components = json.loads(Path("docs/asyncapi.json").read_text())["components"]
    return Draft202012Validator({"components": components} | components["messages"][record]["payload"])


def test_a_foreign_subscriber_gets_each_score_once_and_by_the_schema(shop: Shop) -> None:
    plan = plan_of(shop.settings, 200)
    shop.send(0, b"broken", b"{", 0)
    shop.publish(plan)
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)
    schema = Draft202012Validator(json.loads(Path("docs/schemas/score.json").read_text()))
    documented_score = documented("score")

    reader = KafkaConsumer(
        bootstrap_servers=shop.settings.kafka_bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    reader.topics()
    topic = shop.settings.scores_topic
    partitions = [TopicPartition(topic, p) for p in reader.partitions_for_topic(topic)]
    reader.assign(partitions)
    end, ids = reader.end_offsets(partitions), []
    while any(reader.position(p) < end[p] for p in partitions):
        for records in reader.poll(timeout_ms=500).values():
            for record in records:
                score = json.loads(record.value)
                schema.validate(score)
                documented_score.validate(score)
                ids.append(score["score_id"])
    reader.close()
    assert len(ids) == len(set(ids)) == 200
    (letter,) = shop.dead_letters()
    documented("dead-letter").validate(letter)
    payloads = {"click": documented("click"), "heartbeat": documented("heartbeat")}
    for publication in plan.publications():
        record = json.loads(publication.value)
        payloads[record["type"]].validate(record)


def test_scores_are_equal_for_any_number_of_consumers_and_any_size_of_a_poll(shop: Shop) -> None:
    shop.publish(plan_of(shop.settings, 500))
    digests = set()
    for consumers, records in ((1, 5_000), (2, 100), (3, 17)):
        run = f"{consumers}-{records}"
        settings = shop.settings.model_copy(
            update={
                "group": f"{shop.settings.group}-{run}",
                "scores_topic": f"{shop.settings.scores_topic}-{run}",
                "max_poll_records": records,
            }
        )
        here = Shop(settings, shop.folder / run)
        try:
            running = [here.consumer() for _ in range(consumers)]
            here.drain(*running)
            for consumer in running:
                stop(consumer)
            digests.add(here.digest())
        finally:
            here.close()
    assert len(digests) == 1


def test_scores_are_equal_across_logs_with_other_numbers_of_partitions(
    settings: Settings, bundle: Path, tmp_path: Path
) -> None:
    digests = set()
    for partitions in (1, 5):
        mine = settings.model_copy(
            update={
                "bundle": str(bundle),
                "partitions": partitions,
                "clicks_topic": f"{settings.clicks_topic}-{partitions}",
                "scores_topic": f"{settings.scores_topic}-{partitions}",
                "group": f"{settings.group}-{partitions}",
            }
        )
        shop = Shop(mine, tmp_path / str(partitions))
        try:
            shop.publish(plan_of(mine, 300))
            consumer = shop.consumer()
            shop.drain(consumer)
            stop(consumer)
            digests.add(shop.digest("across-logs"))
        finally:
            shop.close()
    assert len(digests) == 1


def test_a_stopped_consumer_leaves_its_partitions_to_the_other_within_five_seconds(shop: Shop) -> None:
    plan = plan_of(shop.settings, 600)
    shop.publish(plan, until=2_000)
    first, second = shop.consumer("one"), shop.consumer("two")
    admin = Admin(shop.settings)
    wait_for(lambda: admin.group_members(shop.settings.group) == 2, "both joined")
    admin.close()
    shop.drain(first, second)
    stop(first)
    shop.publish(plan, after=2_000)
    assert shop.drain(second) < 5
    stop(second)
    assert shop.audit().clean


def test_a_silent_shop_still_has_its_sessions_closed(shop: Shop) -> None:
    settings = shop.settings.model_copy(
        update={"gap": 400, "allowed_lateness": 100, "max_ahead": 300, "idle_after": 200}
    )
    key = b"lonely"
    p = partition_for(key, shop.topic.partitions)
    shop.send(p, key, click_json(session_id="lonely", event_time=1_200_000_000_000), 1_200_000_000_000)
    consumer = shop.consumer(settings=settings)
    wait_for(lambda: len(shop.scores()) == 1, "the session closed without another click")
    stop(consumer)
    (score,) = shop.scores()
    assert score["closed_by"] == "gap"


def test_a_silent_partition_beside_a_busy_one_has_its_sessions_closed_too(shop: Shop) -> None:
    settings = shop.settings.model_copy(
        update={"gap": 400, "allowed_lateness": 100, "max_ahead": 300, "idle_after": 200}
    )
    at = 1_200_000_000_000
    shop.send(0, b"lonely", click_json(session_id="lonely", event_time=at), at)
    consumer = shop.consumer(settings=settings)

    def closed_beside_a_crowd() -> bool:
        shop.send(1, b"busy", click_json(session_id="busy", event_time=at), at)
        return any(score["session_id"] == "lonely" for score in shop.scores())

    wait_for(closed_beside_a_crowd, "the lonely session closed")
    stop(consumer)


def test_records_that_cannot_be_counted_become_dead_letters_and_stop_nobody(shop: Shop) -> None:
    at = 1_200_000_000_000
    good = orjson.loads(click_json(session_id="s", event_time=at))

    def but(**changes: object) -> bytes:
        return orjson.dumps(good | changes)

    bad = {
        "not-json": (b"s", b'{"type": "click", '),
        "invalid": (b"s", but(price=-1)),
        "key-mismatch": (b"other", but()),
        "too-large": (b"s", but(note="x" * 900_000)),
        "future": (b"s", but(event_time=at + 86_400_000)),
    }
    for key, value in bad.values():
        shop.send(0, key, value, at)
    shop.send(0, b"s", but(price=0).replace(b'"price":0', b'"price":NaN'), at)
    shop.send(0, b"s", None, at)
    shop.send(0, b"s", but(event_time=4_000_000_000_000), -1)
    shop.send(0, b"s", but(event_time=1_200_000_000), at)
    shop.send(0, b"s", but(), at)
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)
    letters = shop.dead_letters()
    assert sorted(str(letter["reason"]) for letter in letters) == sorted([*bad, *["invalid"] * 4])
    assert [letter["offset"] for letter in letters] == list(range(9))
    assert "no Kafka timestamp" in str(letters[7]["detail"])
    assert "reads as seconds" in str(letters[8]["detail"])
    assert "price" in str(letters[1]["detail"])
    assert shop.open_sessions() == 1
    assert shop.audit().clean


def test_each_injected_fault_shows_where_the_ledger_says(shop: Shop, tmp_path: Path) -> None:
    faults = FaultOptions(late=0.02, duplicate=0.02, drop=0.02, reorder=0.02, malformed=0.02)
    plan = plan_of(shop.settings, 500, faults=faults)
    shop.publish(plan)
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_bytes(b"\n".join(orjson.dumps(entry) for entry in plan.ledger()))
    assert ledger.read_text().count("\n") > 100
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)

    clean = Shop(
        shop.settings.model_copy(
            update={
                name: f"{getattr(shop.settings, name)}-clean"
                for name in ("clicks_topic", "scores_topic", "dead_letter_topic", "group")
            }
        ),
        tmp_path / "clean",
    )
    try:
        clean.publish(plan_of(clean.settings, 500))
        consumer = clean.consumer()
        clean.drain(consumer)
        stop(consumer)
    finally:
        clean.close()
    report = shop.audit(ledger, clean.settings.scores_topic)
    assert report.clean


def test_sigint_stops_as_sigterm_does(shop: Shop) -> None:
    consumer = shop.consumer()
    shop.publish(plan_of(shop.settings, 30))
    shop.drain(consumer)
    consumer.signal(signal.SIGINT)
    assert consumer.wait(60) == 0
