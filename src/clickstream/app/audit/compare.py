"""Comparison: what the log makes of the clicks, held against what was published. Pure, no I/O.

Feed every record of the clicks topic, in offset order by partition, to `Comparison.take`, after everything
published was added to `Published`; then call `finish`. A window is matched by its score id, a dead letter
by the record that it is about. What a match leaves over was published without a reason.

The log does not always tell what must be. Its first records may be deleted, and a part of it may have been
processed under other settings. So a partition has a `blind` time: windows that open up to it may reach
back into the dark, and count as unchecked where they do not match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clickstream.app.audit.expected import digest_of, facts, letter
from clickstream.app.audit.predictions import PredictionCheck, Suspect
from clickstream.app.audit.published import Found, FoundLetter, Partial, Published
from clickstream.app.audit.report import Finding, Place, Tally
from clickstream.consumer.partition import Closed, Partition, Refused, Rules
from clickstream.consumer.scoring import case_of
from clickstream.features.click import Click, Heartbeat, InvalidRecordError, parse
from clickstream.infra.kafka import Record

_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Range:
    """Of one partition of clicks: first offset in the log, and the offset the group has committed (None:
    none, or not known)."""

    begin: int = 0
    committed: int | None = None


@dataclass(slots=True)
class _Lane:
    """One partition of the clicks topic while it is read."""

    logic: Partition
    begin: int
    committed: int
    other_until: int
    blind: int


@dataclass(slots=True)
class Comparison:
    """One pass over the clicks. `suspect` gets what differs, to be looked at field by field.

    `scores_cut`, `letters_cut`: the topic has lost its first records.
    """

    rules: Rules
    clicks_topic: str
    scores_topic: str
    dead_letter_topic: str
    settings: str
    published: Published
    ranges: Mapping[int, Range]
    predictions: PredictionCheck
    suspect: Suspect
    tally: Tally
    scores_cut: bool = False
    letters_cut: bool = False
    _lanes: dict[int, _Lane] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Take the next record of its partition of the clicks topic."""
        lane = self._lane(record.partition)
        logic, offset = lane.logic, record.offset
        try:
            parsed: Click | Heartbeat | None = parse(record.value, record.key, self.rules.max_record_bytes)
        except InvalidRecordError as error:
            parsed = None
            logic.refuse(offset, error.reason, error.detail)
        if parsed is not None:
            if isinstance(parsed, Click):
                self.tally.clicks += 1
            else:
                self.tally.heartbeats += 1
            if lane.blind == _FOREVER:
                lane.blind = parsed.event_time + self._reach
            logic.advance(offset, record.timestamp, parsed)
        refused = logic.refused[0] if logic.refused else None
        there = self.published.letters.pop((record.partition, offset), None)
        if refused is not None or there is not None:
            self._check_letter(lane, record, parsed, refused, there)
        for closed in logic.closed:
            self._check_window(lane, record.partition, closed)
        logic.closed.clear()
        logic.refused.clear()
        logic.changed.clear()
        if offset == lane.other_until:
            lane.blind = max(lane.blind, logic.newest + self._reach)

    def finish(self) -> int:
        """Judge what was left over; the number of sessions that are still open."""
        self.predictions.flush()
        for score_id, found in self.published.scores.items():
            self._left_over(score_id, found)
        for partials in self.published.partial.values():
            for partial in partials:
                self._judge_partial(partial)
        for (partition, offset), there in self.published.letters.items():
            if offset < self._lane(partition).begin:
                self.tally.letters(there.reason).unchecked += 1
            else:
                self._unexpected_letter(partition, offset, there)
        return sum(lane.logic.open_sessions for lane in self._lanes.values())

    @property
    def _reach(self) -> int:
        """How far beyond the newest event time a window may open that has clicks before it."""
        return self.rules.gap + self.rules.allowed_lateness

    def _lane(self, partition: int) -> _Lane:
        lane = self._lanes.get(partition)
        if lane is None:
            there = self.ranges.get(partition, Range())
            published_to = self.published.published_to.get(partition, 0)
            lane = self._lanes[partition] = _Lane(
                Partition(self.rules),
                there.begin,
                # What was published was committed with it, so it tells where no offset does.
                max(there.committed or 0, published_to),
                self.published.other_until.get(partition, -1),
                _FOREVER if there.begin > 0 else -1,
            )
        return lane

    def _check_window(self, lane: _Lane, partition: int, closed: Closed) -> None:
        tally, session = self.tally, closed.session
        tally.windows += 1
        score_id = f"{closed.session_id}/{session.opened_at}"
        cause = Place(self.clicks_topic, partition, closed.offset)
        found = self.published.scores.pop(score_id, None)
        partials = self._touching(closed, partition)
        if found is None:
            for partial in partials:
                partial.covers = True
            self._unscored(lane, partition, closed, cause, bool(partials))
            return
        for partial in partials:
            partial.repeats = True
        case = case_of(closed)
        expected = facts(closed, case.reference, self.clicks_topic, partition, self.settings)
        place = Place(self.scores_topic, found.place, found.offset)
        if digest_of(expected) == found.facts:
            tally.scored += 1
            self.predictions.check(score_id, found, case, cause, place)
        elif self._is_blind(lane, closed):
            tally.unchecked += 1
        else:
            tally.scored += 1
            tally.wrong.add(score_id)
            self.suspect("score", score_id, cause, place, expected)

    def _unscored(self, lane: _Lane, partition: int, closed: Closed, cause: Place, partly: bool) -> None:
        tally = self.tally
        if partly:
            tally.rebuilt_partly += 1
        elif closed.offset >= lane.committed:
            tally.pending += 1
        elif self._is_blind(lane, closed) or self._is_cut(partition, closed.offset):
            tally.unchecked += 1
        else:
            tally.missing += 1
            tally.tell(
                Finding(
                    "missing",
                    "score",
                    f"{closed.session_id}/{closed.session.opened_at}",
                    cause,
                    None,
                    f"T3: closed by {closed.closed_by} at that record, which the group has committed;"
                    f" its clicks lie from {closed.session.first_offset} to {closed.session.last_offset}",
                )
            )

    def _is_blind(self, lane: _Lane, closed: Closed) -> bool:
        return closed.offset <= lane.other_until or closed.session.opened_at <= lane.blind

    def _is_cut(self, partition: int, offset: int) -> bool:
        return self.scores_cut and offset <= self.published.kept_from.get(partition, _FOREVER)

    def _touching(self, closed: Closed, partition: int) -> Sequence[Partial]:
        """Scores made from a part of their clicks that lie in this window's time."""
        session = closed.session
        return [
            partial
            for partial in self.published.partial.get(closed.session_id, ())
            if partial.source == partition
            and partial.opened_at <= session.last.event_time
            and partial.last_click_at >= session.opened_at
        ]

    def _judge_partial(self, partial: Partial) -> None:
        if partial.covers:
            return
        lane = self._lane(partial.source)
        cause = Place(self.clicks_topic, partial.source, partial.closing)
        place = Place(self.scores_topic, partial.place, partial.offset)
        if partial.repeats:
            self.tally.duplicate += 1
            detail = "rebuilt partly, and the window has a whole score too"
            self.tally.tell(Finding("duplicate", "score", partial.score_id, cause, place, detail))
        elif partial.closing <= lane.other_until or partial.opened_at <= lane.blind:
            self.tally.unchecked += 1
        else:
            self._tell_unexpected(partial.score_id, cause, place)

    def _left_over(self, score_id: str, found: Found) -> None:
        lane = self._lane(found.source)
        opened_at = int(score_id.rpartition("/")[2])
        blind = found.closing <= lane.other_until or opened_at <= lane.blind or found.closing < lane.begin
        if blind:
            self.tally.unchecked += 1
            return
        cause = Place(self.clicks_topic, found.source, found.closing)
        self._tell_unexpected(score_id, cause, Place(self.scores_topic, found.place, found.offset))

    def _tell_unexpected(self, score_id: str, cause: Place, place: Place) -> None:
        self.tally.unexpected += 1
        detail = "T3, T7: the log opens no such window, or has not closed it"
        self.tally.tell(Finding("unexpected", "score", score_id, cause, place, detail))

    def _check_letter(
        self,
        lane: _Lane,
        record: Record,
        parsed: Click | Heartbeat | None,
        refused: Refused | None,
        there: FoundLetter | None,
    ) -> None:
        reasons = {known.reason for known in (refused, there) if known is not None}
        # Whether a click is late depends on what came before; what cannot be parsed depends on nothing.
        depends = reasons == {"late"} and parsed is not None and parsed.event_time <= lane.blind
        blind = depends or record.offset <= lane.other_until
        cause = Place(self.clicks_topic, record.partition, record.offset)
        if refused is None:
            if there is not None and blind:
                self.tally.letters(there.reason).unchecked += 1
            elif there is not None:
                self._unexpected_letter(record.partition, record.offset, there)
            return
        counts = self.tally.letters(refused.reason)
        counts.expected += 1
        if there is None:
            kept_from = self.published.letters_kept_from.get(record.partition, _FOREVER)
            if record.offset >= lane.committed:
                counts.pending += 1
            elif blind or (self.letters_cut and record.offset <= kept_from):
                counts.unchecked += 1
            else:
                counts.missing += 1
                self.tally.tell(
                    Finding("missing", "dead letter", refused.reason, cause, None, refused.detail)
                )
            return
        expected = letter(record, refused)
        if digest_of(expected) == there.content:
            return
        if blind:
            counts.unchecked += 1
            return
        counts.wrong += 1
        place = Place(self.dead_letter_topic, there.place, there.offset)
        self.suspect("dead letter", refused.reason, cause, place, expected)

    def _unexpected_letter(self, partition: int, offset: int, there: FoundLetter) -> None:
        self.tally.letters(there.reason).unexpected += 1
        self.tally.tell(
            Finding(
                "unexpected",
                "dead letter",
                there.reason,
                Place(self.clicks_topic, partition, offset),
                Place(self.dead_letter_topic, there.place, there.offset),
                "the record is not refused, or is not in the log",
            )
        )
