"""What the log makes of the clicks, compared with what was published. Pure, no I/O.

It goes in rounds. First everything published by then is added to `PublishedRecords`; `begin` is given how far
the group has come; then every record of the clicks topic goes to `take`, in offset order by partition;
`settle` decides what was published and is not accounted for. A window is matched by its score id, a dead
letter by the record that it is about. What no later record of the log can account for was published without
a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clickstream.audit.answers import AnswerCheck
from clickstream.audit.expected import digest_of, facts, letter
from clickstream.audit.mismatches import Mismatches
from clickstream.audit.open_scores import OpenScoreCheck
from clickstream.audit.partition import AuditedPartition, CommittedRange, TopicsAtStart
from clickstream.audit.published import PublishedRecords
from clickstream.audit.report import Place, Tally
from clickstream.audit.spill import PartialScore, Spill, SpilledLetter, SpilledScore, WindowPlace
from clickstream.audit.twice import SecondReading
from clickstream.consumer.scoring import cases_of
from clickstream.infra.kafka import Record
from clickstream.infra.settings import Settings
from clickstream.records.click import Click, Forget, Heartbeat
from clickstream.windows.partition import ClosedWindow, RefusedRecord

_FOREVER = 1 << 62


@dataclass(slots=True)
class LogComparison:
    """One pass over the clicks."""

    settings: Settings
    topics: TopicsAtStart
    published: PublishedRecords
    spill: Spill
    answers: AnswerCheck
    second: SecondReading
    opened: OpenScoreCheck | None
    mismatches: Mismatches
    tally: Tally
    _partitions: dict[int, AuditedPartition] = field(default_factory=dict)
    _committed: Mapping[int, int] = field(default_factory=dict)
    _other_until: Mapping[int, int] = field(default_factory=dict)
    # By partition: the next record about which a dead letter was published.
    _next_letter: dict[int, int] = field(default_factory=dict)

    @property
    def open_sessions(self) -> int:
        """Sessions that are open where the log was read to."""
        return sum(audited.logic.open_sessions for audited in self._partitions.values())

    def begin(self, committed: Mapping[int, int]) -> None:
        """Begin a round. `committed`: the offset up to which everything published was added, by partition."""
        self._committed = committed
        self._other_until = self.published.other_until()
        self._next_letter.clear()
        for partition, audited in self._partitions.items():
            audited.learn(committed.get(partition, 0), self._other_until.get(partition, -1))

    def take(self, record: Record) -> None:
        """Take the next record of its partition of the clicks topic."""
        audited = self._partition(record.partition)
        parsed = audited.advance(record)
        if type(parsed) is Heartbeat:
            self.tally.heartbeats += 1
        elif isinstance(parsed, Click):
            self.tally.clicks += 1
        refused = audited.logic.refused[0] if audited.logic.refused else None
        there = self._letter_about(record)
        if refused is not None or there is not None:
            self._check_letter(audited, record, parsed, refused, there)
        if self.opened is not None:
            self.opened.check(audited, record.partition)
        for closed in audited.logic.closed:
            self._check_window(audited, record.partition, closed)
        if parsed is not None:
            points = () if audited.open_points is None else audited.open_points.points
            self.second.take(audited.logic, points, record, parsed, refused)

    def settle(self, ends: Mapping[int, int] | None = None) -> None:
        """End a round: decide about what was published and is not accounted for.

        Args:
            ends: the offset after the last record of each partition. What the rest of the log may still
                account for is left for later rounds; None: there is no rest.
        """
        if self.opened is not None:
            self.opened.flush()
        self.answers.predictions.flush()
        self.tally.online_restarts = self.answers.online.restarts
        for found in self.spill.waiting_scores():
            if self._is_decided(ends, found.source, found.closing, found.session, found.opened_at):
                self.spill.know_score(found)
                self._check_unmatched(found)
        for partial in self.spill.waiting_partials():
            if self._is_decided(
                ends, partial.source, partial.closing, partial.session, partial.last_click_at
            ):
                self.spill.mark_partial(partial, "checked")
                self._check_unmatched(partial)
        if self.opened is not None:
            for left in self.spill.open_scores.waiting():
                if self._is_passed(ends, left.source, left.about):
                    self.spill.open_scores.know(left)
                    self.opened.unmatched(left, self._partition(left.source))
        for there in self.spill.letters.waiting():
            if self._is_passed(ends, there.source, there.about):
                self.spill.letters.know(there)
                if there.about < self._partition(there.source).begin:
                    self.tally.letters(there.reason).unchecked += 1
                else:
                    self._unexpected_letter(there)

    def _partition(self, partition: int) -> AuditedPartition:
        audited = self._partitions.get(partition)
        if audited is None:
            audited = AuditedPartition(
                self.published.rules,
                self.topics.ranges.get(partition, CommittedRange()),
                self._committed.get(partition, 0),
                self._other_until.get(partition, -1),
                opens=self.opened is not None,
            )
            # What a score says of a partition that is not there leaves no trace.
            if partition in self.topics.ranges:
                self._partitions[partition] = audited
        return audited

    def _is_passed(self, ends: Mapping[int, int] | None, partition: int, offset: int) -> bool:
        """Whether a record was read, or is not there."""
        if ends is None or partition not in ends or offset >= ends[partition]:
            return True
        return offset < self._partition(partition).position

    def _is_decided(
        self, ends: Mapping[int, int] | None, partition: int, closing: int, session_id: str, at: int
    ) -> bool:
        """Whether the rest of the log cannot account for a score that `closing` is said to have caused."""
        if ends is None or partition not in ends or closing >= ends[partition]:
            return True
        audited = self._partition(partition)
        return closing < audited.position and audited.is_through(session_id, at)

    def _letter_about(self, record: Record) -> SpilledLetter | None:
        partition, offset = record.partition, record.offset
        ahead = self._next_letter.get(partition)
        if ahead is not None and offset < ahead:
            return None
        found = self.spill.letters.take(partition, offset)
        following = self.spill.letters.next_about(partition, offset + 1)
        self._next_letter[partition] = _FOREVER if following is None else following
        return found

    def _check_window(self, audited: AuditedPartition, partition: int, closed: ClosedWindow) -> None:
        tally, session, shop = self.tally, closed.session, self.published.shop
        tally.windows += 1
        cause = self._click(partition, closed.offset)
        cases = cases_of(shop, session)
        shown, settings = shop.shown(cases.closing.whole), self.published.fingerprint
        expected = facts(shop, closed, shown, self.settings.clicks_topic, partition, settings)
        digest = digest_of(expected)
        here = WindowPlace(partition, session.opened_at, session.last.event_time)
        self._check_home(closed, here, cause)
        found = self.spill.take_score(closed.session_id, session.opened_at, digest, closed.offset)
        blind = audited.is_blind_to(closed)
        # Scores made from a part of their clicks that lie in this window's time.
        partials = self.spill.touching(closed.session_id, *here)
        for partial in partials:
            self.spill.mark_partial(partial, "covers" if found is None else "repeats")
        if found is None:
            self._unscored(audited, closed, cause, blind, bool(partials))
            if blind and not partials:
                self.answers.online.in_doubt(partition, None)
            elif not (partials and self.answers.check_partials(partials, closed, expected, blind)):
                self.answers.online.unscored(partition, cases.lesson)
        elif digest == found.facts:
            tally.scored += 1
            self.answers.check(audited.sees_all, found, cases, cause, self._score(found))
        elif blind:
            tally.unchecked += 1
            self.answers.online.in_doubt(partition, found.lessons)
        else:
            tally.scored += 1
            self.mismatches.add_score(closed.score_id, cause, self._score(found), expected)
            self.answers.online.unscored(partition, cases.lesson)

    def _check_home(self, closed: ClosedWindow, here: WindowPlace, cause: Place) -> None:
        """Whether a part of the visit lies on another partition."""
        other = self.spill.home(closed.session_id, here)
        if other is None:
            return
        first, second = sorted((here, other), key=lambda home: home.opened_at)
        if second.opened_at > first.last_click_at + self.published.rules.gap:
            return  # another visit: the topic may have had other partitions then
        one, two = sorted((here.partition, other.partition))
        detail = f"its clicks lie on partitions {one} and {two}: two producers put one key on two partitions"
        self.tally.report_score("torn", closed.score_id, cause, None, detail)

    def _unscored(
        self, audited: AuditedPartition, closed: ClosedWindow, cause: Place, blind: bool, partly: bool
    ) -> None:
        tally, session = self.tally, closed.session
        if partly:
            tally.rebuilt_partly += 1
        elif closed.offset >= audited.committed:
            tally.pending += 1
        elif blind or self._is_cut(cause.partition, closed.offset):
            tally.unchecked += 1
        else:
            detail = (
                f"T3: closed by {closed.closed_by} at that record, which the group has committed;"
                f" its clicks lie from {session.first_offset} to {session.last_offset}"
            )
            tally.report_score("missing", closed.score_id, cause, None, detail)

    def _click(self, partition: int, offset: int) -> Place:
        return Place(self.settings.clicks_topic, partition, offset)

    def _score(self, found: SpilledScore | PartialScore) -> Place:
        return Place(self.settings.scores_topic, found.place, found.offset)

    def _is_cut(self, partition: int, offset: int) -> bool:
        return self.topics.scores_cut and offset <= self.published.kept_from.get(partition, _FOREVER)

    def _check_unmatched(self, found: SpilledScore | PartialScore) -> None:
        cause, place = self._click(found.source, found.closing), self._score(found)
        if isinstance(found, PartialScore):
            if found.covers:
                return
            if found.repeats:
                detail = "rebuilt partly, and the window has a whole score too"
                self.tally.report_score("duplicate", found.score_id, cause, place, detail)
                return
        if self._partition(found.source).is_blind_to_score(found.session, found.opened_at, found.closing):
            self.tally.unchecked += 1
            return
        detail = "T3, T7: the log opens no such window, or has not closed it"
        self.tally.report_score("unexpected", found.score_id, cause, place, detail)

    def _check_letter(
        self,
        audited: AuditedPartition,
        record: Record,
        parsed: Click | Heartbeat | Forget | None,
        refused: RefusedRecord | None,
        there: SpilledLetter | None,
    ) -> None:
        reasons = {known.reason for known in (refused, there) if known is not None}
        blind = audited.is_blind_to_letter(record.offset, reasons, parsed)
        cause = self._click(record.partition, record.offset)
        if refused is None:
            if there is not None and blind:
                self.tally.letters(there.reason).unchecked += 1
            elif there is not None:
                self._unexpected_letter(there)
            return
        counts = self.tally.letters(refused.reason)
        counts.expected += 1
        if there is None:
            kept_from = self.published.letters_kept_from.get(record.partition, _FOREVER)
            if record.offset >= audited.committed:
                counts.pending += 1
            elif blind or (self.topics.letters_cut and record.offset <= kept_from):
                counts.unchecked += 1
            else:
                self.tally.report_letter("missing", refused.reason, cause, None, refused.detail)
            return
        expected = letter(record, refused)
        if digest_of(expected) == there.content:
            return
        if blind:
            counts.unchecked += 1
            return
        place = Place(self.settings.dead_letter_topic, there.place, there.offset)
        self.mismatches.add_letter(refused.reason, cause, place, expected)

    def _unexpected_letter(self, there: SpilledLetter) -> None:
        self.tally.report_letter(
            "unexpected",
            there.reason,
            self._click(there.source, there.about),
            Place(self.settings.dead_letter_topic, there.place, there.offset),
            "the record is not refused, or is not in the log",
        )
