"""Where a replay starts on a topic that holds records already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import pytest
from factory import click_json, examples
from hypothesis import given
from hypothesis import strategies as st

from clickstream.infra.days import DAY_MS
from clickstream.infra.errors import RefusedError
from clickstream.infra.settings import Settings
from clickstream.producer.mark import HEADER
from clickstream.producer.plan import Plan, PlanOptions, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.producer.start import ReplayStart, StartMode, choose_start, tails_for
from clickstream.producer.synthetic import synthetic_dataset

NOW = 2_000_000_000_000
SCHEDULE = make_schedule(synthetic_dataset(30, 1), ScheduleOptions())
OPTIONS = PlanOptions(3)
SETTINGS = Settings()
PLAN = make_plan(SCHEDULE, OPTIONS)
FIRST, LAST = PLAN.first_due, PLAN.last_due


@dataclass
class Stored:
    """A record as it is read."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str = "clicks"


Topic = dict[int, list[Stored]]


def topic_of(plan: Plan, records: int | None = None) -> Topic:
    """A topic with the first so many records of a plan."""
    topic: Topic = defaultdict(list)
    for publication in list(plan.publications())[:records]:
        offset = len(topic[publication.partition])
        mark = (HEADER, plan.mark_prefix + b"%d" % publication.sequence)
        stored = Stored(
            publication.partition, offset, publication.timestamp, publication.key, publication.value, [mark]
        )
        topic[publication.partition].append(stored)
    return topic


def add(topic: Topic, partition: int, key: bytes | None, value: bytes, timestamp: int | None = None) -> Topic:
    """A record of others at the end of a partition; its timestamp is its event time where none is given."""
    if timestamp is None:
        try:
            timestamp = int(orjson.loads(value)["event_time"])
        except orjson.JSONDecodeError:
            timestamp = NOW
    topic[partition].append(Stored(partition, len(topic[partition]), timestamp, key, value))
    return topic


def heartbeat(time: int) -> bytes:
    return orjson.dumps({"type": "heartbeat", "event_time": time})


def click(time: int) -> bytes:
    return click_json(event_time=time)


def start(
    mode: StartMode,
    topic: Topic,
    now: int = NOW,
    options: PlanOptions = OPTIONS,
    settings: Settings = SETTINGS,
) -> ReplayStart:
    tails = tails_for(range(3), SCHEDULE, options, settings)
    for partition, records in topic.items():
        tails[partition].read(records)
    return choose_start(mode, "clicks", SCHEDULE, options, tails, now)


@pytest.mark.parametrize("mode", ["new", "append", "resume"])
def test_on_an_empty_topic_it_begins_at_the_beginning(mode: StartMode) -> None:
    begun = start(mode, {})
    assert begun.after == {}
    assert list(begun.plan.publications()) == list(PLAN.publications())


@pytest.mark.parametrize("mode", ["new", "resume"])
def test_behind_earlier_event_times_it_begins_at_the_beginning(mode: StartMode) -> None:
    begun = start(mode, add({0: []}, 0, b"visit", click(FIRST - 1)))
    assert (begun.after, begun.plan.schedule.days) == ({}, 0)


def test_later_event_times_are_refused_with_the_remedies() -> None:
    with pytest.raises(RefusedError, match=r"up to 2008-08-1\d .* begins at 2008-08-13") as refused:
        start("new", add({0: []}, 0, b"visit", click(FIRST + 3_600_000)))
    assert refused.value.exit_code == 78
    for remedy in ("--topic", "--append", "--resume"):
        assert remedy in refused.value.remedy


def test_where_this_very_replay_was_begun_resume_is_the_first_remedy() -> None:
    with pytest.raises(RefusedError) as refused:
        start("new", topic_of(PLAN, 100))
    assert refused.value.remedy.startswith("This very replay was begun there: --resume")


def test_what_is_no_click_has_no_event_time() -> None:
    topic = add({0: []}, 0, b"visit", b"not json")
    assert start("new", topic).plan.schedule.run == 1


@examples(40)
@given(st.integers(1, len(PLAN)))
def test_a_replay_cut_anywhere_goes_on_with_exactly_the_rest(cut: int) -> None:
    begun = start("resume", topic_of(PLAN, cut))
    assert list(begun.plan.publications(begun.after)) == list(PLAN.publications())[cut:]
    assert begun.overtaken == 0


def test_a_finished_replay_has_nothing_left() -> None:
    begun = start("resume", topic_of(PLAN))
    assert len(begun.plan.left(begun.after)) == 0


