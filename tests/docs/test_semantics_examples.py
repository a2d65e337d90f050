"""The examples of docs/semantics.md, run through the code; and the page, held to what came of them.

An example is the log of one partition. Its records are written as on the page:

    a 1 at 10:00:00                    a click of session a, order 1
    a B7 at 10:00:00                   a click of session a without an order, product B7
    a 2 at 10:00:10, end               the shop says that the visit is over
    a 2 at 10:00:10, written 10:00:00  with a Kafka timestamp other than its event time, or `never`: with none
    heartbeat 10:05:00, flush 10:05:00
    forget a
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest
from factory import (
    FIELDS,
    STORED,
    click,
    click_json,
    heartbeat,
    outcome,
    parse,
    prefix,
    reference,
    session,
    step,
)

from clickstream.features.outcome import Outcome
from clickstream.features.session import Session
from clickstream.features.shop import UCI553
from clickstream.features.vector import DEFINITIONS, REFERENCE
from clickstream.producer.schedule import Calendar, Schedule, ScheduleOptions, make_schedule
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.producer.timeline import NO_CLICK, make_timeline
from clickstream.records.click import Click, Forget, Heartbeat, InvalidRecordError
from clickstream.records.score import comparable, digest
from clickstream.windows.open_session import OpenSession
from clickstream.windows.partition import ClosedWindow, Partition
from clickstream.windows.rules import Rules

PAGE = Path(__file__).parents[2] / "docs" / "semantics.md"

Line = tuple[str, str, str]
"""A record, the watermark after it, and what it does."""


# --- how an example is run ---


def at(clock: str) -> int:
    """Milliseconds since midnight of "10:00:00" or "10:00:00.001"."""
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3_600_000 + int(minutes) * 60_000 + round(float(seconds) * 1_000)


def clock(ms: int) -> str:
    """The time of day, with milliseconds where there are some."""
    seconds, rest = divmod(ms, 1_000)
    whole = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{whole}.{rest:03}" if rest else whole


def parsed(text: str) -> tuple[int, Click | Heartbeat | Forget]:
    """Kafka timestamp and content of a record written as on the page."""
    if found := re.fullmatch(r"(heartbeat|flush) (\S+)", text):
        return at(found[2]), heartbeat(at(found[2]), flush=found[1] == "flush")
    if found := re.fullmatch(r"forget (\w)", text):
        return -1, Forget(session_id=found[1])
    found = re.fullmatch(r"(\w) (\w+) at ([\d:.]+)(, end)?(?:, written ([\d:.]+|never))?", text)
    if found is None:
        raise ValueError(f"{text!r} is no record")
    session_id, name, time, end, written = found.groups()
    changes: dict[str, Any] = {"order": int(name)} if name.isdigit() else {"product": name}
    timestamp = -1 if written == "never" else at(written or time)
    return timestamp, click(at(time), session_id=session_id, end=bool(end), **changes)


class Told:
    """A partition, and words for what each record does there."""

    def __init__(self, rules: Rules) -> None:
        self.partition = Partition(rules)
        self.waiting: Counter[str] = Counter()
        self.late = self.duplicates = 0

    def read(self, offset: int, text: str) -> Line:
        partition = self.partition
        closed, refused, forgotten = (
            len(some) for some in (partition.closed, partition.refused, partition.forgotten)
        )
        partition.advance(offset, *parsed(text))
        visits = {name: settled(name, visit, partition) for name, visit in partition.sessions.items()}
        windows = [one.session for one in partition.closed]
        windows += [visit.window for visit in visits.values() if visit.window is not None]
        late = sum(window.late for window in windows)
        duplicates = sum(window.duplicates for window in windows)
        duplicates += sum(one.copies for visit in visits.values() for one in visit.pending)
        waiting = Counter(
            f"{name} {one.click.order or one.click.product}"
            for name, visit in visits.items()
            for one in visit.pending
        )
        words = [f"dead letter `{one.reason}`" for one in partition.refused[refused:]]
        words += [f"{name} waits" for name in waiting - self.waiting]
        if len(partition.forgotten) > forgotten:
            words.append(f"what is open of {text[-1]} is dropped")
        elif gone := list(self.waiting - waiting):
            words.append(f"{', '.join(gone)} {'settle' if len(gone) > 1 else 'settles'}")
        words += ["counted as late"] * (late > self.late) + ["duplicate"] * (duplicates > self.duplicates)
        words += [closing(one) for one in partition.closed[closed:]]
        self.waiting, self.late, self.duplicates = waiting, late, duplicates
        return text, clock(partition.watermark), "; ".join(words) or "nothing"


def settled(name: str, visit: OpenSession, partition: Partition) -> OpenSession:
    """The session with all settled that the watermark has passed; the partition itself puts that off."""
    copy: OpenSession = msgspec.msgpack.decode(msgspec.msgpack.encode(visit), type=STORED)
    assert copy.settle(name, partition.watermark, partition.rules) is None, "something due was left open"
    return copy


def closing(closed: ClosedWindow) -> str:
    window = closed.session
    counts = {"click": window.clicks, "duplicate": window.duplicates}
    words = [f"{n} {name}{'s' if n > 1 else ''}" for name, n in counts.items() if n]
    words += [f"{n} {name}" for name, n in (("late", window.late), ("missing", window.missing)) if n]
    start = clock(window.opened_at)
    return f"**{closed.session_id} from {start} closes, `{closed.closed_by}`**: {', '.join(words)}"


@dataclass(frozen=True)
class Example:
    """A log under some rules, and what the page says of each record."""

    rules: Rules
    lines: tuple[Line, ...]

    def run(self) -> tuple[Line, ...]:
        told = Told(self.rules)
        return tuple(told.read(offset, text) for offset, (text, _, _) in enumerate(self.lines))

    def closed(self) -> list[ClosedWindow]:
        partition = Partition(self.rules)
        for offset, (text, _, _) in enumerate(self.lines):
            partition.advance(offset, *parsed(text))
        return partition.closed

    def table(self) -> str:
        rows = [("offset", "record", "W", "what happens"), ("---",) * 4]
        rows += [(str(offset), *line) for offset, line in enumerate(self.lines)]
        return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def example(*lines: Line, **rules: int) -> Example:
    return Example(Rules(**rules, shop=UCI553), lines)


# --- the examples ---

T1 = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("a 3 at 10:02:00", "10:01:00", "a 3 waits; a 1 settles"),
    ("a 2 at 10:01:30", "10:01:00", "a 2 waits"),
    ("heartbeat 10:05:00", "10:04:00", "a 2, a 3 settle"),
)
T2 = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("a 3 at 10:00:50", "09:59:50", "a 3 waits"),
    ("a 2 at 10:00:20", "09:59:50", "a 2 waits"),
    ("heartbeat 10:01:20", "10:00:20", "a 1 settles"),
    ("heartbeat 10:01:20.001", "10:00:20.001", "a 2 settles"),
    (
        "heartbeat 10:31:50.001",
        "10:30:50.001",
        "a 3 settles; **a from 10:00:00 closes, `gap`**: 3 clicks",
    ),
)
T3_GAP = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("a 2 at 10:30:00", "10:29:00", "a 2 waits; a 1 settles"),
    ("b 1 at 11:01:00", "11:00:00", "b 1 waits; a 2 settles"),
    ("heartbeat 11:01:00.001", "11:00:00.001", "**a from 10:00:00 closes, `gap`**: 2 clicks"),
)
T3_END = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("a 2 at 10:00:10, end", "09:59:10", "a 2 waits"),
    (
        "heartbeat 10:01:10.001",
        "10:00:10.001",
        "a 1, a 2 settle; **a from 10:00:00 closes, `end`**: 2 clicks",
    ),
)
T3_LIMIT = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("a 2 at 10:00:10", "09:59:10", "a 2 waits"),
    ("a 3 at 10:00:20", "09:59:20", "a 3 waits"),
    (
        "heartbeat 10:01:10.001",
        "10:00:10.001",
        "a 1, a 2 settle; **a from 10:00:00 closes, `limit`**: 2 clicks",
    ),
    (
        "heartbeat 10:31:20.001",
        "10:30:20.001",
        "a 3 settles; **a from 10:00:20 closes, `gap`**: 1 click",
    ),
    max_clicks=2,
)
T3_FLUSH = example(
    ("b 1 at 10:00:00", "09:59:00", "b 1 waits"),
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("c 1 at 09:59:30", "09:59:00", "c 1 waits"),
    (
        "flush 10:00:00",
        "09:59:00",
        "b 1, a 1, c 1 settle; **c from 09:59:30 closes, `flush`**: 1 click;"
        " **a from 10:00:00 closes, `flush`**: 1 click; **b from 10:00:00 closes, `flush`**: 1 click",
    ),
)
T4 = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("a 3 at 10:03:00", "10:02:00", "a 3 waits; a 1 settles"),
    ("a 4 at 10:02:00", "10:02:00", "a 4 waits"),
    ("a 2 at 10:01:00", "10:02:00", "counted as late"),
    ("a 5 at 09:59:00", "10:02:00", "dead letter `late`"),
    ("b 1 at 10:01:30", "10:02:00", "dead letter `late`"),
    (
        "heartbeat 10:40:00",
        "10:39:00",
        "a 4, a 3 settle; **a from 10:00:00 closes, `gap`**: 4 clicks, 1 late",
    ),
)
T5 = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("a 1 at 10:00:00", "09:59:00", "duplicate"),
    ("a 2 at 10:00:30", "09:59:30", "a 2 waits"),
    ("a 4 at 10:02:00", "10:01:00", "a 4 waits; a 1, a 2 settle"),
    ("a 2 at 10:00:30", "10:01:00", "duplicate"),
    ("a 4 at 10:02:05", "10:01:05", "a 4 waits"),
    (
        "heartbeat 10:40:00",
        "10:39:00",
        "a 4 settles; duplicate; **a from 10:00:00 closes, `gap`**: 3 clicks, 3 duplicates, 1 missing",
    ),
    ("a 2 at 10:00:30", "10:39:00", "dead letter `late`"),
)
# Told in words on the page.
T5_WITHOUT_ORDER = example(
    ("a A13 at 10:00:00", "09:59:00", "a A13 waits"),
    ("a A13 at 10:00:00", "09:59:00", "duplicate"),
    ("a B7 at 10:00:00", "09:59:00", "a B7 waits"),
    (
        "heartbeat 10:40:00",
        "10:39:00",
        "a A13, a B7 settle; **a from 10:00:00 closes, `gap`**: 2 clicks, 1 duplicate",
    ),
)
T6 = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("heartbeat 10:05:00", "10:04:00", "a 1 settles"),
    ("heartbeat 10:30:00", "10:29:00", "nothing"),
    ("heartbeat 10:35:00", "10:34:00", "**a from 10:00:00 closes, `gap`**: 1 click"),
)
T7 = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("b 1 at 10:32:00", "10:31:00", "b 1 waits; a 1 settles; **a from 10:00:00 closes, `gap`**: 1 click"),
    ("a 2 at 10:32:30", "10:31:30", "a 2 waits"),
    (
        "heartbeat 11:10:00",
        "11:09:00",
        "b 1, a 2 settle; **b from 10:32:00 closes, `gap`**: 1 click;"
        " **a from 10:32:30 closes, `gap`**: 1 click",
    ),
)
T8 = example(
    ("a 1 at 10:05:00, written 10:00:00", "10:04:00", "a 1 waits"),
    ("a 2 at 10:05:00.001, written 10:00:00", "10:04:00", "dead letter `future`"),
    ("a 3 at 10:05:00, written 11:05:00", "10:04:00", "a 3 waits"),
    ("a 4 at 10:05:00, written 11:05:00.001", "10:04:00", "dead letter `past`"),
    ("a 5 at 12:00:00, written never", "10:04:00", "dead letter `invalid`"),
    max_behind=3_600_000,
)
T7_CLOSED_EARLY = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("b 1 at 10:00:10", "09:59:10", "b 1 waits"),
    (
        "flush 10:00:10",
        "09:59:10",
        "a 1, b 1 settle; **a from 10:00:00 closes, `flush`**: 1 click;"
        " **b from 10:00:10 closes, `flush`**: 1 click",
    ),
    ("a 2 at 10:00:00", "09:59:10", "dead letter `late`"),
    ("a 3 at 10:00:00.001", "09:59:10", "a 3 waits"),
)
T10 = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("a 2 at 10:01:30", "10:00:30", "a 2 waits; a 1 settles"),
    ("forget a", "10:00:30", "what is open of a is dropped"),
    ("forget b", "10:00:30", "nothing"),
    ("a 2 at 10:01:30", "10:00:30", "a 2 waits"),
    ("a 1 at 10:00:00", "10:00:30", "dead letter `late`"),
    ("heartbeat 10:40:00", "10:39:00", "a 2 settles; **a from 10:01:30 closes, `gap`**: 1 click"),
)
MAX_PENDING = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("a 2 at 10:00:10", "09:59:10", "a 2 waits"),
    ("a 3 at 10:00:20", "09:59:20", "a 3 waits; a 1 settles"),
    ("a 4 at 09:59:55", "09:59:20", "dead letter `late`"),
    max_pending=2,
)
MAX_OPEN_SESSIONS = example(
    ("a 1 at 10:00:00", "09:59:00", "a 1 waits"),
    ("b 1 at 10:00:10", "09:59:10", "b 1 waits"),
    ("a 2 at 10:00:20", "09:59:20", "a 2 waits"),
    (
        "c 1 at 10:00:30",
        "09:59:30",
        "c 1 waits; b 1 settles; **b from 10:00:10 closes, `limit`**: 1 click",
    ),
    max_open_sessions=2,
)
ON_THE_PAGE = {
    "T1": T1,
    "T2": T2,
    "T3 gap": T3_GAP,
    "T3 end": T3_END,
    "T3 limit": T3_LIMIT,
    "T3 flush": T3_FLUSH,
    "T4": T4,
    "T5": T5,
    "T6": T6,
    "T7": T7,
    "T7 closed early": T7_CLOSED_EARLY,
    "T8": T8,
    "T10": T10,
    "max_pending": MAX_PENDING,
    "max_open_sessions": MAX_OPEN_SESSIONS,
}

VISIT = (
    {"product": "A7", "category": "trousers", "price": 28.0, "price_2": 2, "page": 1},
    {"product": "A13", "category": "trousers", "price": 52.0, "price_2": 1, "page": 2},
    {"product": "B4", "category": "skirts", "price": 61.0, "price_2": 1, "page": 1},
)
"""The three clicks of the page's table of features."""


