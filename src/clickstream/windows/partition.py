"""One partition's event-time logic: pure, no I/O, no clock but the log.

Feed the records of a partition in offset order to `Partition.advance`. What it decides depends on those
records alone, never on how they were cut into steps: a session may be handed over in the middle (`load`,
`changes`) and the next step goes on as if nothing had happened.

The rules T1 to T10 are described, with examples in numbers, in docs/semantics.md.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from clickstream.features.session import Session, SessionStep
from clickstream.records.click import ClickFields, Forget, Heartbeat, wrong_clock
from clickstream.records.reasons import ClosedBy, Reason
from clickstream.windows.doubt import CERTAIN, Doubt
from clickstream.windows.open_session import FOREVER, OpenSession, PendingClick
from clickstream.windows.rules import Rules

NOTHING_SEEN = -1
"""The `newest` of a partition on which no record was read yet."""

EVERY_SESSION = ""
"""In `Partition.early` it stands for all session ids; none is empty."""

UNKNOWN = -1
"""Stands for a number of closings that nobody counted."""

EVERYTHING_DUE = 1 << 53
"""A due time beyond all others that a Redis score still holds exactly."""

_MANY = 16
"""Waiting clicks of a session beyond which no arrival looks through them all."""


class ClosedWindow(NamedTuple):
    """A window that closed, and the record that made it close."""

    session_id: str
    session: Session
    closed_by: ClosedBy
    offset: int
    partial: bool

    @property
    def score_id(self) -> str:
        """The name of its score."""
        return f"{self.session_id}/{self.session.opened_at}"


class RefusedRecord(NamedTuple):
    """A record that becomes a dead letter: its offset, and why it could not be counted."""

    offset: int
    reason: Reason
    detail: str


class RebuildPoint(NamedTuple):
    """A place to rebuild from: an offset, the largest event time and the number of closings before it."""

    offset: int
    newest: int
    closings: int = UNKNOWN


class PublishedClosing(NamedTuple):
    """What a published score says of the record that closed its window."""

    session_id: str
    last_click_at: int
    closed_by: ClosedBy
    clicks: int


class Rebuild(NamedTuple):
    """A rebuild under way: records before `to` were processed once and had closed `closings` windows."""

    to: int
    closings: int


class Needs(NamedTuple):
    """What a step must load: sessions by id, all due by `due`, and the `first` that are due after them."""

    session_ids: set[str]
    due: int
    first: int


ClickAccepted = Callable[[str, OpenSession, Any, int], None]
"""Is told the session id, its state, and the click, which waits in it by now, with its offset."""


class Partition:
    """The open sessions of one partition that a step works on, and its event-time clock.

    `newest` is the largest event time seen, `open_sessions` counts all session ids with something open,
    also those that are not loaded. Windows opened at or before `partial_before`, and those of `doubtful`
    sessions up to the event time given there, may not be what they would have been (see `Doubt`).

    `early` holds, by session id, the last click of a window that closed before the watermark had passed it,
    in order of closing: until then a click that is not later is a late one.

    `closings` counts the windows closed. During a `rebuild` the log does not decide what closes, as it is
    read from the middle: `published` does, what the scores say by the offset of the record that closed them.

    `advance` takes the records in the order of their offsets; what closes is appended to `closed`, what is
    refused to `refused`, the offset of what dropped a session to `forgotten`; `clear` empties all three.
    `accepted`, where it is set, is told each click that takes a place of its own, before anything closes.

    >>> from clickstream import Partition, Rules, click_model, load_shop
    >>> Click = click_model(load_shop("uci553").definition)
    >>> partition = Partition(Rules(gap=30 * 60_000))
    >>> shown = dict(product="A13", category="trousers", price=48.0, price_2=1, page=1)
    >>> for offset, time in enumerate((0, 60_000, 3_600_000, 30_000)):
    ...     partition.advance(offset, time, Click(session_id="alice", event_time=time, **shown))
    >>> [(window.session_id, window.closed_by, window.session.clicks) for window in partition.closed]
    [('alice', 'gap', 2)]
    >>> [(record.offset, record.reason) for record in partition.refused]
    [(3, 'late')]
    """

    opened: type[OpenSession] = OpenSession

    def __init__(
        self,
        rules: Rules,
        newest: int = NOTHING_SEEN,
        open_sessions: int = 0,
        rebuild_points: Iterable[RebuildPoint] = (),
        partial_before: int = CERTAIN,
        doubtful: Mapping[str, int] | None = None,
        early: Mapping[str, int] | None = None,
        rebuild_point_every: int = 300_000,
        horizon: int = 21_600_000,
        closings: int = 0,
        rebuild: Rebuild | None = None,
        published: Mapping[int, Sequence[PublishedClosing]] | None = None,
    ) -> None:
        self.rules = rules
        self.newest = newest
        self.open_sessions = open_sessions
        self.rebuild_points = list(rebuild_points)
        reach = rules.gap + rules.allowed_lateness
        self.doubt = Doubt(reach, partial_before, doubtful)
        self.early = dict(early or {})
        self.closings = closings
        self.rebuild = rebuild
        self._published = dict(published or {})
        self._rebuild_point_every = rebuild_point_every
        # What lies wholly before a rebuild point must have closed by the time it is used.
        self._horizon = max(horizon, reach + 1)
        endless = replace(rules, gap=FOREVER, max_clicks=FOREVER)
        self._settling = rules if rebuild is None else endless
        self.accepted: ClickAccepted | None = None
        self.clear()

    def clear(self) -> None:
        """Forget the working set of the last step."""
        self.sessions: dict[str, OpenSession] = {}
        self.changed: set[str] = set()
        self.closed: list[ClosedWindow] = []
        self.refused: list[RefusedRecord] = []
        self.forgotten: list[int] = []
        self._due: dict[str, int] = {}
        self._queue: list[tuple[int, str]] = []
        # The orders that wait, and some that settled since, of sessions of many for which one came late.
        self._orders: dict[str, set[int | None]] = {}
        # Sessions that are due then at the earliest: when, is seen when it matters.
        self._unsure: set[str] = set()
        self._forget_early()

    @property
    def watermark(self) -> int:
        """Clicks before this event time are late (T1)."""
        return self.newest - self.rules.allowed_lateness

    def needs(
        self, offsets: Iterable[int], records: Iterable[ClickFields | Heartbeat | Forget | Exception]
    ) -> Needs:
        """What `load` must bring for a step over records with these offsets.

        Every session that a record names, every one due at the step's last watermark, and, near the bound on
        open sessions, those due first. Records that will be refused may be among them: loading too much does
        no harm.
        """
        named: set[str] = set()
        newest, flushes = self.newest, False
        for record in records:
            if isinstance(record, Exception):
                continue
            if type(record) is Heartbeat:
                flushes = flushes or record.flush
            else:
                named.add(record.session_id)
            event_time = record.event_time
            if event_time > newest:
                newest = event_time
        due = EVERYTHING_DUE if flushes else newest - self.rules.allowed_lateness
        crowd = self.open_sessions + len(named) - self.rules.max_open_sessions
        first = crowd + len(named) if crowd > 0 else 0
        return Needs(named | self.closed_by_scores(offsets), due, first)

    def load(self, sessions: Mapping[str, OpenSession]) -> None:
        """Take stored sessions into the working set: as many of those that `needs` named as are stored."""
        for session_id, session in sessions.items():
            self.sessions[session_id] = session
            self._schedule(session_id, session)

    def advance(self, offset: int, timestamp: int | None, record: ClickFields | Heartbeat | Forget) -> None:
        """Take the next record; what closes and what is refused is appended to `closed` and `refused`."""
        # By its exact type: pydantic takes longer to say that something is a click of some shop.
        if type(record) is Forget:
            self._drop(offset, record.session_id)
            return
        event_time, rules = record.event_time, self.rules
        wrong = wrong_clock(event_time, timestamp, rules.max_ahead, rules.max_behind)
        if wrong is not None:
            self.refuse(offset, *wrong)
            return
        if self.rebuild is not None and offset >= self.rebuild.to:
            self._end_rebuild(offset)
        if self.early:
            self._forget_early()
        rebuild_points = self.rebuild_points
        if not rebuild_points or self.newest >= rebuild_points[-1].newest + self._rebuild_point_every:
            self._mark(offset)
        before, flush = len(self.closed), False
        if type(record) is Heartbeat:
            flush = record.flush
        else:
            if self.doubt.last > CERTAIN:
                self.doubt.arrived(record.session_id, event_time)
            self._arrive(offset, record)
        closed = self._published.pop(offset, ()) if self._published else ()
        if closed:
            self.closings += len(closed)
            for published in closed:
                self._close_published(offset, published)
        if event_time > self.newest:
            if (
                self.doubt.sessions
                and event_time // self._rebuild_point_every > self.newest // self._rebuild_point_every
            ):
                self.doubt.forget(self.watermark)
            self.newest = event_time
        queue = self._queue
        if queue and queue[0][0] <= self.newest - rules.allowed_lateness and self.rebuild is None:
            self._close_due(offset)
        if flush:
            self._flush(offset)
        while self.rebuild is None and self.open_sessions > rules.max_open_sessions:
            if self.doubt.any_open(self.watermark):
                self.doubt.spread(self.newest)
            self._close_all(self._next_due(), offset, "limit")
        # By the watermark that this record leaves behind: what it has passed is late without being noted.
        if self.rebuild is None:
            if len(self.closed) > before:
                for window in self.closed[before:]:
                    self._note_early(window.session_id, window.session.last.event_time)
        else:
            for published in closed:
                self._note_early(published.session_id, published.last_click_at)

    def refuse(self, offset: int, reason: Reason, detail: str) -> None:
        """Append a record to `refused`, to become a dead letter."""
        self.refused.append(RefusedRecord(offset, reason, detail))

    def changes(self) -> tuple[dict[str, tuple[OpenSession, int]], list[str]]:
        """What the step changed: sessions to store, each with its due time, and session ids to delete."""
        kept, watermark, settles = {}, self.watermark, self._settles_by_time()
        for session_id in self.changed & self.sessions.keys():
            session = self.sessions[session_id]
            if settles and session.settle(session_id, watermark, self.rules) is not None:
                raise AssertionError(f"session {session_id!r} was due and had not closed")
            due = session.due(self.rules) if session_id in self._unsure else self._due[session_id]
            kept[session_id] = session, due
        return kept, [s for s in self.changed if s not in self.sessions]

    def closed_by_scores(self, offsets: Iterable[int]) -> set[str]:
        """Ids of sessions that these records closed, by the scores: a step needs them, named or not."""
        published = self._published
        return {one.session_id for at in offsets for one in published.get(at, ())} if published else set()

    def rebuild_from(self) -> RebuildPoint | None:
        """The place to rebuild from, about the horizon back; None before the first record."""
        return self.rebuild_points[0] if self.rebuild_points else None

    def _mark(self, offset: int) -> None:
        if self.rebuild is not None:
            return  # a place in here could not tell what was open before the one that we began at
        if self.early:
            return  # nor could one that has windows before it which decide what is late after it
        rebuild_points = self.rebuild_points
        rebuild_points.append(RebuildPoint(offset, self.newest, self.closings))
        while len(rebuild_points) > 1 and rebuild_points[1].newest <= self.newest - self._horizon:
            del rebuild_points[0]

    def _arrive(self, offset: int, record: ClickFields) -> None:
        rules, watermark = self.rules, self.newest - self.rules.allowed_lateness
        click: SessionStep = rules.shop.step_of(record)
        session_id = record.session_id
        late = click.event_time < watermark or (bool(self.early) and self._settled_early(session_id, click))
        session = self.sessions.get(session_id)
        if (
            session is not None
            and not late
            and session.is_followed_by(click, rules)
            and session_id not in self._orders
            and self._settles_by_time()
        ):
            # Most clicks are such. What it adds is looked at when another one asks, or when the step ends.
            session.pending.append(PendingClick(click, offset))
            self.changed.add(session_id)
            self._unsure.add(session_id)
            if self.accepted is not None:
                self.accepted(session_id, session, click, offset)
            return
        self._catch_up(offset, session_id)
        session = self.sessions.get(session_id)
        if session is None:
            if late:
                self._refuse_late(offset, click)
                return
            self.sessions[session_id] = session = self.opened(None, [])
            self.open_sessions += 1
        self.changed.add(session_id)
        window = session.window
        overtaken = window is not None and click.sort_key < window.last.sort_key
        if late or overtaken:
            self._arrive_late(offset, click, session_id, session)
        else:
            accepted = self._wait(offset, click, session)
            if session_id in self._orders:
                self._orders[session_id].add(click.order)
            if accepted and self.accepted is not None:
                self.accepted(session_id, session, click, offset)
        for published in self._published.get(offset, ()) if self._published else ():
            if published.session_id == session_id:
                self._close_published(offset, published)
        while len(session.pending) > rules.max_pending:
            oldest = session.pending[0].click.event_time + 1
            closed_by = session.settle(session_id, oldest, self._settling)
            if closed_by is not None and self.rebuild is None:
                self._close(session_id, session, closed_by, offset)
                self._due.pop(session_id, None)
        if session_id in self.sessions:
            self._reschedule(session_id, session, click, late or overtaken)

    def _settles_by_time(self) -> bool:
        """Whether the watermark alone decides what settles and closes, so that it may be seen to later."""
        doubt = self.doubt
        return self.rebuild is None and (doubt.last == CERTAIN or not doubt.any_open(self.watermark))

    def _catch_up(self, offset: int, session_id: str) -> None:
        """Settle what the watermark passed. It closes nothing: what was due closed with an earlier record."""
        session = self.sessions.get(session_id)
        while session is not None and (
            closed_by := session.settle(session_id, self.watermark, self._settling)
        ):
            if self.rebuild is not None:
                continue  # an end that closes the window is in a score; this one may be a copy
            if session.window is None or not self.doubt.covers(session_id, session.window.opened_at):
                raise AssertionError("a session was due and had not closed")
            self._close(session_id, session, closed_by, offset)
            session = self.sessions.get(session_id)

    def _wait(self, offset: int, click: SessionStep, session: OpenSession) -> bool:
        """Whether the click takes a place of its own: it is no copy of another one of its time."""
        pending = session.pending
        if not pending or pending[-1].click.event_time < click.event_time:
            pending.append(PendingClick(click, offset))
            return True
        place, other = session.find(click)
        if other is not None:
            other.copies += 1
            # Copies are equal; where they are not, the choice must not depend on which came first.
            if click.content < other.click.content:
                other.click, other.offset = click, offset
            return False
        pending.insert(place, PendingClick(click, offset))
        return True

    def _arrive_late(self, offset: int, click: SessionStep, session_id: str, session: OpenSession) -> None:
        window = session.window
        if window is not None and window.has(click):
            window.duplicates += 1
        elif (waiting := self._copy_of(click, session_id, session)) is not None:
            waiting.copies += 1
        elif window is None or click.event_time < window.opened_at:
            self._refuse_late(offset, click)
        elif self.rules.shop.refuses_late(click):
            self.refuse(offset, "late", "it meets the goal, behind clicks that have settled")
        else:
            window.add_late(click, offset)

    def _copy_of(self, click: SessionStep, session_id: str, session: OpenSession) -> PendingClick | None:
        if len(session.pending) > _MANY and not self._may_wait(click, session_id, session):
            return None
        if session_id in self._unsure:
            self._schedule(session_id, session)
        return session.copy_of(click, self._due[session_id], self.rules)

    def _may_wait(self, click: SessionStep, session_id: str, session: OpenSession) -> bool:
        if click.order is None:
            return session.find(click)[1] is not None
        orders = self._orders.get(session_id)
        if orders is None:
            orders = self._orders[session_id] = {waiting.click.order for waiting in session.pending}
        return click.order in orders

    def _settled_early(self, session_id: str, click: SessionStep) -> bool:
        early = self.early
        return click.event_time <= max(early.get(session_id, -1), early.get(EVERY_SESSION, -1))

    def _forget_early(self) -> None:
        early, watermark = self.early, self.watermark
        while early and early[first := next(iter(early))] < watermark:
            del early[first]

    def _note_early(self, session_id: str, last: int) -> None:
        """Of more sessions than may be open, the first are no longer known apart from the others."""
        if last < self.watermark:
            return
        early = self.early
        self._forget_early()
        early.pop(session_id, None)
        early[session_id] = last
        while len(early) > self.rules.max_open_sessions:
            early[EVERY_SESSION] = max(early.pop(next(iter(early))), early.pop(EVERY_SESSION, -1))

    def _refuse_late(self, offset: int, click: SessionStep) -> None:
        behind = self.watermark - click.event_time
        if behind > 0:
            detail = f"event_time is {behind} ms behind the watermark {self.watermark}"
        else:
            detail = "later clicks of its session were settled early, by a bound or a flush"
        self.refuse(offset, "late", detail)

    def _schedule(self, session_id: str, session: OpenSession) -> None:
        self._unsure.discard(session_id)
        due = session.due(self.rules)
        if self._due.get(session_id) != due:
            self._due[session_id] = due
            heapq.heappush(self._queue, (due, session_id))

    def _reschedule(self, session_id: str, session: OpenSession, click: SessionStep, late: bool) -> None:
        """After a click came. Many that wait are not looked through: only how early it can be due."""
        pending, due = session.pending, self._due.get(session_id)
        if len(pending) <= _MANY or due is None:
            self._schedule(session_id, session)
            return
        if not late and click.event_time >= due:
            return  # what came comes after the window
        left = self.rules.max_clicks - (0 if session.window is None else session.window.clicks)
        if left <= 0:
            earliest = -FOREVER
        elif left <= len(pending):
            earliest = pending[left - 1].click.event_time + 1
        else:
            earliest = FOREVER
        if not late:
            earliest = min(earliest, click.event_time + 1 + (0 if click.end else self.rules.gap))
        elif earliest >= due:
            return  # a late click moves nothing but the count of clicks
        self._unsure.add(session_id)
        if earliest < due:
            self._due[session_id] = earliest
            heapq.heappush(self._queue, (earliest, session_id))

    def _make_sure(self) -> None:
        for session_id in list(self._unsure):
            self._schedule(session_id, self.sessions[session_id])

    def _next_due(self) -> str:
        session_id = self._first_due(FOREVER)
        if session_id is None:
            raise AssertionError("more sessions are open than may be, and none is loaded")
        return session_id

    def _first_due(self, watermark: int) -> str | None:
        """The loaded session that is due first and by `watermark`; removed from the queue."""
        queue = self._queue
        while queue and queue[0][0] <= watermark:
            due, session_id = heapq.heappop(queue)
            if self._due.get(session_id) != due:
                continue
            del self._due[session_id]
            if session_id not in self._unsure:
                return session_id
            self._schedule(session_id, self.sessions[session_id])
        return None

    def _close_due(self, offset: int) -> None:
        watermark = self.watermark
        while (session_id := self._first_due(watermark)) is not None:
            session = self.sessions[session_id]
            closed_by = session.settle(session_id, watermark, self._settling)
            if closed_by is None:
                raise AssertionError(f"session {session_id!r} was due and did not close")
            self._close(session_id, session, closed_by, offset)
            if session_id in self.sessions:
                self._schedule(session_id, session)  # the next window may be due at the same watermark

    def _close_published(self, offset: int, published: PublishedClosing) -> None:
        """Close a window of which a score says that this record closed it."""
        session_id, until = published.session_id, published.last_click_at
        self.doubt.settled(session_id, until)
        session = self.sessions.get(session_id)
        if session is None:
            return
        if not (published.closed_by == "end" or published.clicks >= self.rules.max_clicks):
            until += self.rules.gap  # with all copies that would have joined it
        # What had settled before had settled into this window.
        until = max(until + 1, self.watermark)
        while session.settle(session_id, until, self._settling):
            pass
        if session.window is not None and session.window.opened_at < until:
            self._close(session_id, session, published.closed_by, offset)
        if session_id in self.sessions:
            self._schedule(session_id, session)

    def _end_rebuild(self, offset: int) -> None:
        """From here on the log decides again, also of sessions in doubt that it would have closed."""
        self.rebuild = None
        self._published.clear()
        self._settling = self.rules
        self._close_due(offset)

    def _flush(self, offset: int) -> None:
        self._make_sure()
        for _, session_id in sorted((due, session_id) for session_id, due in self._due.items()):
            if self.rebuild is not None:
                self._forget(session_id)
            else:
                self._close_all(session_id, offset, "flush")
        self.doubt.clear()

    def _close_all(self, session_id: str, offset: int, last_word: ClosedBy) -> None:
        session = self.sessions[session_id]
        while session_id in self.sessions:
            closed_by = session.settle(session_id, FOREVER, self._settling, last_word)
            if closed_by is None:
                raise AssertionError("a session has nothing to close")
            self._close(session_id, session, closed_by, offset)

    def _close(self, session_id: str, session: OpenSession, closed_by: ClosedBy, offset: int) -> None:
        window = session.window
        if window is None:
            raise AssertionError("a session has no window to close")
        if self.rebuild is None:
            self.closings += 1
        partial = self.doubt.covers(session_id, window.opened_at)
        self.closed.append(ClosedWindow(session_id, window, closed_by, offset, partial))
        session.window = None
        if session.pending:
            self.changed.add(session_id)
        else:
            self._forget(session_id)

    def _drop(self, offset: int, session_id: str) -> None:
        """Forget a session, scored or not (T10). What `early` says of it stays: no score comes twice."""
        self.doubt.dropped(session_id)
        if session_id in self.sessions:
            self._forget(session_id)
            self.forgotten.append(offset)

    def _forget(self, session_id: str) -> None:
        del self.sessions[session_id]
        self._due.pop(session_id, None)
        self._unsure.discard(session_id)
        self.open_sessions -= 1
        self.changed.add(session_id)
