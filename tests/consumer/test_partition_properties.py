"""Partition against an oracle: the rules T1 to T8 written down as naively as they read.

The oracle keeps every click of every open session in plain lists and lets the watermark pass one millisecond
after the other, looking at all sessions at each. It has no due times, no queue, no steps and no fold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, pairwise
from typing import Any, NamedTuple

import msgspec
import pytest
from factory import click, examples, heartbeat
from hypothesis import event, given
from hypothesis import strategies as st

from clickstream.consumer.partition import NOTHING_SEEN, Closed, Crumb, Open, Partition, Refused, Rules
from clickstream.features.click import Click, Heartbeat

pytestmark = pytest.mark.timeout(3_600)  # HYPOTHESIS_PROFILE=thorough takes minutes

Record = Click | Heartbeat
Identity = int | tuple[int, str, int]

FOR_EVER = 10**9


class Read(NamedTuple):
    """A record as it was read: offset, Kafka timestamp, content."""

    offset: int
    timestamp: int
    record: Record


class Result(NamedTuple):
    """All that a closed window shows."""

    session_id: str
    closed_by: str
    closing_offset: int
    opened_at: int
    orders: tuple[int, ...]
    first_offset: int
    last_offset: int
    duplicates: int
    late: int
    missing: int
    clicks: int
    evidence: int
    spent: float
    products: tuple[str, ...]
    categories: tuple[tuple[str, int], ...]
    first: tuple[int, str]
    last: tuple[int, str]
    transitions: int


# --- the oracle ---


@dataclass
class Kept:
    """A click, the offset it was read at, and the copies of it that came while it waited."""

    offset: int
    click: Click
    copies: int = 0


@dataclass
class Visit:
    """What is open of one session id. `settled` in order is the window; `late` belongs to it."""

    settled: list[Kept] = field(default_factory=list)
    late: list[Kept] = field(default_factory=list)
    duplicates: int = 0
    waiting: list[Kept] = field(default_factory=list)

    def holds(self, identity: Identity) -> bool:
        return any(identify(kept.click) == identity for kept in self.settled + self.late)

    def copy(self) -> Visit:
        return Visit(self.settled[:], self.late[:], self.duplicates, self.waiting[:])


def identify(one: Click) -> Identity:
    return one.order if one.order is not None else (one.event_time, one.product, one.page)


def place(kept: Kept) -> tuple[int, int, str, int]:
    return (kept.click.event_time, kept.click.order or 0, kept.click.product, kept.click.page)


class Oracle:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.newest = NOTHING_SEEN
        self.visits: dict[str, Visit] = {}
        self.closed: list[Result] = []
        self.refused: list[tuple[int, str]] = []

    @property
    def watermark(self) -> int:
        return self.newest - self.rules.allowed_lateness

    def read(self, offset: int, timestamp: int, record: Record) -> None:
        if timestamp >= 0 and record.event_time > timestamp + self.rules.max_ahead:
            self.refused.append((offset, "future"))
            return
        if isinstance(record, Click):
            self.arrive(offset, record)
        before = self.watermark
        self.newest = max(self.newest, record.event_time)
        for watermark in range(before + 1, self.watermark + 1):
            for session_id in sorted(self.visits):
                while self.settle(session_id, watermark, offset):
                    pass
        if isinstance(record, Heartbeat) and record.flush:
            for session_id in self.in_due_order():
                self.close_all(session_id, offset, "flush")
        while len(self.visits) > self.rules.max_open_sessions:
            self.close_all(self.in_due_order()[0], offset, "limit")

    def arrive(self, offset: int, one: Click) -> None:
        visit = self.visits.setdefault(one.session_id, Visit())
        arrived = Kept(offset, one)
        overtaken = bool(visit.settled) and place(arrived) < place(visit.settled[-1])
        if one.event_time < self.watermark or overtaken:
            self.arrive_late(arrived, visit)
        else:
            for kept in visit.waiting:
                if kept.click.event_time == one.event_time and identify(kept.click) == identify(one):
                    kept.copies += 1
                    break
            else:
                visit.waiting.append(arrived)
        while len(visit.waiting) > self.rules.max_pending:
            oldest = min(kept.click.event_time for kept in visit.waiting)
            self.settle(one.session_id, oldest + 1, offset)
        if self.visits.get(one.session_id) == Visit():
            del self.visits[one.session_id]

    def arrive_late(self, arrived: Kept, visit: Visit) -> None:
        identity = identify(arrived.click)
        if visit.holds(identity):
            visit.duplicates += 1
            return
        for kept in self.next_of_window(visit, arrived):
            if identify(kept.click) == identity:
                kept.copies += 1
                return
        if not visit.settled or arrived.click.event_time < visit.settled[0].click.event_time:
            self.refused.append((arrived.offset, "late"))
            return
        visit.late.append(arrived)
        if len(visit.settled) + len(visit.late) >= self.rules.max_clicks:
            self.close(arrived.click.session_id, "limit", arrived.offset)

    def next_of_window(self, visit: Visit, arrived: Kept) -> Iterator[Kept]:
        """The waiting clicks that follow the open window, or else `arrived`, with no pause beyond the gap."""
        before = visit.settled[-1] if visit.settled else arrived
        ended = False
        for kept in sorted(visit.waiting, key=place):
            pause = kept.click.event_time - before.click.event_time
            if pause > (0 if ended else self.rules.gap):
                return
            yield kept
            before = kept
            ended = ended or kept.click.end

    def settle(self, session_id: str, watermark: int, offset: int) -> bool:
        """Settle clicks before `watermark` until a window closes; whether one did."""
        visit = self.visits.get(session_id)
        if visit is None:
            return False
        closed_by = ""
        for kept in sorted(visit.waiting, key=place):
            if kept.click.event_time >= watermark:
                break
            if closed_by and kept.click.event_time > self.last(visit):
                break
            if visit.settled and kept.click.event_time - self.last(visit) > self.rules.gap:
                self.close(session_id, "gap", offset)
                return True
            visit.waiting.remove(kept)
            if visit.holds(identify(kept.click)):
                visit.duplicates += 1 + kept.copies
                continue
            visit.settled.append(kept)
            visit.duplicates += kept.copies
            if kept.click.end:
                closed_by = closed_by or "end"
            if len(visit.settled) + len(visit.late) >= self.rules.max_clicks:
                closed_by = closed_by or "limit"
        if closed_by:
            self.close(session_id, closed_by, offset)
            return True
        if visit.settled and watermark - self.last(visit) > self.rules.gap:
            self.close(session_id, "gap", offset)
            return True
        return False

    def last(self, visit: Visit) -> int:
        return visit.settled[-1].click.event_time

    def in_due_order(self) -> list[str]:
        return [session_id for _, session_id in sorted((self.due(s), s) for s in self.visits)]

    def due(self, session_id: str) -> int:
        """The first watermark from the next one on at which a window of the session would close."""
        watermark = self.watermark
        while True:
            watermark += 1
            trial = Oracle(self.rules)
            trial.visits = {session_id: self.visits[session_id].copy()}
            if trial.settle(session_id, watermark, 0):
                return watermark

    def close_all(self, session_id: str, offset: int, last_word: str) -> None:
        while session_id in self.visits:
            self.settle(session_id, FOR_EVER, offset)
        if self.closed[-1].closed_by == "gap":
            self.closed[-1] = self.closed[-1]._replace(closed_by=last_word)

    def close(self, session_id: str, closed_by: str, offset: int) -> None:
        visit = self.visits[session_id]
        counted = visit.settled + visit.late
        orders = {kept.click.order for kept in counted if kept.click.order is not None}
        first, last = visit.settled[0].click, visit.settled[-1].click
        in_order = [kept.click.category for kept in visit.settled]
        self.closed.append(
            Result(
                session_id=session_id,
                closed_by=closed_by,
                closing_offset=offset,
                opened_at=first.event_time,
                orders=tuple(sorted(orders)),
                first_offset=min(kept.offset for kept in counted),
                last_offset=max(kept.offset for kept in counted),
                duplicates=visit.duplicates,
                late=len(visit.late),
                missing=len(set(range(min(orders), max(orders) + 1)) - orders) if orders else 0,
                clicks=len(counted),
                evidence=len(visit.settled) - 1,
                spent=round(sum(kept.click.price for kept in counted), 6),
                products=tuple(sorted({kept.click.product for kept in counted})),
                categories=tuple(sorted(Counter(kept.click.category for kept in counted).items())),
                first=(first.event_time, first.product),
                last=(last.event_time, last.product),
                transitions=sum(one != other for one, other in pairwise(in_order)),
            )
        )
        self.visits[session_id] = Visit(waiting=visit.waiting)
        if not visit.waiting:
            del self.visits[session_id]


# --- the partition ---


class Outcome(NamedTuple):
    """What a run over a log leaves."""

    closed: list[Result]
    partial: list[bool]
    refused: list[tuple[int, str]]
    newest: int
    open_sessions: int
    crumbs: list[Crumb]
    cut: dict[str, int]


def shown(closed: Closed) -> Result:
    session = closed.session
    whole = session.whole()
    if whole.first is None or whole.last is None:
        raise AssertionError(f"a window without clicks was closed: {closed}")
    return Result(
        session_id=closed.session_id,
        closed_by=closed.closed_by,
        closing_offset=closed.offset,
        opened_at=session.opened_at,
        orders=tuple(
            order
            for low, high in zip(session.seen[::2], session.seen[1::2], strict=True)
            for order in range(low, high + 1)
        ),
        first_offset=session.first_offset,
        last_offset=session.last_offset,
        duplicates=session.duplicates,
        late=session.late,
        missing=session.missing,
        clicks=session.clicks,
        evidence=session.evidence,
        spent=round(whole.mean_price * whole.clicks, 6),
        products=tuple(sorted(whole.products)),
        categories=tuple(sorted(whole.categories.items())),
        first=(whole.first.event_time, whole.first.product),
        last=(whole.last.event_time, whole.last.product),
        transitions=whole.transitions,
    )


def new_partition(rules: Rules, **carried: Any) -> Partition:
    return Partition(rules, crumb_every=5, horizon=20, **carried)


def outcome(partition: Partition, closed: Iterable[Closed], refused: Iterable[Refused]) -> Outcome:
    return Outcome(
        [shown(window) for window in closed],
        [window.partial for window in closed],
        [(one.offset, one.reason) for one in refused],
        partition.newest,
        partition.open_sessions,
        partition.crumbs,
        partition.cut,
    )


def in_one_step(rules: Rules, log: Sequence[Read], **carried: Any) -> Outcome:
    partition = new_partition(rules, **carried)
    for read in log:
        partition.advance(*read)
    return outcome(partition, partition.closed, partition.refused)


def in_steps(rules: Rules, log: Sequence[Read], sizes: Sequence[int], partial_before: int) -> Outcome:
    """As the engine does it: each step by a new Partition that is given no more than it must have."""
    stored: dict[str, tuple[bytes, int]] = {}
    partition = new_partition(rules)
    closed: list[Closed] = []
    refused: list[Refused] = []
    left = list(log)
    for size in cycle(sizes):
        records, left = left[:size], left[size:]
        partition = new_partition(
            rules,
            newest=partition.newest,
            open_sessions=partition.open_sessions,
            crumbs=partition.crumbs,
            cut=partition.cut,
            partial_before=partial_before,
        )
        wanted = needed(rules, partition, records, {name: due for name, (_, due) in stored.items()})
        partition.load({name: copied(stored[name][0]) for name in wanted if name in stored})
        for read in records:
            partition.advance(*read)
        closed += partition.closed
        refused += partition.refused
        kept, deleted = partition.changes()
        for name in deleted:
            stored.pop(name, None)
        stored |= {name: (msgspec.msgpack.encode(visit), due) for name, (visit, due) in kept.items()}
        assert len(stored) == partition.open_sessions
        assert all(due > partition.watermark for _, due in stored.values()), "something due was left open"
        if not left:
            break
    return outcome(partition, closed, refused)


def needed(rules: Rules, partition: Partition, records: Sequence[Read], dues: dict[str, int]) -> set[str]:
    """The session ids that `Partition.load` asks for."""
    taken = [read.record for read in records if not from_the_future(rules, read)]
    if any(isinstance(record, Heartbeat) and record.flush for record in taken):
        return set(dues)
    newest = max([partition.newest, *(record.event_time for record in taken)])
    named = {record.session_id for record in taken if isinstance(record, Click)}
    crowd = partition.open_sessions + len(named) - rules.max_open_sessions
    by_due = sorted(dues, key=lambda name: (dues[name], name))
    first = by_due[: crowd + len(named)] if crowd > 0 else []
    return named | {name for name, due in dues.items() if due <= newest - rules.allowed_lateness} | set(first)


def from_the_future(rules: Rules, read: Read) -> bool:
    return 0 <= read.timestamp < read.record.event_time - rules.max_ahead


def copied(encoded: bytes) -> Open:
    return msgspec.msgpack.decode(encoded, type=Open)


# --- logs ---

SESSIONS = ("ann", "bob", "cat")


class Draw(NamedTuple):
    """A record to be: the clock goes `forward`, and the record is `behind` it when it arrives."""

    kind: str
    session: int
    forward: int
    behind: int
    order: int
    product: int
    page: int
    end: bool
    ahead: int


def written(draws: Sequence[Draw]) -> list[Read]:
    """The log of some draws. Clicks of one identity and time are copies: the first says what they hold."""
    log: list[Read] = []
    clicks: list[Click] = []
    first: dict[tuple[str, int, Identity], Click] = {}
    clock = 0
    for offset, draw in enumerate(draws, 100):
        clock += draw.forward
        record = drawn_record(draw, max(0, clock - draw.behind), clicks)
        if isinstance(record, Click):
            record = first.setdefault((record.session_id, record.event_time, identify(record)), record)
            clicks.append(record)
        log.append(Read(offset, record.event_time - draw.ahead, record))
    return log


def drawn_record(draw: Draw, event_time: int, clicks: Sequence[Click]) -> Record:
    if draw.kind == "copy" and clicks:
        one = clicks[-1 - draw.order % len(clicks)]
        # An equal click, or one of the same order at another time.
        return one if draw.page == 1 else one.model_copy(update={"event_time": event_time})
    if draw.kind in ("click", "copy"):
        return click(
            event_time,
            draw.order or None,
            SESSIONS[draw.session],
            product=f"p{draw.product}",
            category=f"c{(event_time + draw.product) % 3}",
            price=event_time * 7 % 11 + draw.product / 3,
            price_2=1 + draw.product % 2,
            page=draw.page,
            end=draw.end,
        )
    return heartbeat(event_time, flush=draw.kind == "flush")


UNBOUNDED = 1_000

rules_to_keep = st.builds(
    Rules,
    gap=st.integers(1, 8),
    allowed_lateness=st.sampled_from([0, 1, 2, 4, 6, 12]),
    max_ahead=st.integers(3, 9),
    max_clicks=st.sampled_from([UNBOUNDED, 4, 3, 2, 1]),
    max_pending=st.sampled_from([UNBOUNDED, 3, 2, 1]),
    max_open_sessions=st.sampled_from([UNBOUNDED, 2, 1]),
)

CHOICES: dict[str, tuple[Any, ...]] = {
    "kind": ("click",) * 14 + ("copy", "copy", "copy", "heartbeat", "heartbeat", "flush"),
    "session": (0, 0, 0, 1, 2),
    "forward": (0, 1, 1, 1, 2, 2, 3, 5, 12),
    "behind": (0, 0, 0, 1, 2, 4, 8),
    "order": (0, 0, 1, 2, 3, 4, 5, 6),
    "product": (0, 1),
    "page": (1, 2),
    "end": (False, False, False, False, False, True),
    "ahead": (0, 0, 0, 0, 0, 3, 10),
}


def drawn(codes: Sequence[bytes]) -> list[Draw]:
    return [
        Draw(*(some[byte % len(some)] for byte, some in zip(code, CHOICES.values(), strict=True)))
        for code in codes
    ]


# One draw of bytes a record: Hypothesis is ten times faster so than with a strategy for each choice.
code = st.binary(min_size=len(CHOICES), max_size=len(CHOICES))
draws_of_a_log = (st.lists(code, min_size=1, max_size=10) | st.lists(code, min_size=12, max_size=30)).map(
    drawn
)
logs = draws_of_a_log.map(written)


# --- the properties ---


@given(rules=rules_to_keep, log=logs)
@examples(600)
def test_what_closes_and_what_is_refused_is_what_the_rules_say(rules: Rules, log: list[Read]) -> None:
    oracle = Oracle(rules)
    for read in log:
        oracle.read(*read)
    found = in_one_step(rules, log)
    assert found.closed == oracle.closed
    assert found.refused == oracle.refused
    assert (found.newest, found.open_sessions) == (oracle.newest, len(oracle.visits))
    for window in found.closed:
        event(f"closed by {window.closed_by}")


@given(
    rules=rules_to_keep,
    log=logs,
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    partial_before=st.sampled_from([-1, 10]),
)
@examples(400)
def test_how_the_log_is_cut_into_steps_changes_nothing(
    rules: Rules, log: list[Read], sizes: list[int], partial_before: int
) -> None:
    in_one = in_one_step(rules, log, partial_before=partial_before)
    assert in_steps(rules, log, sizes, partial_before) == in_one


@given(rules=rules_to_keep, log=logs, start=st.integers(0, 29))
@examples(200)
def test_a_rebuild_from_any_place_marks_every_window_that_it_did_not_get_right(
    rules: Rules, log: list[Read], start: int
) -> None:
    """An order has one time here. The bounds act by what is open, so they are far away."""
    rules = replace(rules, max_pending=UNBOUNDED, max_open_sessions=UNBOUNDED)
    log = [*map(with_an_order_of_its_own, log), Read(1_000, -1, heartbeat(10_000))]
    newest = in_one_step(rules, log[:start]).newest
    rebuilt = in_one_step(rules, log[start:], newest=newest, partial_before=newest + rules.gap)
    right = in_one_step(rules, log).closed
    unmarked = [one for one, partial in zip(rebuilt.closed, rebuilt.partial, strict=True) if not partial]
    assert [one for one in unmarked if one not in right] == []


def with_an_order_of_its_own(read: Read) -> Read:
    record = read.record
    if isinstance(record, Click) and record.order is not None:
        record = record.model_copy(update={"order": record.event_time * 8 + record.order})
    return read._replace(record=record)


@given(rules=rules_to_keep, log=logs)
@examples(200)
def test_a_session_is_due_at_the_first_watermark_that_closes_a_window(rules: Rules, log: list[Read]) -> None:
    partition = new_partition(rules)
    for read in log:
        partition.advance(*read)
        for visit in partition.sessions.values():
            due = visit.due(rules)
            encoded = msgspec.msgpack.encode(visit)
            closing = (w for w in range(partition.watermark, due + 1) if copied(encoded).settle(w, rules))
            assert next(closing, None) == due


@given(rules=rules_to_keep, log=logs)
@examples(200)
def test_windows_that_a_heartbeat_closes_come_in_order_of_due_time_and_session(
    rules: Rules, log: list[Read]
) -> None:
    partition = new_partition(rules)
    for read in log:
        watermark, before = partition.watermark, len(partition.closed)
        partition.advance(*read)
        if isinstance(read.record, Heartbeat) and not read.record.flush:
            dues = [(due_of(closed, rules), closed.session_id) for closed in partition.closed[before:]]
            assert dues == sorted(dues)
            assert all(watermark < due <= partition.watermark for due, _ in dues)


def due_of(closed: Closed, rules: Rules) -> int:
    return closed.session.last.event_time + (rules.gap if closed.closed_by == "gap" else 0) + 1


@given(
    rules=rules_to_keep,
    draws=draws_of_a_log,
    delays=st.binary(min_size=60, max_size=60),
    homes=st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)),
)
@examples(400)
def test_any_interleaving_within_the_allowed_lateness_gives_equal_windows(
    rules: Rules, draws: list[Draw], delays: bytes, homes: tuple[int, int, int]
) -> None:
    """Copies included, and over any number of partitions. The bounds act by the log, so they are far away."""
    rules = replace(rules, max_pending=UNBOUNDED, max_open_sessions=UNBOUNDED)
    clicks = [read.record for read in written(draws) if isinstance(read.record, Click)]
    in_order = sorted(clicks, key=lambda one: one.event_time)
    arrivals = [
        (one.event_time + delay % (rules.allowed_lateness + 1), one)
        for one, delay in zip(clicks * 2, delays, strict=False)
    ]
    arrivals.sort(key=lambda arrival: arrival[0])
    partitions: list[list[Click]] = [[], [], []]
    for _, one in arrivals:
        partitions[homes[SESSIONS.index(one.session_id)]].append(one)
    found = [window for some in partitions for window in windows(rules, some)]
    assert sorted(found) == sorted(windows(rules, in_order))


def windows(rules: Rules, clicks: Iterable[Click]) -> list[Result]:
    """What closes when time goes far beyond the last click; without the log's offsets and the copies."""
    log = [Read(offset, -1, one) for offset, one in enumerate(clicks)]
    closed = in_one_step(rules, [*log, Read(len(log), -1, heartbeat(10_000))]).closed
    return [
        window._replace(closing_offset=0, first_offset=0, last_offset=0, duplicates=0) for window in closed
    ]