def visit() -> Session:
    return session(*(step(order * 1_000, order, **shown) for order, shown in enumerate(VISIT, 1)))


def late_counts() -> dict[str, bool]:
    """For each feature, whether a late click changes it."""
    before, after = visit(), visit()
    after.add_late(step(1_500, 8, product="P1", category="sale", price=99.0, price_2=1, page=5), 8)
    after.add_late(step(1_600, 9, product="A7", price=9.0), 9)
    values = prefix(before), prefix(after)
    if values[0] is None or values[1] is None:
        raise AssertionError("the visit has evidence")
    return {name: values[0][name] != values[1][name] for name in DEFINITIONS}


# --- the rules ---


@pytest.mark.parametrize("name", ON_THE_PAGE)
def test_the_page_shows_each_example(name: str) -> None:
    assert ON_THE_PAGE[name].table() in PAGE.read_text()


def test_t1_the_watermark_is_the_largest_event_time_less_the_lateness_and_never_goes_back() -> None:
    assert T1.run() == T1.lines


def test_t2_clicks_wait_until_the_watermark_is_beyond_them_and_settle_in_event_time_order() -> None:
    assert T2.run() == T2.lines
    (closed,) = T2.closed()
    assert closed.session.last.order == 3
    assert closed.offset == 5


def test_t2_the_order_of_arrival_within_the_lateness_changes_nothing() -> None:
    clicks = [line[0] for line in T2.lines[:3]]
    found = set()
    for arrivals in permutations(clicks):
        (closed,) = Example(T2.rules, tuple((text, "", "") for text in [*arrivals, T2.lines[-1][0]])).closed()
        found.add(msgspec.json.encode((closed.closed_by, reference(closed.session), prefix(closed.session))))
    assert len(found) == 1


