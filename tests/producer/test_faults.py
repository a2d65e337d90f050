"""Faults: disjoint, harmless to windows, and seen exactly where the ledger says."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from factory import examples, parse, prefix, reference
from hypothesis import event, given
from hypothesis import strategies as st

from clickstream.features.shop import UCI553
from clickstream.infra.errors import UsageError
from clickstream.producer.damage import damages_of
from clickstream.producer.faults import FaultOptions, PublicationFault, parse_faults
from clickstream.producer.plan import Plan, PlanOptions, make_plan
from clickstream.producer.schedule import Calendar, ScheduleOptions, make_schedule
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.records.click import Click, InvalidRecordError
from clickstream.windows.partition import ClosedWindow, Partition
from clickstream.windows.rules import Rules

GAP, LATENESS = 1_800_000, 60_000
NONE = FaultOptions()
REMOVED = (PublicationFault.LATE, PublicationFault.DROP, PublicationFault.MALFORMED)


def plan_of(
    sessions: int,
    partitions: int,
    faults: FaultOptions,
    calendar: Calendar = "busy-day",
    gap: int = GAP,
    max_clicks: int = 1_000,
) -> Plan:
    schedule = make_schedule(synthetic_dataset(sessions, 3), ScheduleOptions(calendar))
    return make_plan(schedule, PlanOptions(partitions, gap, LATENESS, max_clicks, faults=faults))


def scored(plan: Plan) -> tuple[list[ClosedWindow], Counter[tuple[int, int, str]]]:
    """What the consumer's logic makes of a plan: windows closed, and (partition, offset, reason) refused."""
    options = plan.options
    rules = Rules(gap=options.gap, allowed_lateness=options.allowed_lateness, max_clicks=options.max_clicks)
    logics = [Partition(rules) for _ in range(options.partitions)]
    refused: Counter[tuple[int, int, str]] = Counter()
    for publication in plan.publications():
        try:
            record = parse(publication.value, publication.key)
        except InvalidRecordError as error:
            refused[publication.partition, publication.sequence, error.reason] += 1
        else:
            logics[publication.partition].advance(publication.sequence, publication.timestamp, record)
    for partition, logic in enumerate(logics):
        refused.update((partition, found.offset, found.reason) for found in logic.refused)
    assert not any(logic.sessions for logic in logics), "a session stayed open"
    return [closed for logic in logics for closed in logic.closed], refused


probabilities = st.builds(
    FaultOptions,
    late=st.sampled_from([0.0, 0.05, 0.2, 0.6]),
    duplicate=st.sampled_from([0.0, 0.05, 0.1]),
    drop=st.sampled_from([0.0, 0.05, 0.1]),
    reorder=st.sampled_from([0.0, 0.05, 0.1]),
    malformed=st.sampled_from([0.0, 0.05, 0.1]),
    seed=st.integers(0, 1_000),
)
plans = st.builds(
    plan_of,
    st.sampled_from([5, 30, 80]),
    st.integers(1, 4),
    probabilities,
    st.sampled_from(["busy-day", "dated"]),
    st.sampled_from([GAP, 600_000, 120_000]),
    st.sampled_from([1_000, 20]),
)


@examples(40)
@given(plans)
def test_each_fault_shows_where_the_ledger_says_and_nowhere_else(plan: Plan) -> None:
    closed, refused = scored(plan)
    ledger = list(plan.ledger())
    for counter in ("late", "duplicates", "missing"):
        shown: Counter[str] = Counter()
        for window in closed:
            shown[window.session_id] += getattr(window.session, counter)
        place = f"score.{counter}"
        assert +shown == Counter(
            e["session_id"] for e in ledger if place in (e["shows_in"], e.get("also_in"))
        )
    dead = [entry for entry in ledger if entry["shows_in"] == "dead-letter"]
    assert refused == Counter((entry["partition"], entry["sequence"], entry["reason"]) for entry in dead)
    event(f"{min(len(ledger) // 20 * 20, 100)} faults or more")


@examples(25)
@given(plans)
def test_faults_open_and_close_no_other_windows(plan: Plan) -> None:
    faulty, _ = scored(plan)
    sound, refused = scored(make_plan(plan.schedule, PlanOptions(**(vars(plan.options) | {"faults": NONE}))))
    assert not refused

    def spans(closed: list[ClosedWindow]) -> list[tuple[str, int, int, str]]:
        return sorted(
            (c.session_id, c.session.opened_at, c.session.last.event_time, c.closed_by) for c in closed
        )

    assert spans(faulty) == spans(sound)


@examples(12)
@given(st.integers(0, 1_000), st.integers(1, 4))
def test_what_is_only_out_of_order_changes_no_feature(seed: int, partitions: int) -> None:
    mixed, _ = scored(plan_of(60, partitions, FaultOptions(reorder=0.5, duplicate=0.5, seed=seed)))
    sound, _ = scored(plan_of(60, partitions, NONE))
    for one in (mixed, sound):
        one.sort(key=lambda closed: closed.session_id)
    assert [(c.session_id, reference(c.session), prefix(c.session)) for c in mixed] == [
        (c.session_id, reference(c.session), prefix(c.session)) for c in sound
    ]


