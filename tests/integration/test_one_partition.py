"""What damages one partition is its own matter: it is rebuilt or refused by name, the others go on."""

from __future__ import annotations

import os
import random
import signal
from contextlib import closing

import confluent_kafka
import orjson
import pytest
from confluent_kafka.admin import AdminClient
from factory import click_json, session, step
from shop import Shop, stop, wait_for
from stored_damage import OWNERSHIP, damage

from clickstream.audit.verdict import AFTER_A_LOSS, unchecked_parts
from clickstream.consumer.state_format import encode
from clickstream.infra.kafka import Admin
from clickstream.infra.redis import connect
from clickstream.local.processes import Process
from clickstream.windows.open_session import OpenSession

pytestmark = pytest.mark.integration

AT = 1_218_600_000_000


def click(shop: Shop, partition: int, name: str, second: int = 0, end: bool = False) -> None:
    at = AT + second * 1_000
    shop.send(partition, name.encode(), click_json(session_id=name, event_time=at, end=end), at)


def flush(shop: Shop, partition: int, second: int = 10) -> None:
    at = AT + second * 1_000
    shop.send(partition, None, orjson.dumps({"type": "heartbeat", "event_time": at, "flush": True}), at)


def committed(shop: Shop) -> dict[int, int]:
    with closing(Admin(shop.settings)) as admin:
        offsets = admin.group_offsets(shop.settings.group, shop.topic.name)
    return {partition: found.offset for partition, found in offsets.items()}


def forged(**numbers: float) -> bytes:
    """A session of two clicks under a checksum that is right, with numbers that no fold makes."""
    window = session(step(AT), step(AT + 1_000))
    for name, number in numbers.items():
        setattr(window.body, name, number)
    return encode(OpenSession(window))


def delete_before(shop: Shop, partition: int, offset: int) -> None:
    """As retention does, at once."""
    admin = AdminClient({"bootstrap.servers": shop.settings.kafka_bootstrap or ""})
    place = confluent_kafka.TopicPartition(shop.topic.name, partition, offset)
    for done in admin.delete_records([place]).values():
        done.result(20)


def test_offsets_deleted_under_a_running_consumer_refuse_their_partition_and_the_others_are_served(
    shop: Shop,
) -> None:
    click(shop, 0, "early")
    click(shop, 1, "elsewhere")
    flush(shop, 0)
    flush(shop, 1)
    consumer = shop.consumer()
    shop.drain(consumer)
    os.kill(consumer.pid, signal.SIGSTOP)
    try:
        for number in range(5):
            click(shop, 0, f"gone-{number}", 20)
        delete_before(shop, 0, 6)
    finally:
        os.kill(consumer.pid, signal.SIGCONT)
    wait_for(lambda: "the log does not hold that offset" in consumer.log.read_text(), "it is refused by name")
    click(shop, 1, "later", 20)
    flush(shop, 1, 30)
    wait_for(lambda: committed(shop).get(1) == 4, "the other partition is served")
    assert {score["session_id"] for score in shop.scores()} == {"early", "elsewhere", "later"}
    assert consumer.poll() is None
    stop(consumer)


@pytest.mark.parametrize("damaged", ["session", "forged", "forged overflow", "meta", "due", "online", "type"])
def test_a_damaged_value_in_redis_is_rebuilt_and_every_session_scored_once(shop: Shop, damaged: str) -> None:
    for partition in (0, 1):
        for name in ("one", "two"):
            click(shop, partition, f"{name}-{partition}")
        click(shop, partition, f"done-{partition}", 1, end=True)
        click(shop, partition, f"next-{partition}", 62)  # so that the end settles, and online models learn
    consumer = shop.consumer()
    shop.drain(consumer)
    meta, sessions, due, _, online = shop.redis_keys()[0]
    with closing(connect(shop.settings)) as redis:
        if damaged == "session":
            redis.hset(sessions, "one-0", b"\x82damaged")
        elif damaged == "forged":
            redis.hset(sessions, "one-0", forged(price_squares=-1e9, price_mean=1.0))
        elif damaged == "forged overflow":
            redis.hset(sessions, "one-0", forged(clicks=(1 << 64) - 1))
        elif damaged == "meta":
            redis.hset(meta, "newest", "12x")
        elif damaged == "due":
            redis.zrem(due, "two-0")
        elif damaged == "online":
            assert redis.exists(online)
            redis.set(online, b"damaged")
        else:
            redis.delete(sessions)
            redis.lpush(sessions, "strange")
    for partition in (0, 1):
        click(shop, partition, f"one-{partition}", 63)
        flush(shop, partition, 70)
    shop.drain(consumer)
    if damaged == "online":
        # Kept in memory; the next owner finds it.
        stop(consumer)
        consumer = shop.consumer()
        click(shop, 0, "after", 80)
        flush(shop, 0, 90)
        shop.drain(consumer)
    stop(consumer)
    scores = shop.scores()
    expected = {f"{name}-{p}" for name in ("one", "two", "done", "next") for p in (0, 1)}
    expected |= {"after"} if damaged == "online" else set()
    assert sorted(str(score["session_id"]) for score in scores) == sorted(expected)
    report = shop.audit()
    assert not report.flawed, report
    assert unchecked_parts(report).keys() <= set(AFTER_A_LOSS)
    log = consumer.log.read_text()
    assert "Traceback" not in log
    if damaged.startswith("forged"):
        assert "the state in Redis of partition 0 is damaged: under a checksum that is right" in log