def test_t3_a_distance_of_exactly_the_gap_joins_and_a_millisecond_more_closes() -> None:
    assert T3_GAP.run() == T3_GAP.lines


def test_t3_a_click_with_end_closes_when_it_settles() -> None:
    assert T3_END.run() == T3_END.lines


def test_t3_the_largest_number_of_clicks_closes() -> None:
    assert T3_LIMIT.run() == T3_LIMIT.lines


def test_t3_a_flush_closes_everything_in_order_of_due_time_and_session_id() -> None:
    assert T3_FLUSH.run() == T3_FLUSH.lines


def test_t4_a_late_click_counts_in_an_open_window_and_is_a_dead_letter_elsewhere() -> None:
    assert T4.run() == T4.lines
    (closed,) = T4.closed()
    assert closed.session.evidence == 2
    assert closed.session.last.order == 3


def test_t5_a_second_click_of_one_identity_is_dropped_and_counted_before_lateness_is_asked() -> None:
    assert T5.run() == T5.lines
    (closed,) = T5.closed()
    assert clock(closed.session.last.event_time) == "10:02:00"


def test_t5_without_an_order_time_product_and_page_are_the_identity() -> None:
    assert T5_WITHOUT_ORDER.run() == T5_WITHOUT_ORDER.lines


def test_t6_heartbeats_close_a_session_that_nobody_else_would() -> None:
    assert T6.run() == T6.lines


