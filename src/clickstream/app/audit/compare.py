"""Comparison: what the log makes of the clicks, held against what was published. Pure, no I/O.

Feed every record of the clicks topic, in offset order by partition, to `Comparison.take`, after everything
published was added to `Published`; then call `finish`. A window is matched by its score id, a dead letter
by the record that it is about. What a match leaves over was published without a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clickstream.app.audit.expected import digest_of, facts, letter
from clickstream.app.audit.lane import Lane, Range
from clickstream.app.audit.predictions import PredictionCheck, Suspect
from clickstream.app.audit.published import Found, FoundLetter, Partial, Published
from clickstream.app.audit.report import Finding, Place, Tally
from clickstream.consumer.partition import Closed, Refused, Rules
from clickstream.consumer.scoring import case_of
from clickstream.features.click import Click, Heartbeat
from clickstream.infra.kafka import Record

_FOREVER = 1 << 62


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
    _lanes: dict[int, Lane] = field(default_factory=dict)
    _other_until: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._other_until = self.published.other_until()

    def take(self, record: Record) -> None:
        """Take the next record of its partition of the clicks topic."""
        lane = self._lane(record.partition)
        parsed = lane.advance(record)
        if isinstance(parsed, Click):
            self.tally.clicks += 1
        elif parsed is not None:
            self.tally.heartbeats += 1
        refused = lane.logic.refused[0] if lane.logic.refused else None
        there = self.published.letters.pop((record.partition, record.offset), None)
        if refused is not None or there is not None:
            self._check_letter(lane, record, parsed, refused, there)
        for closed in lane.logic.closed:
            self._check_window(lane, record.partition, closed)

    def finish(self) -> int:
        """Judge what was left over; the number of sessions that are still open."""
        self.predictions.flush()
        for score_id, founds in self.published.scores.items():
            for found in founds:
                self._left_over(score_id, found)
        for session_id, partials in self.published.partial.items():
            for partial in partials:
                self._judge_partial(session_id, partial)
        for (partition, offset), there in self.published.letters.items():
            if offset < self._lane(partition).begin:
                self.tally.letters(there.reason).unchecked += 1
            else:
                self._unexpected_letter(partition, offset, there)
        return sum(lane.logic.open_sessions for lane in self._lanes.values())

    def _lane(self, partition: int) -> Lane:
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = Lane(
                self.rules,
                self.ranges.get(partition, Range()),
                self.published.published_to.get(partition, 0),
                self._other_until.get(partition, -1),
            )
        return lane

    def _check_window(self, lane: Lane, partition: int, closed: Closed) -> None:
        tally, session = self.tally, closed.session
        tally.windows += 1
        score_id = f"{closed.session_id}/{session.opened_at}"
        cause = Place(self.clicks_topic, partition, closed.offset)
        case = case_of(closed)
        expected = facts(closed, case.reference, self.clicks_topic, partition, self.settings)
        digest = digest_of(expected)
        found = self.published.take(score_id, digest, closed.offset)
        blind = lane.is_blind_to(closed)
        partials = self._touching(closed, partition)
        if found is None:
            for partial in partials:
                partial.covers = True
            self._unscored(lane, partition, closed, cause, blind, bool(partials))
            return
        for partial in partials:
            partial.repeats = True
        place = Place(self.scores_topic, found.place, found.offset)
        if digest == found.facts:
            tally.scored += 1
            self.predictions.check(score_id, found, case, cause, place)
        elif blind:
            tally.unchecked += 1
        else:
            tally.scored += 1
            tally.wrong.add(score_id)
            self.suspect("score", score_id, cause, place, expected)

    def _unscored(
        self, lane: Lane, partition: int, closed: Closed, cause: Place, blind: bool, partly: bool
    ) -> None:
        tally = self.tally
        if partly:
            tally.rebuilt_partly += 1
        elif closed.offset >= lane.committed:
            tally.pending += 1
        elif blind or self._is_cut(partition, closed.offset):
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

    def _judge_partial(self, session_id: str, partial: Partial) -> None:
        if partial.covers:
            return
        lane = self._lane(partial.source)
        cause = Place(self.clicks_topic, partial.source, partial.closing)
        place = Place(self.scores_topic, partial.place, partial.offset)
        if partial.repeats:
            self.tally.duplicate += 1
            detail = "rebuilt partly, and the window has a whole score too"
            self.tally.tell(Finding("duplicate", "score", partial.score_id, cause, place, detail))
        elif lane.is_blind_to_score(session_id, partial.opened_at, partial.closing):
            self.tally.unchecked += 1
        else:
            self._tell_unexpected(partial.score_id, cause, place)

    def _left_over(self, score_id: str, found: Found) -> None:
        lane = self._lane(found.source)
        session_id, _, opened_at = score_id.rpartition("/")
        if lane.is_blind_to_score(session_id, int(opened_at), found.closing):
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
        lane: Lane,
        record: Record,
        parsed: Click | Heartbeat | None,
        refused: Refused | None,
        there: FoundLetter | None,
    ) -> None:
        reasons = {known.reason for known in (refused, there) if known is not None}
        blind = lane.is_blind_to_letter(record.offset, reasons, parsed)
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
