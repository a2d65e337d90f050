"""The rules T1 to T8 written down as naively as they read, and logs drawn to try them.

The oracle keeps every click of every open session in plain lists and lets the watermark pass one millisecond
after the other, looking at all sessions at each. It has no due times, no queue, no steps and no fold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from factory import click, heartbeat
from hypothesis import strategies as st

from clickstream.consumer.partition import NOTHING_SEEN, Closed, Rules
from clickstream.features.click import Click, Heartbeat

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


def with_an_order_of_its_own(read: Read) -> Read:
    record = read.record
    if isinstance(record, Click) and record.order is not None:
        record = record.model_copy(update={"order": record.event_time * 8 + record.order})
    return read._replace(record=record)