def test_t6_a_replay_beats_each_five_minutes_while_a_session_can_be_open_and_once_at_the_end() -> None:
    schedule = make_schedule(synthetic_dataset(1), ScheduleOptions())
    timeline = make_timeline(schedule, partitions=1, gap=1_800_000, allowed_lateness=60_000)
    last = int(schedule.times[-1])
    beats = [int(time) - last for time in timeline.times[timeline.clicks == NO_CLICK] if time > last]
    assert beats == [*(minutes * 60_000 for minutes in (5, 10, 15, 20, 25, 30)), 1_860_002]


def test_t7_a_click_of_a_closed_session_opens_a_window_of_its_own() -> None:
    assert T7.run() == T7.lines
    ids = [f"{closed.session_id}/{closed.session.opened_at}" for closed in T7.closed()]
    assert ids == ["a/36000000", "b/37920000", "a/37950000"]


def test_t7_what_a_flush_closed_early_opens_no_second_window_of_the_same_moment() -> None:
    assert T7_CLOSED_EARLY.run() == T7_CLOSED_EARLY.lines


def test_t8_an_event_time_too_far_from_the_timestamp_is_refused_and_moves_no_watermark() -> None:
    assert T8.run() == T8.lines


def test_t9_a_dated_shop_has_few_sessions_open_and_a_busy_day_hundreds() -> None:
    dataset = synthetic_dataset(24_026)

    def on(calendar: Calendar) -> Schedule:
        return make_schedule(dataset, ScheduleOptions(calendar))

    assert on("dated").load(0).mean < 1
    assert on("dated").load(1_800_000).mean < 10
    assert on("busy-day").load(1_800_000).mean > 500


