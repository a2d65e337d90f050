"""The log of any shop as a live stream: its records, its times, and faults in it."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from factory import examples
from hypothesis import given
from hypothesis import strategies as st
from log_files import map_log

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in, define
from clickstream.files.click_log import ClickLog
from clickstream.files.mapping import mapping_by_name
from clickstream.files.shop_log import ShopLog
from clickstream.infra.days import midnight
from clickstream.producer.damage import Damage, damages_of
from clickstream.producer.faults import FaultOptions
from clickstream.producer.plan import Plan, PlanOptions, make_plan
from clickstream.producer.schedule import BUSY_DAY, Calendar, ScheduleOptions, make_schedule
from clickstream.producer.synthetic_shop import known_log
from clickstream.records.click import Click, InvalidRecordError
from clickstream.records.shop_click import parser_of
from clickstream.windows.partition import ClosedWindow, Partition
from clickstream.windows.rules import Rules

AT = 1_772_445_600_000

CORNER = define(
    {
        "name": "corner",
        "fields": {
            "event": {"type": "text"},
            "note": {"type": "text"},
            "stock": {"type": "integer", "optional": True},
            "price": {"type": "number", "at_least": 5, "optional": True},
            "member": {"type": "boolean", "optional": True},
        },
        "goal": {"when": 'event == "buy"'},
        "features": {"clicks": {"count": True}},
    },
    "corner",
)
"""Its fold needs the event alone, its clicks two fields at the least."""


def corner_log(*clicks: dict[str, Any]) -> ShopLog:
    lines = "\n".join(
        json.dumps({"session_id": "v", "event_time": AT + 1_000 * n, "event": "look", "note": "n"} | click)
        for n, click in enumerate(clicks)
    )
    return map_log(lines.encode(), CORNER, mapping_by_name(CORNER), "clicks.jsonl").log


def plan_of(
    log: ClickLog, faults: FaultOptions | None = None, calendar: Calendar = "dated", partitions: int = 2
) -> Plan:
    schedule = make_schedule(log, ScheduleOptions(calendar))
    return make_plan(schedule, PlanOptions(partitions, faults=faults or FaultOptions()))


def clicks_of(plan: Plan) -> list[Click]:
    parse = parser_of(plan.schedule.dataset.definition).parse
    parsed = (parse(sent.value, sent.key) for sent in plan.publications())
    return [one for one in parsed if isinstance(one, Click)]


def scored(plan: Plan) -> tuple[list[ClosedWindow], Counter[tuple[int, int, str]]]:
    """What the consumer's logic makes of a plan: windows closed, and (partition, offset, reason) refused."""
    definition = plan.schedule.dataset.definition
    parse = parser_of(definition).parse
    logics = [Partition(Rules(shop=shop_of(definition))) for _ in range(plan.options.partitions)]
    refused: Counter[tuple[int, int, str]] = Counter()
    for sent in plan.publications():
        try:
            record = parse(sent.value, sent.key)
        except InvalidRecordError as error:
            refused[sent.partition, sent.sequence, error.reason] += 1
        else:
            logics[sent.partition].advance(sent.sequence, sent.timestamp, record)
    for partition, logic in enumerate(logics):
        refused.update((partition, found.offset, found.reason) for found in logic.refused)
    assert not any(logic.sessions for logic in logics), "a session stayed open"
    return [closed for logic in logics for closed in logic.closed], refused


def test_a_record_carries_every_field_of_its_shop_whatever_the_fold_needs() -> None:
    log = corner_log({"stock": 0, "member": False}, {"price": 7.5, "note": "x", "end": True})
    first, last = clicks_of(plan_of(log))
    assert (first.event, first.note, first.stock, first.price, first.member) == ("look", "n", 0, None, False)
    assert (last.note, last.stock, last.price, last.member) == ("x", None, 7.5, None)
    assert (first.end, last.end, first.order, last.order) == (False, True, None, None)
    assert {first.time_source, last.time_source} == {"recorded"}


