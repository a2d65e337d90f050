"""A group works by one set of rules: who has others is refused at the door, and every mix can be drained."""

from __future__ import annotations

from contextlib import closing

import pytest
from factory import click_json
from shop import Shop, plan_of, stop, wait_for

from clickstream.consumer.admission import open_rules
from clickstream.consumer.store import Store
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.processes import Process
from clickstream.windows.fingerprint import rules_text

pytestmark = pytest.mark.integration

OTHER_GAP = 1_200_000


def other(shop: Shop) -> Settings:
    return shop.settings.model_copy(update={"gap": OTHER_GAP, "session_timeout": 2_000})


def wait_until_said(consumer: Process, words: str, times: int = 1) -> None:
    wait_for(lambda: consumer.log.read_text().count(words) >= times, f"{times} times {words}")


def rules_of_open(shop: Shop) -> dict[int, str]:
    with closing(Store(shop.settings, shop.topic.id)) as store:
        return {p: rules for p, (rules, _) in open_rules(shop.settings, shop.topic, store).items()}


def drained(shop: Shop, settings: Settings) -> None:
    drain = Process(["drain", "--wait", "40s"], settings, shop.folder / "drain.log")
    shop.processes.append(drain)
    assert drain.wait(60) == 0, drain.last_words()
    assert shop.open_sessions() == 0


def click(shop: Shop, partition: int, session_id: str) -> None:
    value = click_json(session_id=session_id, event_time=1_700_000_000_000, order=1)
    shop.send(partition, session_id.encode(), value, 1_700_000_000_000)


def test_a_joiner_with_other_rules_is_refused_at_the_door_and_changes_nothing(shop: Shop) -> None:
    """Where nothing is open yet, it would have given its rules to the partitions that it opens."""
    consumer = shop.consumer("one")
    wait_for(lambda: '"claimed"' in consumer.log.read_text(), "the first has its partitions")
    joiner = shop.consumer("two", settings=other(shop))
    assert joiner.wait(90) == 78, joiner.last_words()
    words = joiner.last_words()
    assert "gap was 1800000 and is 1200000" in words
    assert "one" in words
    assert '"consuming"' not in joiner.log.read_text()
    shop.publish(plan_of(shop.settings, 100))
    shop.drain(consumer)
    assert set(rules_of_open(shop).values()) <= {rules_text(shop.settings)}
    stop(consumer)
    again = shop.consumer("one")
    wait_for(lambda: '"claimed"' in again.log.read_text(), "the former rules can start")
    stop(again)


def test_open_scores_are_those_of_the_group_and_change_without_a_drain_once_all_have_stopped(
    shop: Shop,
) -> None:
    """Else what is due would change with the owner of a partition."""
    each = shop.settings.model_copy(update={"open_scores": "each", "session_timeout": 2_000})
    click(shop, 0, "visit")
    consumer = shop.consumer("one")
    wait_for(lambda: shop.open_sessions() == 1, "a session is open")
    joiner = shop.consumer("two", settings=each)
    assert joiner.wait(90) == 78, joiner.last_words()
    assert "open_scores was off and is each here" in joiner.last_words()
    assert "stop all consumers" in joiner.last_words()
    stop(consumer)
    again = shop.consumer("one", settings=each)
    wait_until_said(again, '"claimed"', shop.topic.partitions)
    assert '"not served"' not in again.log.read_text()
    assert shop.open_sessions() == 1
    stop(again)


def test_of_two_with_different_rules_that_start_at_once_at_most_one_serves(shop: Shop) -> None:
    shop.publish(plan_of(shop.settings, 100), until=200)
    both = [shop.consumer("one"), shop.consumer("two", settings=other(shop))]
    records = shop.records()

    def settled() -> bool:
        """Both see each other, and both may leave: the second also later than the first."""
        left = sum(p.poll() is None for p in both)
        return left == 0 or (left == 1 and shop.scored() >= records)

    wait_for(settled, "one is refused, and the other too or it has scored all", 120)
    assert {p.poll() for p in both} <= {None, 78}
    for left in (p for p in both if p.poll() is None):
        stop(left)
    assert len(set(rules_of_open(shop).values())) <= 1


def mixed(shop: Shop) -> None:
    """Two rule sets in one group, one visit open on each partition, as earlier programs could leave them."""
    for partition in range(shop.topic.partitions):
        click(shop, partition, f"visit-{partition}")
    one = shop.consumer("one")
    shop.drain(one)
    stop(one)
    redis = connect(shop.settings)
    for meta, *_ in shop.redis_keys()[1::2]:
        # One click is open by either rules in the same way.
        redis.hset(meta, "settings", rules_text(other(shop)))
        redis.hdel(meta, "sum")
    assert len(set(rules_of_open(shop).values())) == 2


def test_partitions_of_two_rule_sets_are_drained_and_either_side_can_start(shop: Shop) -> None:
    mixed(shop)
    for settings in (shop.settings, other(shop)):
        consumer = shop.consumer("one", settings=settings.model_copy(update={"metrics_port": free_port()}))
        wait_until_said(consumer, '"not served"')
        wait_until_said(consumer, '"claimed"')
        assert "gap was" in consumer.log.read_text()
        assert consumer.poll() is None
        stop(consumer)
    drained(shop, shop.settings)
    assert len({score["score_id"] for score in shop.scores()}) == len(shop.scores()) == shop.topic.partitions
    for settings in (shop.settings, other(shop)):
        consumer = shop.consumer("one", settings=settings)
        wait_until_said(consumer, '"claimed"', shop.topic.partitions)
        assert '"not served"' not in consumer.log.read_text()
        stop(consumer)


def test_a_drain_beside_consumers_that_do_not_serve_all_rules_is_refused_with_the_way_out(shop: Shop) -> None:
    mixed(shop)
    consumer = shop.consumer("one")
    wait_for(lambda: '"claimed"' in consumer.log.read_text(), "what matches is served")
    drain = Process(["drain"], shop.settings, shop.folder / "drain.log")
    assert drain.wait(30) == 78
    assert "[1, 3, 5, 7]" in drain.last_words()
    assert "Stop the consumers and drain again" in drain.last_words()
    stop(consumer)
