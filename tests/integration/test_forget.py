"""A session that is forgotten is gone from Redis, and does not come back when Redis is made again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

import pytest
from shop import Shop, plan_of, scraped, stop, wait_for
from typer.testing import CliRunner, Result

from clickstream.cli.main import command_line
from clickstream.consumer.state_reader import StateReader
from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka import partition_for
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.processes import environment
from clickstream.lookup.service import Lookup
from clickstream.offline.recorded import read_recorded
from clickstream.operate.doctor.writers import check_keys
from clickstream.operate.forgetting import HeldSession, held, publish
from clickstream.records.shops import load_shop

pytestmark = pytest.mark.integration


def forget(settings: Settings, session_id: str) -> Result:
    words = ["forget", session_id]
    return CliRunner(env=environment(settings)).invoke(command_line(words), words)


def lose_redis(shop: Shop) -> None:
    with closing(connect(shop.settings)) as redis:
        redis.delete(*(key for keys in shop.redis_keys() for key in keys))


def all_that_is_told(shop: Shop, session_id: str, before: Sequence[HeldSession]) -> list[str]:
    """Of a session that a consumer forgets: what Redis held, what the log holds, what is left."""
    (opened,) = (one for one in before if one.opened_at is not None)
    since = datetime.fromtimestamp((opened.opened_at or 0) / 1000, UTC)
    # Where either partitioner puts the key.
    places = ", ".join(str(one.partition) for one in before)
    clicks = shop.settings.clicks_topic
    return [
        f"Redis holds of session {session_id}: {opened.clicks} clicks on partition {opened.partition},"
        f" open since {since:%Y-%m-%d %H:%M:%S}.{since.microsecond // 1000:03} UTC",
        "Kafka cannot delete single records. What it may hold of the session, and for how long:",
        f"  {clicks}, partition {places}: for ever (retention.ms -1)",
        f"  {shop.settings.scores_topic}, partition {places}: for 7d",
        f"  {shop.settings.dead_letter_topic}, partition 0: for 7d",
        f"The record that forgets it, with its id, is on {clicks} from now on. Bundles and online models hold"
        " no session ids; what they learned from it stays in their weights. Files that `score` and `sessions`"
        " wrote, and your logs, are yours to delete.",
        "A consumer has taken the record. Redis holds now: nothing",
    ]


def test_a_forgotten_session_is_gone_from_redis_and_stays_away_when_redis_is_made_again(shop: Shop) -> None:
    shop.settings = shop.settings.model_copy(update={"metrics_port": free_port(), "commit_interval": 500})
    plan = plan_of(shop.settings, 200)
    half = len(list(plan.publications())) // 2
    shop.publish(plan, until=half)
    later = {one.key for one in list(plan.publications())[half:]}
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)
    with closing(StateReader(shop.settings, shop.topic.id, load_shop(shop.settings.shop))) as reader:
        latest = reader.latest(range(shop.topic.partitions), 1_000)
        open_ids = [name for names in latest.values() for name in names if name.encode() not in later]
        first, second = open_ids[:2]
        closed = str(shop.scores()[0]["session_id"])
        publish(shop.settings, closed, held(reader, closed, shop.topic.partitions))

        # Nobody runs: the record waits in the log, and a state that is made again takes it as well.
        told = forget(shop.settings, first)
        assert isinstance(told.exception, UnavailableError)
        assert "no consumer of group" in told.exception.what
        place = partition_for(first.encode(), shop.topic.partitions)
        assert f"on partition {place}, open since" in told.stdout
        assert "Redis holds now" not in told.stdout
        assert any(one.clicks for one in held(reader, first, shop.topic.partitions))
        lose_redis(shop)
        consumer = shop.consumer()
        shop.drain(consumer)
        assert not any(one.clicks for one in held(reader, first, shop.topic.partitions))

        before = held(reader, second, shop.topic.partitions)
        told = forget(shop.settings, second)
        assert told.exit_code == 0, told.output
        assert told.stdout.splitlines() == all_that_is_told(shop, second, before)
        assert not any(one.clicks for one in held(reader, second, shop.topic.partitions))
    wait_for(lambda: scraped(shop.settings)["forgotten_total",] == 2, "both are counted")
    with closing(Lookup(shop.settings)) as lookup:
        assert lookup.session(second) is None

    lose_redis(shop)
    shop.publish(plan, after=half)
    shop.drain(consumer)
    stop(consumer)
    assert {first, second}.isdisjoint(str(score["session_id"]) for score in shop.scores())
    report = shop.audit()
    assert (report.missing, report.duplicate, report.wrong, report.unexpected) == (0, 0, 0, 0)
    assert not report.flawed
    assert report.scored == 198
    recorded = read_recorded(shop.settings)
    assert recorded.forgotten == 1
    assert {first, second, closed}.isdisjoint(one.session_id for one in recorded.sessions)
    # Their records lie where either partitioner puts the key: no producer is taken to disagree.
    assert {check.status for check in check_keys(shop.settings, shop.topic)} == {"ok"}
