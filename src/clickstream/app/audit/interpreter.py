"""Interpreter: the rules T1 to T8 as they read, over plain lists of clicks. Slow, and the audit's own.

It is written from docs/semantics.md and shares no code with the event-time logic of the consumer: no fold, no
queue, no state that is handed over. A session is the list of its clicks; whatever is asked of it is computed
from the list. See `independent.py` for what it is held against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from clickstream.features.click import Click, Heartbeat

Identity = int | tuple[int, str, int]

_FOREVER = 1 << 62


class Limits(Protocol):
    """The settings that shape sessions; times in milliseconds."""

    @property
    def gap(self) -> int: ...
    @property
    def allowed_lateness(self) -> int: ...
    @property
    def max_ahead(self) -> int: ...
    @property
    def max_clicks(self) -> int: ...
    @property
    def max_pending(self) -> int: ...
    @property
    def max_open_sessions(self) -> int: ...


@dataclass(slots=True)
class Kept:
    """A click, the offset it was read at, and how many copies of it came while it waited."""

    offset: int
    click: Click
    copies: int = 0

    @property
    def time(self) -> int:
        """Its event time."""
        return self.click.event_time

    @property
    def identity(self) -> Identity:
        """What makes two clicks of a session the same one (T5)."""
        click = self.click
        return click.order if click.order is not None else (click.event_time, click.product, click.page)

    @property
    def place(self) -> tuple[int, int, str, int]:
        """Clicks of a session settle in this order (T2)."""
        click = self.click
        return (click.event_time, click.order or 0, click.product, click.page)

    @property
    def content(self) -> tuple[str, int, str, float, int, bool]:
        """Of copies of one time that differ, the one with the smallest counts."""
        click = self.click
        return (click.product, click.page, click.category, click.price, click.price_2, click.end)


class Window(NamedTuple):
    """A window that closed: its clicks in order, and its late ones; what closed it, at which record.

    `due` is the smallest watermark at which it had to close.
    """

    session_id: str
    settled: tuple[Kept, ...]
    late: tuple[Kept, ...]
    duplicates: int
    closed_by: str
    offset: int
    due: int


@dataclass(slots=True)
class Visit:
    """What is open of one session id: the window of settled clicks in order, its late ones, what waits."""

    settled: list[Kept] = field(default_factory=list)
    late: list[Kept] = field(default_factory=list)
    duplicates: int = 0
    waiting: list[Kept] = field(default_factory=list)

    @property
    def last(self) -> int:
        """Event time of the last settled click."""
        return self.settled[-1].time

    def holds(self, identity: Identity) -> bool:
        """Whether the window has a click of this identity."""
        return any(kept.identity == identity for kept in (*self.settled, *self.late))

    def is_full(self, rules: Limits) -> bool:
        """Whether the window has all the clicks that one may have."""
        return len(self.settled) + len(self.late) >= rules.max_clicks

    def settle(self, watermark: int, rules: Limits) -> str:
        """Settle what the watermark has passed, up to the click that closes the window; by what (T3)."""
        closed_by = "limit" if self.settled and self.is_full(rules) else ""
        for kept in sorted(self.waiting, key=lambda kept: kept.place):
            if kept.time >= watermark or (closed_by and kept.time > self.last):
                break
            if self.settled and kept.time - self.last > rules.gap:
                return "gap"
            self.waiting.remove(kept)
            if self.holds(kept.identity):
                self.duplicates += 1 + kept.copies
                continue
            self.settled.append(kept)
            self.duplicates += kept.copies
            if kept.click.end:
                closed_by = closed_by or "end"
            if self.is_full(rules):
                closed_by = closed_by or "limit"
        if not closed_by and self.settled and watermark - self.last > rules.gap:
            return "gap"
        return closed_by

    def due(self, rules: Limits) -> int:
        """The smallest watermark at which a window of it closes."""
        trial = Visit(self.settled[:], self.late[:], 0, [replace(kept) for kept in self.waiting])
        closed_by = trial.settle(_FOREVER, rules)
        return trial.last + 1 + (rules.gap if closed_by == "gap" else 0)


class Interpreter:
    """One partition of the clicks topic, read record by record.

    Attributes:
        closed: windows that the last record closed, in order of closing.
        refused: the reason for which the last record was refused; empty: it was not.
        visits: what is open, by session id.

    Args:
        is_read: whether a session is interpreted. Of others only the event times are looked at.
        counts_all: every session is read, so the bound on open sessions can be applied.
    """

    def __init__(self, rules: Limits, is_read: Callable[[str], bool], counts_all: bool) -> None:
        self.rules = rules
        self.closed: list[Window] = []
        self.refused = ""
        self.visits: dict[str, Visit] = {}
        self._is_read = is_read
        self._counts_all = counts_all
        self._newest = -1
        self._due: dict[str, int] = {}
        # No session is due before.
        self._soonest = _FOREVER

    @property
    def watermark(self) -> int:
        """T1."""
        return self._newest - self.rules.allowed_lateness

    def read(self, offset: int, timestamp: int, record: Click | Heartbeat) -> None:
        """Take the next record."""
        self.closed, self.refused = [], ""
        if timestamp >= 0 and record.event_time > timestamp + self.rules.max_ahead:
            self.refused = "future"
            return
        if isinstance(record, Click) and self._is_read(record.session_id):
            self._arrive(record.session_id, Kept(offset, record))
        self._newest = max(self._newest, record.event_time)
        if self.watermark >= self._soonest:
            self._close_due(offset)
        if isinstance(record, Heartbeat) and record.flush:
            for session_id in self._in_due_order():
                self.close_all(session_id, offset, "flush")
        while self._counts_all and len(self.visits) > self.rules.max_open_sessions:
            self.close_all(self._in_due_order()[0], offset, "limit")

    def close_all(self, session_id: str, offset: int, last_word: str) -> None:
        """Settle and close everything of a session."""
        while (visit := self.visits.get(session_id)) is not None:
            closed_by = visit.settle(_FOREVER, self.rules)
            is_last = closed_by == "gap" and not visit.waiting
            self._close(session_id, visit, last_word if is_last else closed_by, offset)

    def drop(self, session_id: str) -> None:
        """Read this session no further."""
        self.visits.pop(session_id, None)
        self._due.pop(session_id, None)

    def _arrive(self, session_id: str, arrived: Kept) -> None:
        visit = self.visits.setdefault(session_id, Visit())
        visit.settle(self.watermark, self.rules)
        overtaken = bool(visit.settled) and arrived.place < visit.settled[-1].place
        if arrived.time < self.watermark or overtaken:
            self._arrive_late(session_id, arrived, visit)
        else:
            self._wait(arrived, visit)
        while len(visit.waiting) > self.rules.max_pending:
            closed_by = visit.settle(min(kept.time for kept in visit.waiting) + 1, self.rules)
            if closed_by:
                self._close(session_id, visit, closed_by, arrived.offset)
                visit = self.visits.get(session_id, Visit())
        self._tidy(session_id)

    def _wait(self, arrived: Kept, visit: Visit) -> None:
        for kept in visit.waiting:
            if kept.time == arrived.time and kept.identity == arrived.identity:
                kept.copies += 1
                if arrived.content < kept.content:
                    kept.click, kept.offset = arrived.click, arrived.offset
                return
        visit.waiting.append(arrived)

    def _arrive_late(self, session_id: str, arrived: Kept, visit: Visit) -> None:
        if visit.holds(arrived.identity):
            visit.duplicates += 1
            return
        for kept in self._of_the_window(visit, arrived):
            if kept.identity == arrived.identity:
                kept.copies += 1
                return
        if not visit.settled or arrived.time < visit.settled[0].time:
            self.refused = "late"
            return
        visit.late.append(arrived)
        if visit.is_full(self.rules):
            self._close(session_id, visit, "limit", arrived.offset)

    def _of_the_window(self, visit: Visit, arrived: Kept) -> Iterator[Kept]:
        """Waiting clicks that follow the open window, or else `arrived`, with no pause beyond the gap."""
        last, ended = visit.last if visit.settled else arrived.time, False
        for kept in sorted(visit.waiting, key=lambda kept: kept.place):
            if kept.time - last > (0 if ended else self.rules.gap):
                return
            yield kept
            last, ended = kept.time, ended or kept.click.end

    def _close_due(self, offset: int) -> None:
        before, self.closed = self.closed, []
        for session_id in [one for one, due in self._due.items() if due <= self.watermark]:
            while (visit := self.visits.get(session_id)) is not None:
                closed_by = visit.settle(self.watermark, self.rules)
                if not closed_by:
                    break
                self._close(session_id, visit, closed_by, offset)
            self._tidy(session_id)
        self.closed = before + sorted(self.closed, key=lambda window: (window.due, window.session_id))
        self._soonest = min(self._due.values(), default=_FOREVER)

    def _in_due_order(self) -> list[str]:
        return [session_id for _, session_id in sorted((due, one) for one, due in self._due.items())]

    def _close(self, session_id: str, visit: Visit, closed_by: str, offset: int) -> None:
        due = visit.last + 1 + (self.rules.gap if closed_by in ("gap", "flush") else 0)
        self.closed.append(
            Window(
                session_id,
                tuple(visit.settled),
                tuple(visit.late),
                visit.duplicates,
                closed_by,
                offset,
                due,
            )
        )
        self.visits[session_id] = Visit(waiting=visit.waiting)
        self._tidy(session_id)

    def _tidy(self, session_id: str) -> None:
        """Forget a session of which nothing is open; note when the others are due."""
        visit = self.visits.get(session_id)
        if visit is None or not (visit.settled or visit.waiting):
            self.drop(session_id)
            return
        self._due[session_id] = due = visit.due(self.rules)
        self._soonest = min(self._soonest, due)