def test_made_up_sessions_travel_as_they_were_drawn() -> None:
    log = known_log(40)
    sent = {(one.session_id, one.order): one for one in clicks_of(plan_of(log))}
    for session_id, _, steps in log.steps():
        for step in steps:
            click = sent.pop((session_id, step.order))
            assert shop_of(log.definition).step_of(click) == step
    assert not sent


def test_laid_over_one_day_each_session_keeps_its_hours_and_says_that_the_day_is_made_up() -> None:
    log = known_log(60)
    day = 86_400_000
    own, laid = ({(c.session_id, c.order): c for c in clicks_of(plan_of(log, None, calendar))}
                 for calendar in ("dated", "busy-day"))  # fmt: skip
    assert own.keys() == laid.keys()
    for session_id, _, steps in log.steps():
        keys = [(session_id, step.order) for step in steps]
        assert laid[keys[0]].event_time // day * day == midnight(BUSY_DAY)
        moved = {laid[key].event_time - own[key].event_time for key in keys}
        assert len(moved) == 1
        assert moved.pop() % day == 0
    assert {click.time_source for click in laid.values()} == {"synthetic"}


probabilities = st.builds(
    FaultOptions,
    late=st.sampled_from([0.0, 0.1, 0.5]),
    duplicate=st.sampled_from([0.0, 0.1]),
    drop=st.sampled_from([0.0, 0.1]),
    reorder=st.sampled_from([0.0, 0.1]),
    malformed=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1_000),
)
LOG = known_log(200)


@examples(25)
@given(probabilities, st.sampled_from(["dated", "busy-day"]))
def test_each_fault_shows_where_the_ledger_says_and_nowhere_else(
    faults: FaultOptions, calendar: Calendar
) -> None:
    plan = plan_of(LOG, faults, calendar)
    closed, refused = scored(plan)
    ledger = list(plan.ledger())
    for counter in ("late", "duplicates", "missing"):
        shown: Counter[str] = Counter()
        for window in closed:
            shown[window.session_id] += getattr(window.session, counter)
        place = f"score.{counter}"
        expected = Counter(e["session_id"] for e in ledger if place in (e["shows_in"], e.get("also_in")))
        assert +shown == expected
    dead = [entry for entry in ledger if entry["shows_in"] == "dead-letter"]
    assert refused == Counter((entry["partition"], entry["sequence"], entry["reason"]) for entry in dead)


@examples(25)
@given(probabilities)
def test_faults_spare_the_clicks_about_an_end_and_show_no_loss_where_there_are_no_orders(
    faults: FaultOptions,
) -> None:
    visit = [{"note": str(n), "end": n == 20} for n in range(40)]
    plan = plan_of(corner_log(*visit), faults)
    for entry in plan.ledger():
        assert (entry["event_time"] - AT) // 1_000 not in (0, 20, 21, 39)
        assert entry["order"] is None
        assert "score.missing" not in (entry["shows_in"], entry.get("also_in"))
    closed, _ = scored(plan)
    assert len(closed) == 2


@pytest.mark.parametrize("name", ["online-store", "synthetic", "corner"])
def test_each_damage_makes_the_dead_letter_that_it_names(name: str) -> None:
    definition: ShopDefinition = CORNER if name == "corner" else built_in(name)
    click = {
        "type": "click",
        "session_id": "s",
        "event_time": AT,
        "event": "look",
        "visitor": "new",
        "note": "n",
    }
    parser_of(definition).parse(json.dumps(click).encode(), b"s")
    damages: tuple[Damage, ...] = damages_of(definition)
    assert len(damages) == (6 if name == "online-store" else 9)
    for damage in damages:
        key, value = damage.spoil(b"s", click)
        with pytest.raises(InvalidRecordError) as refused:
            parser_of(definition).parse(value, key)
        assert refused.value.reason == damage.reason, damage.name


def test_the_first_sessions_of_a_log_are_those_that_open_first() -> None:
    schedule = make_schedule(LOG, ScheduleOptions("dated", sessions=10))
    rest = make_schedule(LOG, ScheduleOptions("dated"))
    opened = [int(time) for time in LOG.times[LOG.starts[:-1]]]
    assert all(one <= other for one, other in pairwise(opened))
    assert schedule.session_count == 10
    assert len(rest) == len(LOG)
