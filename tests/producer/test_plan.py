"""What is published: sound clicks on their partitions, and heartbeats that close every session."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import orjson
import pytest
from factory import examples, parse
from hypothesis import given
from hypothesis import strategies as st

from clickstream.files.dataset import Dataset
from clickstream.infra.kafka import partition_for
from clickstream.infra.settings import Settings
from clickstream.producer.faults import FaultOptions
from clickstream.producer.mark import HEADER, Mark, mark_of
from clickstream.producer.plan import Plan, PlanOptions, Publication, make_plan
from clickstream.producer.schedule import Calendar, ScheduleOptions, make_schedule
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.records.click import Click, Heartbeat

GAP, LATENESS, BEAT = 1_800_000, 60_000, 300_000
SOME_OF_EACH = FaultOptions(late=0.1, duplicate=0.1, drop=0.1, reorder=0.1, malformed=0.1)


def plan_of(
    sessions: int,
    partitions: int,
    faults: FaultOptions | None = None,
    calendar: Calendar = "busy-day",
    seed: int = 1,
    heartbeats: bool = True,
) -> Plan:
    schedule = make_schedule(synthetic_dataset(sessions, seed), ScheduleOptions(calendar))
    return make_plan(
        schedule, PlanOptions(partitions, heartbeats=heartbeats, faults=faults or FaultOptions())
    )


def by_partition(plan: Plan, after: dict[int, int] | None = None) -> dict[int, list[Publication]]:
    found: dict[int, list[Publication]] = defaultdict(list)
    for publication in plan.publications(after):
        found[publication.partition].append(publication)
    return found


plans = st.builds(
    plan_of,
    st.integers(1, 40),
    st.integers(1, 5),
    st.sampled_from([FaultOptions(), SOME_OF_EACH]),
    st.sampled_from(["busy-day", "dated"]),
    st.integers(0, 20),
)
sound_plans = st.builds(
    plan_of,
    st.integers(1, 40),
    st.integers(1, 5),
    st.none(),
    st.sampled_from(["busy-day", "dated"]),
    st.integers(0, 20),
)


def test_a_click_carries_all_that_the_file_says_and_that_its_time_is_made_up(uci: Dataset) -> None:
    schedule = make_schedule(uci, ScheduleOptions("dated", sessions=1))
    plan = make_plan(schedule, PlanOptions(8))
    first = next(plan.publications())
    time = int(schedule.times[0])
    assert orjson.loads(first.value) == {
        "type": "click",
        "session_id": "1",
        "event_time": time,
        "order": 1,
        "country": 29,
        "product": "A13",
        "category": "trousers",
        "colour": 1,
        "location": 5,
        "photography": 1,
        "price": 28.0,
        "price_2": 2,
        "page": 1,
        "time_source": "synthetic",
    }
    assert (first.key, first.timestamp, first.due) == (b"1", time, time)
    assert first.partition == partition_for(b"1", 8)


@examples(25)
@given(sound_plans)
def test_every_record_is_sound_and_every_click_is_there(plan: Plan) -> None:
    clicks = []
    for publication in plan.publications():
        record = parse(publication.value, publication.key)
        assert publication.timestamp == publication.due == record.event_time
        if isinstance(record, Click):
            assert publication.is_click
            assert publication.key is not None
            assert publication.partition == partition_for(publication.key, plan.options.partitions)
            assert not record.end
            clicks.append((record.session_id, record.order))
        else:
            assert not publication.is_click
            assert publication.key is None
    dataset = plan.schedule.dataset
    assert sorted(clicks) == sorted(
        (session_id, step.order) for session_id, _, steps in dataset.steps() for step in steps
    )
    assert plan.clicks == len(clicks)


@examples(25)
@given(plans)
def test_publications_are_in_order_and_numbered_by_partition(plan: Plan) -> None:
    publications = list(plan.publications())
    assert len(publications) == len(plan)
    assert all(one.due <= other.due for one, other in pairwise(publications))
    for partition, records in by_partition(plan).items():
        assert [record.sequence for record in records] == list(range(len(records)))
        assert plan.counts()[partition] == len(records)


@examples(40)
@given(sound_plans)
def test_heartbeats_keep_time_moving_while_a_session_can_be_open_and_close_all(plan: Plan) -> None:
    wait = GAP + LATENESS
    end = int(plan.schedule.times[-1]) + wait
    assert by_partition(plan).keys() == set(range(plan.options.partitions))
    for records in by_partition(plan).values():
        last_click = records[0].timestamp
        for before, record in pairwise(records):
            if before.is_click:
                last_click = before.timestamp
            if before.timestamp <= last_click + wait:
                assert record.timestamp - before.timestamp <= BEAT
            elif record is not records[-1]:
                assert record.is_click, "a heartbeat where nothing can be open"
        # W = event time - lateness is more than the gap beyond the last click.
        assert records[-1].timestamp > end
        assert isinstance(parse(records[-1].value, None), Heartbeat)


def test_heartbeats_can_be_left_out() -> None:
    plan = plan_of(20, 3, heartbeats=False)
    assert all(publication.is_click for publication in plan.publications())


@examples(40)
@given(plans, st.data())
def test_a_plan_cut_anywhere_goes_on_with_exactly_the_rest(plan: Plan, data: st.DataObject) -> None:
    whole = by_partition(plan)
    sent = {
        partition: data.draw(st.integers(-1, len(records) - 1), label=f"last of {partition}")
        for partition, records in whole.items()
    }
    rest = by_partition(plan, sent)
    for partition, records in whole.items():
        assert rest[partition] == records[sent[partition] + 1 :]
    assert len(plan.left(sent)) == sum(map(len, rest.values()))


def test_the_same_plan_is_made_again_and_has_the_same_fingerprint() -> None:
    ours, again = plan_of(30, 4, SOME_OF_EACH), plan_of(30, 4, SOME_OF_EACH)
    assert list(ours.publications()) == list(again.publications())
    assert list(ours.ledger()) == list(again.ledger())
    assert ours.fingerprint == again.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        plan_of(30, 5, SOME_OF_EACH),
        plan_of(30, 4),
        plan_of(30, 4, SOME_OF_EACH, "dated"),
        plan_of(30, 4, SOME_OF_EACH, seed=2),
        plan_of(30, 4, SOME_OF_EACH, heartbeats=False),
        plan_of(31, 4, SOME_OF_EACH),
    ],
)
def test_another_plan_has_another_fingerprint(other: Plan) -> None:
    assert other.fingerprint != plan_of(30, 4, SOME_OF_EACH).fingerprint


def test_the_rules_come_from_the_settings() -> None:
    settings = Settings(gap=600_000, allowed_lateness=5_000, max_ahead=1_000, max_clicks=50)
    options = PlanOptions.of(settings, 3, True, FaultOptions())
    assert options == PlanOptions(3, 600_000, 5_000, 50)


def test_a_mark_names_the_place_of_a_record() -> None:
    plan = plan_of(5, 2)
    plan = make_plan(plan.schedule.moved(3, 14), plan.options)
    header = (HEADER, plan.mark_prefix + b"%d" % 17)
    assert mark_of([("other", b"x"), header]) == Mark(plan.fingerprint, 3, 14, 17)
    assert mark_of([]) is None
    assert mark_of([(HEADER, b"\xff:1")]) is None
