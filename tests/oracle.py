"""The rules T1 to T8 and T10 written down as naively as they read, and logs drawn to try them.

The oracle keeps every click of every open session in plain lists and lets the watermark pass one millisecond
after the other, looking at all sessions at each. It has no due times, no queue, no steps and no fold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from factory import click, heartbeat
from hypothesis import strategies as st

from clickstream.records.click import Click, Forget, Heartbeat
from clickstream.windows.partition import EVERY_SESSION, NOTHING_SEEN, ClosedWindow
from clickstream.windows.rules import Rules

Record = Click | Heartbeat | Forget
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
    time_source: str | None


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


def content(one: Click) -> tuple[Any, ...]:
    """Of copies of one time that differ, the one with the smallest counts."""
    return (
        one.product,
        one.page,
        one.category,
        one.price,
        one.price_2,
        one.end,
        one.time_source is not None,
        one.time_source,
    )


class Oracle:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.newest = NOTHING_SEEN
        self.visits: dict[str, Visit] = {}
        self.closed: list[Result] = []
        self.early: list[tuple[str, int]] = []
        self.just_closed: list[tuple[str, int]] = []
        self.refused: list[tuple[int, str]] = []
        self.counted: set[Identity] = set()

    @property
    def watermark(self) -> int:
        return self.newest - self.rules.allowed_lateness

    def read(self, offset: int, timestamp: int, record: Record) -> None:
        if isinstance(record, Forget):
            self.visits.pop(record.session_id, None)
            return
        refused = wrongly_clocked(self.rules, timestamp, record)
        if refused:
            self.refused.append((offset, refused))
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
        for session_id, last in self.just_closed:
            if last >= self.watermark:
                self.note_early(session_id, last)
        self.just_closed = []

    def arrive(self, offset: int, one: Click) -> None:
        visit = self.visits.setdefault(one.session_id, Visit())
        arrived = Kept(offset, one)
        overtaken = bool(visit.settled) and place(arrived) < place(visit.settled[-1])
        early = [time for name, time in self.early if name in (one.session_id, EVERY_SESSION)]
        if one.event_time < self.watermark or overtaken or any(one.event_time <= time for time in early):
            self.arrive_late(arrived, visit)
        else:
            for kept in visit.waiting:
                if kept.click.event_time == one.event_time and identify(kept.click) == identify(one):
                    kept.copies += 1
                    if content(one) < content(kept.click):
                        kept.click, kept.offset = one, offset
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
        for kept in sorted(visit.waiting, key=place):
            if identify(kept.click) == identity and self.would_join(visit, arrived):
                kept.copies += 1
                return
        if not visit.settled or arrived.click.event_time < visit.settled[0].click.event_time:
            self.refused.append((arrived.offset, "late"))
            return
        visit.late.append(arrived)
        if len(visit.settled) + len(visit.late) >= self.rules.max_clicks:
            for kept in sorted(visit.waiting, key=place):
                if kept.click.event_time == self.last(visit):
                    self.take(visit, kept)
            self.close(arrived.click.session_id, "limit", arrived.offset)

    def would_join(self, visit: Visit, arrived: Kept) -> bool:
        """Whether a click of its identity is in the window that closes next if nothing else comes."""
        if not visit.settled:
            first = min(kept.click.event_time for kept in visit.waiting)
            if first - arrived.click.event_time > self.rules.gap:
                return False
        trial = Oracle(self.rules)
        trial.visits = {arrived.click.session_id: visit.copy()}
        trial.settle(arrived.click.session_id, FOR_EVER, 0)
        return identify(arrived.click) in trial.counted

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
            if not self.take(visit, kept):
                continue
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

    def take(self, visit: Visit, kept: Kept) -> bool:
        """Settle a waiting click; whether it is no copy."""
        visit.waiting.remove(kept)
        if visit.holds(identify(kept.click)):
            visit.duplicates += 1 + kept.copies
            return False
        visit.settled.append(kept)
        visit.duplicates += kept.copies
        return True

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
                time_source=last.time_source,
            )
        )
        self.counted = {identify(kept.click) for kept in counted}
        self.just_closed.append((session_id, last.event_time))
        self.visits[session_id] = Visit(waiting=visit.waiting)
        if not visit.waiting:
            del self.visits[session_id]

    def note_early(self, session_id: str, time: int) -> None:
        """The session was settled before its time. Of too many, the first are taken for all."""
        while self.early and self.early[0][1] < self.watermark:
            del self.early[0]
        self.early = [(name, until) for name, until in self.early if name != session_id]
        self.early.append((session_id, time))
        while len(self.early) > self.rules.max_open_sessions:
            first, *rest = self.early
            every = max(until for name, until in self.early if name in (first[0], EVERY_SESSION))
            self.early = [one for one in rest if one[0] != EVERY_SESSION] + [(EVERY_SESSION, every)]


def wrongly_clocked(rules: Rules, timestamp: int, record: Click | Heartbeat) -> str:
    """The reason for which T8 refuses a record; empty: it does not."""
    if timestamp < 0:
        return "invalid"
    if record.event_time > timestamp + rules.max_ahead:
        return "future"
    if rules.max_behind and record.event_time < timestamp - rules.max_behind:
        return "past"
    return ""


def shown(closed: ClosedWindow) -> Result:
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
        spent=round(whole.price_mean * whole.clicks, 6),
        products=tuple(sorted(whole.product_values)),
        categories=tuple(sorted(whole.category_counts.items())),
        first=(whole.first.event_time, whole.first.product),
        last=(whole.last.event_time, whole.last.product),
        transitions=whole.category_changes,
        time_source=whole.last.time_source,
    )


# --- logs ---

SESSIONS = ("ann", "bob", "cat")


class Draw(NamedTuple):
    """A record to be: the clock goes `forward`, and the record is `behind` it when it arrives. Its event time
    is `ahead` of its Kafka timestamp.
    """

    kind: str
    session: int
    forward: int
    behind: int
    order: int
    product: int
    page: int
    end: bool
    time_source: str | None
    ahead: int


def written(draws: Sequence[Draw]) -> list[Read]:
    """The log of some draws."""
    log: list[Read] = []
    clicks: list[Click] = []
    clock = 0
    for offset, draw in enumerate(draws, 100):
        clock += draw.forward
        record = drawn_record(draw, max(0, clock - draw.behind), clicks)
        if isinstance(record, Click):
            clicks.append(record)
        log.append(Read(offset, stamped(record.event_time - draw.ahead), record))
    return log


def stamped(timestamp: int) -> int:
    """-1: none."""
    return max(-1, timestamp)


def drawn_record(draw: Draw, event_time: int, clicks: Sequence[Click]) -> Record:
    shown: dict[str, Any] = {
        "product": f"p{draw.product}",
        "category": f"c{(event_time + draw.product) % 3}",
        "price": event_time * 7 % 11 + draw.product / 3,
        "price_2": 1 + draw.product % 2,
        "page": draw.page,
        "end": draw.end,
        "time_source": draw.time_source,
    }
    if draw.kind in ("copy", "variant") and clicks:
        one = clicks[-1 - draw.order % len(clicks)]
        if draw.kind == "variant":
            # Of the same order and time, but it holds something else: all, or its time_source.
            changed = shown if draw.page == 2 else {"time_source": draw.time_source}
            return one.model_copy(update=changed)
        # An equal click, or one of the same order at another time.
        return one if draw.page == 1 else one.model_copy(update={"event_time": event_time})
    if draw.kind in ("click", "copy", "variant"):
        return click(event_time, draw.order or None, SESSIONS[draw.session], **shown)
    if draw.kind == "forget":
        return Forget(session_id=SESSIONS[draw.session])
    return heartbeat(event_time, flush=draw.kind == "flush")


UNBOUNDED = 1_000

rules_to_keep = st.builds(
    Rules,
    gap=st.integers(1, 8),
    allowed_lateness=st.sampled_from([0, 1, 2, 4, 6, 12]),
    max_ahead=st.integers(3, 9),
    max_behind=st.sampled_from([0, 0, 3, 20]),
    max_clicks=st.sampled_from([UNBOUNDED, 4, 3, 2, 1]),
    max_pending=st.sampled_from([UNBOUNDED, 3, 2, 1]),
    max_open_sessions=st.sampled_from([UNBOUNDED, 2, 1]),
)

CHOICES: dict[str, tuple[Any, ...]] = {
    "kind": ("click",) * 13
    + ("copy", "copy", "copy", "variant", "heartbeat", "heartbeat", "flush", "forget"),
    "session": (0, 0, 0, 1, 2),
    "forward": (0, 1, 1, 1, 2, 2, 3, 5, 12),
    "behind": (0, 0, 0, 1, 2, 4, 8),
    "order": (0, 0, 1, 2, 3, 4, 5, 6),
    "product": (0, 1),
    "page": (1, 2),
    "end": (False, False, False, False, False, True),
    "time_source": (None, "a", "b"),
    "ahead": (0, 0, 0, 0, 0, 0, 3, 10, -5, -30),
}


CROWDED = CHOICES | {
    "kind": ("click",) * 11 + ("copy", "copy", "variant", "heartbeat", "forget"),
    "session": (0,),
    "forward": (0, 1, 1, 2, 3),
    "behind": (0, 0, 1, 2, 4, 6),
    "order": (1, 2, 3, 4, 5),
    "end": (False, False, True),
    "ahead": (0,),
}
"""One session of few orders, many of them late, while others of the same order wait."""


def drawn(codes: Sequence[bytes], choices: dict[str, tuple[Any, ...]] = CHOICES) -> list[Draw]:
    return [
        Draw(*(some[byte % len(some)] for byte, some in zip(code, choices.values(), strict=True)))
        for code in codes
    ]


# One draw of bytes a record: Hypothesis is ten times faster so than with a strategy for each choice.
code = st.binary(min_size=len(CHOICES), max_size=len(CHOICES))
draws_of_a_log = (st.lists(code, min_size=1, max_size=10) | st.lists(code, min_size=12, max_size=30)).map(
    drawn
)
logs = draws_of_a_log.map(written)
crowded_logs = st.lists(code, min_size=3, max_size=16).map(lambda codes: written(drawn(codes, CROWDED)))


def with_an_order_of_its_own(read: Read) -> Read:
    record = read.record
    if isinstance(record, Click) and record.order is not None:
        record = record.model_copy(update={"order": record.event_time * 8 + record.order})
    return read._replace(record=record)
