"""A consumer in its group, where the client library needs help."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from shop import Shop, plan_of, stop, wait_for

from clickstream.consumer.topics import prepare_topics
from clickstream.infra.kafka import GroupConsumer
from clickstream.infra.settings import Settings

pytestmark = pytest.mark.integration


def test_a_member_whose_joins_outlast_a_poll_becomes_a_steady_one(settings: Settings) -> None:
    hurried = settings.model_copy(update={"session_timeout": 2_000})
    topic = prepare_topics(hurried)
    consumer = GroupConsumer(hurried, topic.name)
    coordinator: Any = consumer._consumer._coordinator
    join = coordinator._do_join_and_sync_async

    async def slow_join() -> Any:
        answer = await join()
        await coordinator._manager._net.sleep(0.3)
        return answer

    coordinator._do_join_and_sync_async = slow_join
    steady_since: float | None = None

    def steady() -> bool:
        """Beating, without a join under way, for longer than a silent member would stay one."""
        nonlocal steady_since
        consumer.poll(100, 100)
        if not coordinator._heartbeat_enabled or coordinator._join_task is not None:
            steady_since = None
        elif steady_since is None:
            steady_since = time.monotonic()
        return steady_since is not None and time.monotonic() - steady_since > 1.0

    try:
        wait_for(steady, "a member with heartbeats", deadline_s=20)
        # As after news of the topic's partitions: a reason to join that is gone once the join has begun.
        coordinator._assignment_snapshot = {}
        steady_since = None
        wait_for(lambda: consumer.poll(100, 100) == {} and not coordinator._heartbeat_enabled, "a new join")
        wait_for(steady, "a member with heartbeats again", deadline_s=20)
        assert consumer.assignment() == frozenset(range(topic.partitions))
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("session_timeout", "silent_s", "taken_up"),
    [(60_000, 0.0, True), (3_000, 2.0, False)],
    ids=["soon", "long after"],
)
def test_a_join_that_ended_between_two_polls_is_taken_up_while_the_group_waits_for_us(
    settings: Settings, session_timeout: int, silent_s: float, taken_up: bool
) -> None:
    """Another one would begin a rebalance for the whole group, whose end each member could miss again."""
    patient = settings.model_copy(update={"session_timeout": session_timeout})
    topic = prepare_topics(patient)
    consumer = GroupConsumer(patient, topic.name)
    coordinator: Any = consumer._consumer._coordinator
    join = coordinator._do_join_and_sync_async
    joins: list[str] = []

    async def slow_join() -> Any:
        joins.append("begun")
        answer = await join()
        await coordinator._manager._net.sleep(0.3)
        joins.append("ended")
        return answer

    def asked() -> bool:
        # Not during a join: one that was under way before may swallow it, ours would begin a second one.
        if coordinator._join_task is None:
            consumer.rejoin()
        return True

    try:
        wait_for(lambda: consumer.poll(100, 100) == {} and bool(consumer.assignment()), "a member")
        coordinator._do_join_and_sync_async = slow_join
        wait_for(lambda: asked() and consumer.poll(10, 100) == {} and bool(joins), "a join under way")
        wait_for(lambda: joins[-1] == "ended", "its end, while nobody polls")
        ended = time.monotonic()
        wait_for(lambda: time.monotonic() - ended >= silent_s, "the silence is over")
        wait_for(lambda: consumer.poll(1_000, 100) == {} and coordinator._heartbeat_enabled, "a member again")
        assert (joins == ["begun", "ended"]) is taken_up
        assert consumer.membership() is not None
        assert consumer.assignment() == frozenset(range(topic.partitions))
    finally:
        consumer.close()


def test_what_a_member_that_died_amid_a_rebalance_had_given_up_is_served_by_others(shop: Shop) -> None:
    """It is back before the group misses it, and handed the assignment of the first of the two rounds."""
    settings = shop.settings.model_copy(update={"session_timeout": 60_000})
    plan = plan_of(shop.settings, 200)
    shop.publish(plan, until=500)
    first = shop.consumer("one", "after_revoke", settings)
    shop.drain(first)
    other = shop.consumer(settings=settings)
    assert first.wait(40) == -signal.SIGKILL, first.last_words()
    again = shop.consumer("one", settings=settings)
    shop.publish(plan, after=500)
    shop.drain(other, again, deadline_s=40)
    stop(other)
    stop(again)
    assert not shop.audit().flawed