@examples(40)
@given(plans)
def test_faults_hit_disjoint_clicks_inside_of_windows(plan: Plan) -> None:
    ledger = list(plan.ledger())
    hit = {(entry["session_id"], entry["order"]): entry["fault"] for entry in ledger}
    assert len(hit) == len(ledger)
    sessions: dict[str, list[tuple[int, int]]] = defaultdict(list)
    starts = plan.schedule.dataset.starts.tolist()
    for entry, session in zip(plan.schedule, plan.schedule.sessions.tolist(), strict=True):
        sessions[entry.session_id].append((entry.click - starts[session] + 1, entry.event_time))
    for session_id, clicks in sessions.items():
        gap = plan.options.gap
        for place, (order, time) in enumerate(clicks):
            if (session_id, order) in hit:
                assert 0 < place < len(clicks) - 1
                assert time - clicks[place - 1][1] <= gap, "the first of a window"
                assert clicks[place + 1][1] - time <= gap, "the last of a window"
        gone = {PublicationFault[fault.upper()] for fault in ("late", "drop", "malformed")}
        assert gone == set(REMOVED)
        kept = [
            time
            for order, time in clicks
            if PublicationFault[hit.get((session_id, order), "none").upper()] not in REMOVED
        ]
        before = sum(b[1] - a[1] > gap for a, b in pairwise(clicks))
        assert sum(b - a > gap for a, b in pairwise(kept)) == before, "a distance was opened"


@examples(40)
@given(plans)
def test_a_late_click_arrives_behind_the_watermark_and_no_other_does(plan: Plan) -> None:
    late = {(e["session_id"], e["order"]) for e in plan.ledger() if e["fault"] == "late"}
    newest: Counter[int] = Counter()
    for publication in plan.publications():
        try:
            record = parse(publication.value, publication.key)
        except InvalidRecordError:
            continue
        watermark = newest[publication.partition] - LATENESS
        if isinstance(record, Click):
            behind = record.event_time < watermark
            assert behind == ((record.session_id, record.order) in late)
        newest[publication.partition] = max(newest[publication.partition], record.event_time)


def test_each_fault_hits_about_as_many_clicks_as_asked_for() -> None:
    plan = plan_of(3_000, 8, parse_faults("late=0.02,duplicate=0.03,drop=0.04,reorder=0.05,malformed=0.06"))
    # First and last clicks cannot be hit.
    inside = sum(max(len(clicks) - 2, 0) for _, _, clicks in plan.schedule.dataset.steps())
    counts = Counter(entry["fault"] for entry in plan.ledger())
    for fault, asked in (("duplicate", 0.03), ("drop", 0.04), ("malformed", 0.06), ("late", 0.02)):
        assert counts[fault] / inside == pytest.approx(asked, rel=0.15), fault
    # A click that no other passes within the allowed lateness cannot be out of order.
    assert 0.03 < counts["reorder"] / inside <= 0.055


def test_faults_do_not_move_with_the_number_of_partitions_or_another_seed() -> None:
    def hits(partitions: int, seed: int) -> set[tuple[str, int, str]]:
        plan = plan_of(100, partitions, FaultOptions(drop=0.1, malformed=0.1, seed=seed))
        return {(e["session_id"], e["order"], e["fault"]) for e in plan.ledger()}

    assert hits(1, 1) == hits(5, 1)
    assert hits(1, 1) != hits(1, 2)


def test_without_faults_the_ledger_is_empty() -> None:
    assert list(plan_of(50, 2, NONE).ledger()) == []


@pytest.mark.parametrize("damage", damages_of(UCI553.definition), ids=lambda damage: damage.name)
def test_each_damage_makes_the_dead_letter_that_it_names(damage: object) -> None:
    found = next(known for known in damages_of(UCI553.definition) if known is damage)
    click = {
        "type": "click",
        "session_id": "s1",
        "event_time": 1,
        "product": "A1",
        "category": "sale",
        "price": 30.0,
        "price_2": 1,
        "page": 1,
    }
    key, value = found.spoil(b"s1", click)
    with pytest.raises(InvalidRecordError) as refused:
        parse(value, key)
    assert refused.value.reason == found.reason


def test_options_are_read_from_words() -> None:
    assert parse_faults("late=0.01, drop=0.5", 7) == FaultOptions(late=0.01, drop=0.5, seed=7)
    assert parse_faults("") == FaultOptions()


@pytest.mark.parametrize(
    "text", ["late", "late=2", "late=-1", "late=nan", "late=x", "lost=0.1", "=", "late=0.6,drop=0.6"]
)
def test_words_that_are_no_faults_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--faults"):
        parse_faults(text)
