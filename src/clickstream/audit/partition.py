"""One partition of the clicks topic while it is read again.

The log does not always show what must be. Its first records may be deleted, and a part of it may have been
processed under other settings. So an audited partition is blind up to an event time: windows that open by
then may reach back into the dark, and where they do not match they count as unchecked. So do the windows
after them that only `max_clicks` cut off, up to the next that the gap, the shop or a flush ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from clickstream.infra.kafka import Record
from clickstream.records.click import Click, Forget, Heartbeat, InvalidRecordError
from clickstream.records.reasons import CUT
from clickstream.records.shop_click import parser_of
from clickstream.windows.open_points import OpenPoint, OpenPoints
from clickstream.windows.partition import ClosedWindow, Partition
from clickstream.windows.rules import Rules

_FOREVER = 1 << 62

_WARM_UP = 1_000
"""Records of a cut log after which its clock is taken to be the true one: the first of them may be late."""


@dataclass(frozen=True, slots=True)
class CommittedRange:
    """The first offset of a clicks partition in the log, and the one that the group has committed.

    `committed` is None where there is none, or where it is not known.
    """

    begin: int = 0
    committed: int | None = None


@dataclass(frozen=True, slots=True)
class TopicsAtStart:
    """What is known of the topics at the start.

    Attributes:
        ranges: the clicks topic by partition.
        aligned: the scores topic has as many partitions as the clicks topic.
        open_aligned: the topic of open scores has.
        scores_cut, letters_cut: the topic has lost its first records.
    """

    ranges: Mapping[int, CommittedRange]
    aligned: bool = True
    scores_cut: bool = False
    letters_cut: bool = False
    open_aligned: bool = True


class AuditedPartition:
    """The event-time logic of one partition, without a store, and how far its log can be trusted.

    Attributes:
        logic: `closed` and `refused` are those of the last record.
        begin: first offset in the log.
        committed: the offset up to which what must be published is published.
        position: the next offset to read.
        open_points: those of the last record, where open scores are asked for.
    """

    def __init__(
        self,
        rules: Rules,
        there: CommittedRange,
        published_to: int,
        other_until: int,
        logic: type[Partition] = Partition,
        opens: bool = False,
    ) -> None:
        self.logic = logic(rules)
        self.open_points = OpenPoints(self.logic) if opens else None
        self._parse = parser_of(rules.shop.definition).parse
        self.begin = self.position = there.begin
        # What was published was committed with it, so it stands in where there is no offset.
        self.committed = max(there.committed or 0, published_to)
        self._other_until = other_until
        self._dark = _WARM_UP if there.begin > 0 else 0
        self._blind_until = _FOREVER if self._dark else -1
        # Session id -> the event time up to which nobody knows where its windows end.
        self._doubt: dict[str, int] = {}

    def learn(self, committed: int, other_until: int) -> None:
        """Take what is known by now; `other_until` -1: other settings ruled at no time."""
        self.committed = max(self.committed, committed)
        # What lies behind the position was checked: a run beside this one, which is slower, changes nothing.
        if other_until < 0 or other_until >= self.position:
            self._other_until = other_until

    def advance(self, record: Record) -> Click | Heartbeat | Forget | None:
        """Take the next record, as the engine does; return what it holds, None where it cannot be parsed."""
        logic, rules = self.logic, self.logic.rules
        self.position = record.offset + 1
        logic.closed.clear()
        logic.refused.clear()
        logic.forgotten.clear()
        logic.changed.clear()
        if self.open_points is not None:
            self.open_points.clear()
        parsed: Click | Heartbeat | Forget | None
        try:
            parsed = self._parse(record.value, record.key, rules.max_record_bytes)
        except InvalidRecordError as error:
            parsed = None
            logic.refuse(record.offset, error.reason, error.detail)
        else:
            logic.advance(record.offset, record.timestamp, parsed)
        # How far beyond the newest event time a window may open that has clicks before it.
        reach = rules.gap + rules.allowed_lateness
        if self._dark:
            self._dark -= 1
            if not self._dark:
                self._blind_until = logic.newest + reach
        if record.offset == self._other_until:
            self._blind_until = max(self._blind_until, logic.newest + reach)
        return parsed

    @property
    def sees_all(self) -> bool:
        """Whether the log holds all that was ever processed, and under these settings."""
        return self.begin == 0 and self._other_until < 0

    def is_blind_to(self, closed: ClosedWindow) -> bool:
        """Whether the window may be another one in truth. To be asked once for each window that closes."""
        session_id, window = closed.session_id, closed.session
        in_doubt = self._doubt.get(session_id) == _FOREVER
        blind = in_doubt or closed.offset <= self._other_until or window.opened_at <= self._blind_until
        if blind and closed.closed_by in CUT:
            self._doubt[session_id] = _FOREVER
        elif in_doubt:
            self._doubt[session_id] = window.last.event_time
        return blind

    def is_blind_to_point(self, point: OpenPoint) -> bool:
        """Whether what is open of a session at the record now read may be something else in truth."""
        in_doubt = self._doubt.get(point.session_id) == _FOREVER
        return in_doubt or point.offset <= self._other_until or point.session.opened_at <= self._blind_until

    def is_blind_to_score(self, session_id: str, opened_at: int, closing: int) -> bool:
        """Whether a score may be right although the log shows no such window.

        To be asked at the end, or once the partition `is_through` with it.
        """
        blind_until = max(self._blind_until, self._doubt.get(session_id, -1))
        return closing < self.begin or closing <= self._other_until or opened_at <= blind_until

    def is_through(self, session_id: str, at: int) -> bool:
        """Whether the log, read on, can change nothing any more about a session up to the event time `at`.

        No window of it that opens by then is open or may open (late clicks open none), and it is known
        whether those that were are seen.
        """
        logic = self.logic
        if self._dark or self._doubt.get(session_id) == _FOREVER:
            return False
        there = logic.sessions.get(session_id)
        if there is not None:
            if there.window is not None and there.window.opened_at <= at:
                return False
            if there.pending and there.pending[0].click.event_time <= at:
                return False
        return not logic.watermark <= at <= logic.newest

    def is_blind_to_letter(
        self, offset: int, reasons: Set[str], parsed: Click | Heartbeat | Forget | None
    ) -> bool:
        """Whether the record now read may have been refused, or taken, in truth."""
        if offset <= self._other_until:
            return True
        # Whether a click is late depends on what came before it; no other reason does.
        if reasons != {"late"} or not isinstance(parsed, Click):
            return False
        return parsed.event_time <= self._blind_until or self._doubt.get(parsed.session_id) == _FOREVER