def test_a_damaged_state_that_cannot_be_rebuilt_is_refused_by_name_and_left_as_it_is(shop: Shop) -> None:
    for partition, name in ((0, "here"), (0, "too"), (0, "last")):
        click(shop, partition, name)
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)
    meta, *state, _, _ = shop.redis_keys()[0]
    with closing(connect(shop.settings)) as redis:
        newest = redis.hget(meta, "newest")
        before = [redis.dump(key) for key in state]
        redis.hset(meta, "newest", "12x")
        delete_before(shop, 0, 2)
        refused = shop.consumer()
        words = "partition 0 needs the log from offset 0; it holds 2 to 3"
        wait_for(lambda: words in refused.log.read_text(), "it is refused by name")
        stop(refused)
        assert [redis.dump(key) for key in state] == before
        redis.hset(meta, "newest", newest)
    flush(shop, 0)
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)
    assert sorted(str(score["session_id"]) for score in shop.scores()) == ["here", "last", "too"]


def test_the_printed_command_starts_one_partition_over_and_the_others_keep_their_sessions(shop: Shop) -> None:
    for partition in (0, 1):
        click(shop, partition, f"open-{partition}")
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)
    for number in range(4):
        click(shop, 0, f"gone-{number}", 5)
    click(shop, 0, "kept", 6)
    click(shop, 1, "open-1", 7)
    delete_before(shop, 0, 5)
    consumer = shop.consumer()
    command = "consume --restart-from earliest --partition 0"
    wait_for(lambda: command in consumer.log.read_text(), "refused, with the command")
    wait_for(lambda: committed(shop).get(1) == 2, "the other partition is served")
    stop(consumer)
    again = Process(command.split(), shop.settings, shop.folder / "again.log")
    shop.processes.append(again)
    flush(shop, 0)
    flush(shop, 1)
    wait_for(lambda: len(shop.scores()) == 2, "both are scored")
    stop(again)
    assert {score["session_id"]: score["clicks"] for score in shop.scores()} == {"kept": 1, "open-1": 2}


def test_random_damage_of_any_partition_running_or_stopped_leaves_every_session_scored_once(
    shop: Shop, drill_seed: int
) -> None:
    rng = random.Random(drill_seed)
    partitions = range(shop.topic.partitions)
    log = ""
    consumer = shop.consumer()
    for turn, running in enumerate((True, False, True, True)):
        for partition in partitions:
            click(shop, partition, f"long-{partition}", turn)
            click(shop, partition, f"{turn}-{partition}", turn)
            click(shop, partition, f"{turn}-{partition}", turn, end=True)
        shop.drain(consumer)
        if not running:
            stop(consumer)
        with closing(connect(shop.settings)) as redis:
            for keys in rng.sample(shop.redis_keys(), 3):
                names = {name: redis.hget(keys[0], name) for name in redis.hkeys(keys[0])}
                what = damage(redis, keys, rng)
                if what in OWNERSHIP and what not in ("meta token", "meta transactional_id"):
                    # Refusals by name are no rebuilds.
                    redis.hset(keys[0], mapping=names)
        if not running:
            log += consumer.log.read_text()
            consumer = shop.consumer()
            shop.drain(consumer)
    for partition in partitions:
        flush(shop, partition, 100)
    shop.drain(consumer)
    stop(consumer)
    expected = {f"long-{p}" for p in partitions} | {f"{turn}-{p}" for turn in range(4) for p in partitions}
    assert sorted(str(score["session_id"]) for score in shop.scores()) == sorted(expected)
    report = shop.audit()
    assert not report.flawed, report
    log += consumer.log.read_text()
    assert "Traceback" not in log
    assert '"not served"' not in log
