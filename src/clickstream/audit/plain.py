"""Plain: the rules T1 to T10 as they read, over plain lists of clicks. Slow, and the audit's own.

It is written from docs/semantics.md and shares no code with the event-time logic of the consumer: no fold, no
queue, no state that is handed over. A session is the list of its clicks; whatever is asked of it is computed
from the list. See `independent.py` for what it is held against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from clickstream.features.condition import holds
from clickstream.features.definition import ShopDefinition
from clickstream.records.click import Click, Forget, Heartbeat

if TYPE_CHECKING:  # the numbers alone: no logic of theirs
    from clickstream.windows.rules import Rules

Identity = int | tuple[Any, ...]

_FOREVER = 1 << 62

_EVERY = ""
"""In place of a session id, none of which is empty: all of them."""


@dataclass(slots=True)
class KeptClick:
    """A click, the offset it was read at, and how many copies of it came while it waited.

    `after`: of a late one, how many clicks in order its window had by then.
    """

    offset: int
    click: Click
    definition: ShopDefinition
    copies: int = 0
    after: int = 0

    @property
    def time(self) -> int:
        """Its event time."""
        return self.click.event_time

    @property
    def identity(self) -> Identity:
        """What makes two clicks of a session the same one (T5)."""
        click = self.click
        if click.order is not None:
            return click.order
        return (click.event_time, *(getattr(click, name) for name in self.definition.identity))

    @property
    def place(self) -> tuple[Any, ...]:
        """Clicks of a session settle in this order (T2)."""
        return (self.click.event_time, self.click.order or 0, *self._sortable(self.definition.identity))

    @property
    def content(self) -> tuple[Any, ...]:
        """Of copies of one time that differ, the one with the smallest counts."""
        identity = self.definition.identity
        others = [field.name for field in self.definition.used_fields() if field.name not in identity]
        click = self.click
        return (*self._sortable([*identity, *others]), click.end, click.time_source or "")

    @property
    def row(self) -> dict[str, Any]:
        """What the definition speaks of."""
        names = ("event_time", "order", *(field.name for field in self.definition.fields))
        return {name: getattr(self.click, name) for name in names}

    def _sortable(self, names: Sequence[str]) -> Iterator[Any]:
        for name in names:
            value = getattr(self.click, name)
            if self.definition.field(name).optional:
                yield value is not None
            yield value


class InterpretedWindow(NamedTuple):
    """A window that closed: its clicks in order, and its late ones; what closed it, at which record.

    `due` is the smallest watermark at which it had to close.
    """

    session_id: str
    settled: tuple[KeptClick, ...]
    late: tuple[KeptClick, ...]
    duplicates: int
    closed_by: str
    offset: int
    due: int


class InterpretedVisit(NamedTuple):
    """A visit that is open at a click, `arrived`, that has just come: all its clicks in order, late ones."""

    session_id: str
    arrived: KeptClick
    settled: tuple[KeptClick, ...]
    late: tuple[KeptClick, ...]

    @property
    def offset(self) -> int:
        """Of the click that has come."""
        return self.arrived.offset


@dataclass(slots=True)
class OpenVisit:
    """What is open of one session id: the window of settled clicks in order, its late ones, what waits."""

    settled: list[KeptClick] = field(default_factory=list)
    late: list[KeptClick] = field(default_factory=list)
    duplicates: int = 0
    waiting: list[KeptClick] = field(default_factory=list)

    @property
    def last(self) -> int:
        """Event time of the last settled click."""
        return self.settled[-1].time

    def holds(self, identity: Identity) -> bool:
        """Whether the window has a click of this identity."""
        return any(kept.identity == identity for kept in (*self.settled, *self.late))

    def is_full(self, rules: Rules) -> bool:
        """Whether the window has all the clicks that one may have."""
        return len(self.settled) + len(self.late) >= rules.max_clicks

    def settle(self, watermark: int, rules: Rules) -> str:
        """Settle what the watermark has passed, up to the click that closes the window; by what (T3)."""
        closed_by = "limit" if self.settled and self.is_full(rules) else ""
        for kept in sorted(self.waiting, key=lambda kept: kept.place):
            # A window closes with the whole millisecond of the click that closes it.
            if kept.time > self.last if closed_by else kept.time >= watermark:
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

    def due(self, rules: Rules) -> int:
        """The smallest watermark at which a window of it closes."""
        trial = self._copy()
        closed_by = trial.settle(_FOREVER, rules)
        return trial.last + 1 + (rules.gap if closed_by == "gap" else 0)

    def copy_of(self, arrived: KeptClick, rules: Rules) -> KeptClick | None:
        """The waiting click of this identity, where it is in the window that closes next if nothing comes."""
        found = [kept for kept in self.waiting if kept.identity == arrived.identity]
        if not found:
            return None
        first = min(kept.time for kept in self.waiting)
        if not self.settled and first - arrived.time > rules.gap:
            return None
        trial = self._copy()
        trial.settle(_FOREVER, rules)
        return min(found, key=lambda kept: kept.place) if trial.holds(arrived.identity) else None

    def under_way(self, rules: Rules) -> OpenVisit:
        """What would be the last window of it if all that waits settled now."""
        trial = self._copy()
        while True:
            trial.settle(_FOREVER, rules)
            if not trial.waiting:
                return trial
            trial = OpenVisit(waiting=trial.waiting)

    def _copy(self) -> OpenVisit:
        return OpenVisit(self.settled[:], self.late[:], 0, [replace(kept) for kept in self.waiting])


class PlainReading:
    """One partition of the clicks topic, read record by record.

    Attributes:
        closed: windows that the last record closed, in order of closing.
        refused: the reason for which the last record was refused; empty: it was not.
        opened: the visit that is open at the last record, where an open score can be due.
        all_early: up to this event time a click of any session is late, as too many were settled early. To
            be set where not all sessions are read.
        visits: what is open, by session id.

    Args:
        definition: of the shop whose clicks these are.
        is_read: whether a session is interpreted. Of others only the event times are looked at.
        counts_all: every session is read, so the bound on open sessions can be applied.
        opens: open scores are asked for.
    """

    def __init__(
        self,
        rules: Rules,
        definition: ShopDefinition,
        is_read: Callable[[str], bool],
        counts_all: bool,
        opens: bool = False,
    ) -> None:
        self.rules = rules
        self.definition = definition
        self.closed: list[InterpretedWindow] = []
        self.refused = ""
        self.opened: InterpretedVisit | None = None
        self.visits: dict[str, OpenVisit] = {}
        self._is_read = is_read
        self._counts_all = counts_all
        self._opens = opens
        self.all_early = -1
        self._newest = -1
        # Session and last click of windows that closed before the watermark had passed them.
        self._early: list[tuple[str, int]] = []
        self._just_closed: list[tuple[str, int]] = []
        self._due: dict[str, int] = {}
        # No session is due before.
        self._soonest = _FOREVER

    @property
    def watermark(self) -> int:
        """T1."""
        return self._newest - self.rules.allowed_lateness

    def read(self, offset: int, timestamp: int | None, record: Click | Heartbeat | Forget) -> None:
        """Take the next record."""
        self.opened = None
        if isinstance(record, Forget):
            self.closed, self.refused = [], ""
            self.drop(record.session_id)
            return
        self.closed, self.refused = [], self._wrong_clock(timestamp, record.event_time)
        if self.refused:
            return
        if isinstance(record, Click) and self._is_read(record.session_id):
            self._arrive(record.session_id, KeptClick(offset, record, self.definition))
        self._newest = max(self._newest, record.event_time)
        if self.watermark >= self._soonest:
            self._close_due(offset)
        if isinstance(record, Heartbeat) and record.flush:
            for session_id in self._in_due_order():
                self._close_all(session_id, offset, "flush")
        while self._counts_all and len(self.visits) > self.rules.max_open_sessions:
            self._close_all(self._in_due_order()[0], offset, "limit")
        self._note_early()

    def close_all(self, session_id: str, offset: int, last_word: str) -> None:
        """Settle and close everything of a session."""
        self._close_all(session_id, offset, last_word)
        self._note_early()

    def _close_all(self, session_id: str, offset: int, last_word: str) -> None:
        while (visit := self.visits.get(session_id)) is not None:
            closed_by = visit.settle(_FOREVER, self.rules)
            is_last = closed_by == "gap" and not visit.waiting
            self._close(session_id, visit, last_word if is_last else closed_by, offset)

    def drop(self, session_id: str) -> None:
        """Let go of what is open of a session: T10, or it is read no further."""
        self.visits.pop(session_id, None)
        self._due.pop(session_id, None)

    def _wrong_clock(self, timestamp: int | None, event_time: int) -> str:
        """T8."""
        if timestamp is None or timestamp < 0:
            return "invalid"
        if event_time > timestamp + self.rules.max_ahead:
            return "future"
        if self.rules.max_behind and event_time < timestamp - self.rules.max_behind:
            return "past"
        return ""

    def _arrive(self, session_id: str, arrived: KeptClick) -> None:
        visit = self.visits.setdefault(session_id, OpenVisit())
        visit.settle(self.watermark, self.rules)
        overtaken = bool(visit.settled) and arrived.place < visit.settled[-1].place
        early = max((until for name, until in self._early if name in (session_id, _EVERY)), default=-1)
        if arrived.time < self.watermark or overtaken or arrived.time <= max(early, self.all_early):
            self._arrive_late(session_id, arrived, visit)
        else:
            is_new = self._wait(arrived, visit)
            if is_new and self._opens:
                self.opened = self._under_way(session_id, arrived, visit)
        while len(visit.waiting) > self.rules.max_pending:
            closed_by = visit.settle(min(kept.time for kept in visit.waiting) + 1, self.rules)
            if closed_by:
                self._close(session_id, visit, closed_by, arrived.offset)
                visit = self.visits.get(session_id, OpenVisit())
        self._tidy(session_id)

    def _wait(self, arrived: KeptClick, visit: OpenVisit) -> bool:
        """Whether it is no copy of one that waits."""
        for kept in visit.waiting:
            if kept.time == arrived.time and kept.identity == arrived.identity:
                kept.copies += 1
                if arrived.content < kept.content:
                    kept.click, kept.offset = arrived.click, arrived.offset
                return False
        visit.waiting.append(arrived)
        return True

    def _under_way(self, session_id: str, arrived: KeptClick, visit: OpenVisit) -> InterpretedVisit | None:
        """The visit that a click has come to; None where it ended, has the click twice, or met its goal."""
        latest = visit.under_way(self.rules)
        opened_at = latest.settled[0].time
        others = [kept for kept in visit.waiting if kept.offset != arrived.offset and kept.time >= opened_at]
        if visit.settled and visit.settled[0].time == opened_at:
            others += [*visit.settled, *visit.late]
        if all(kept.offset != arrived.offset for kept in latest.settled):
            return None
        if any(kept.identity == arrived.identity for kept in others):
            return None
        goal = self.definition.goal
        meets = holds(goal.when.expression, lambda row, path: row[path[0]])
        if not goal.last_click and any(meets(kept.row) for kept in latest.settled):
            return None
        return InterpretedVisit(session_id, arrived, tuple(latest.settled), tuple(latest.late))

    def _arrive_late(self, session_id: str, arrived: KeptClick, visit: OpenVisit) -> None:
        if visit.holds(arrived.identity):
            visit.duplicates += 1
            return
        if (copied := visit.copy_of(arrived, self.rules)) is not None:
            copied.copies += 1
            return
        goal = self.definition.goal
        meets = holds(goal.when.expression, lambda row, path: row[path[0]])
        is_before = not visit.settled or arrived.time < visit.settled[0].time
        if is_before or (not goal.last_click and meets(arrived.row)):
            self.refused = "late"
            return
        arrived.after = len(visit.settled)
        visit.late.append(arrived)
        if visit.is_full(self.rules):
            self._close(session_id, visit, visit.settle(self.watermark, self.rules), arrived.offset)

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

    def _close(self, session_id: str, visit: OpenVisit, closed_by: str, offset: int) -> None:
        due = visit.last + 1 + (self.rules.gap if closed_by in ("gap", "flush") else 0)
        clicks = tuple(visit.settled), tuple(visit.late)
        window = InterpretedWindow(session_id, *clicks, visit.duplicates, closed_by, offset, due)
        self.closed.append(window)
        self._just_closed.append((session_id, visit.last))
        self.visits[session_id] = OpenVisit(waiting=visit.waiting)
        self._tidy(session_id)

    def _note_early(self) -> None:
        """Of more than may be open, the first are no longer told apart from the others."""
        for session_id, last in self._just_closed:
            if last < self.watermark:
                continue
            while self._early and self._early[0][1] < self.watermark:
                del self._early[0]
            self._early = [one for one in self._early if one[0] != session_id] + [(session_id, last)]
            while self._counts_all and len(self._early) > self.rules.max_open_sessions:
                first, *rest = self._early
                every = max(until for name, until in self._early if name in (first[0], _EVERY))
                self._early = [one for one in rest if one[0] != _EVERY] + [(_EVERY, every)]
        self._just_closed = []

    def _tidy(self, session_id: str) -> None:
        """Forget a session of which nothing is open; note when the others are due."""
        visit = self.visits.get(session_id)
        if visit is None or not (visit.settled or visit.waiting):
            self.drop(session_id)
            return
        self._due[session_id] = due = visit.due(self.rules)
        self._soonest = min(self._soonest, due)