def test_another_replay_is_not_gone_on_with() -> None:
    other = PlanOptions(3, heartbeats=False)
    with pytest.raises(RefusedError) as refused:
        start("resume", topic_of(PLAN, 100), options=other)
    assert "No record of this very replay" in refused.value.remedy


def test_heartbeats_of_others_change_nothing_but_may_make_clicks_late() -> None:
    cut = 120
    reached = list(PLAN.publications())[cut].due
    for beyond, overtaken in ((30_000, False), (7_200_000, True)):
        topic = topic_of(PLAN, cut)
        for partition in range(3):
            add(topic, partition, None, heartbeat(reached + beyond))
        begun = start("resume", topic)
        assert list(begun.plan.publications(begun.after)) == list(PLAN.publications())[cut:]
        assert (begun.overtaken > 0) is overtaken


def test_later_clicks_of_others_are_refused() -> None:
    topic = topic_of(PLAN, 120)
    with pytest.raises(RefusedError, match="partition 1 of clicks holds other clicks"):
        start("resume", add(topic, 1, b"visit", click(LAST)))


REFUSED = [
    pytest.param(b"visit", click(LAST), LAST - 300_001, id="from the future"),
    pytest.param(b"visit", click(LAST), -1, id="without a timestamp"),
    pytest.param(None, heartbeat(LAST), LAST - 300_001, id="a heartbeat from the future"),
    pytest.param(b"visit", click(LAST), LAST + 3_600_001, id="from the past"),
    pytest.param(b"another", click(LAST), LAST, id="under another key"),
    pytest.param(b"visit", click_json(event_time=LAST, country="x" * 70_000), LAST, id="too large"),
    pytest.param(b"visit", b"not json", LAST, id="no JSON"),
]
"""Records that a consumer refuses whatever came before them."""


@pytest.mark.parametrize(("key", "value", "timestamp"), REFUSED)
def test_a_dead_letter_of_others_makes_nothing_late_and_hinders_no_replay(
    key: bytes | None, value: bytes, timestamp: int
) -> None:
    settings = Settings(max_behind=3_600_000)
    topic = add(topic_of(PLAN, 120), 1, key, value, timestamp)
    begun = start("resume", topic, settings=settings)
    assert (len(begun.plan.left(begun.after)), begun.overtaken) == (len(PLAN) - 120, 0)
    assert start("new", add({1: []}, 1, key, value, timestamp), settings=settings).after == {}


def test_clicks_of_others_that_make_nothing_late_hinder_no_replay_where_heartbeats_do() -> None:
    """Consumers wrote heartbeats while the replay was away, and one early click came."""
    topic = topic_of(PLAN, 120)
    for partition in range(3):
        add(topic, partition, b"visit", click(FIRST))
        add(topic, partition, None, heartbeat(list(PLAN.publications())[120].due + 7_200_000))
    assert start("resume", topic).overtaken > 0


def test_an_appended_run_lies_whole_days_behind_the_last_record() -> None:
    begun = start("append", topic_of(PLAN))
    schedule = begun.plan.schedule
    assert schedule.run == 2
    assert schedule.session_ids[0] == "r2-s1"
    assert (begun.plan.first_due - FIRST) % DAY_MS == 0
    assert LAST + OPTIONS.gap + OPTIONS.allowed_lateness < begun.plan.first_due
    assert begun.plan.first_due - DAY_MS <= LAST + OPTIONS.gap + OPTIONS.allowed_lateness + 2


def test_an_appended_run_behind_clicks_of_others_has_a_prefix_too() -> None:
    begun = start("append", add({0: []}, 0, b"visit", click(FIRST - 5 * DAY_MS)))
    assert (begun.plan.schedule.run, begun.plan.schedule.days) == (2, 0)


@pytest.mark.parametrize("cut", [1, 50, 300])
def test_an_appended_run_is_gone_on_with_and_counted(cut: int) -> None:
    topic = topic_of(PLAN)
    second = start("append", topic).plan
    for partition, records in topic_of(second, cut).items():
        for record in records:
            record.offset += len(PLAN)
            topic[partition].append(record)
    begun = start("resume", topic)
    assert list(begun.plan.publications(begun.after)) == list(second.publications())[cut:]
    assert start("append", topic).plan.schedule.run == 3


@pytest.mark.parametrize("mode", ["new", "append"])
def test_a_run_that_would_lie_in_the_future_is_refused(mode: StartMode) -> None:
    with pytest.raises(RefusedError, match="in the future"):
        start(mode, {}, now=LAST - 1)