def test_t10_what_is_open_of_a_session_is_dropped_and_what_comes_later_begins_anew() -> None:
    assert T10.run() == T10.lines


# --- the bounds ---


def test_max_pending_the_oldest_click_settles_early_and_what_it_overtook_is_late() -> None:
    assert MAX_PENDING.run() == MAX_PENDING.lines


def test_max_open_sessions_the_session_due_first_closes() -> None:
    assert MAX_OPEN_SESSIONS.run() == MAX_OPEN_SESSIONS.lines


def test_max_record_bytes_one_byte_more_is_a_dead_letter() -> None:
    key = FIELDS["session_id"].encode()
    empty = len(click_json(note=""))
    parse(click_json(note="x" * (65_536 - empty)), key)
    with pytest.raises(InvalidRecordError) as caught:
        parse(click_json(note="x" * (65_537 - empty)), key)
    assert caught.value.reason == "too-large"


# --- what a score says ---


def test_the_page_shows_the_features_of_its_visit() -> None:
    whole, before_last = reference(visit()), prefix(visit())
    assert before_last is not None
    late = late_counts()
    rows = [
        ("feature", "definition", "`reference`", "`prefix`", "late clicks"),
        ("---",) * 5,
        *(
            (
                f"`{name}`",
                text,
                shown(whole[name]) if name in REFERENCE.features else "not in it",
                shown(before_last[name]),
                "count" if late[name] else "",
            )
            for name, text in DEFINITIONS.items()
        ),
    ]
    assert table(rows) in PAGE.read_text()


def shown(value: object) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def test_where_clicks_carry_no_order_late_ones_move_the_position_of_the_last() -> None:
    without = session(step(1_000), step(2_000, product="B7"))
    assert reference(without)["last_order"] == 2
    without.add_late(step(1_500), 9)
    assert reference(without)["last_order"] == 3


def test_the_outcome_is_a_rule_over_the_last_click() -> None:
    assert outcome(visit()) == Outcome(True, 61.0, "proxy", 3_000)
    assert UCI553.decided_by(step(0, price_2=2, page=3, price=28.0)) == Outcome(False, 28.0)
    assert UCI553.decided_by(step(0, price_2=2, page=4, price=28.0)) == Outcome(True, 28.0, "proxy", 0)


def test_a_session_of_one_click_has_no_evidence() -> None:
    assert session(step(0, 1)).evidence == 0
    assert prefix(session(step(0, 1))) is None
    assert visit().evidence == 2


def test_the_two_comparisons_leave_out_what_the_page_says() -> None:
    score: dict[str, Any] = {
        "score_id": "a/36000000",
        "duplicates": 1,
        "predictions": {"batch": 1, "online": 2, "reference": 3},
        "models": {"lessons": 5},
        "source": {"partition": 0},
        "scored_at": 7,
    }
    assert score.keys() - comparable(score, "same-log").keys() == {"scored_at"}
    across = comparable(score, "across-logs")
    assert score.keys() - across.keys() == {"scored_at", "source", "models", "duplicates"}
    assert across["predictions"] == {"batch": 1, "reference": 3}
    assert digest([score], "same-log") == digest([score | {"scored_at": 8}], "same-log")
