"""Comparison: what the log makes of the clicks, held against what was published. Pure, no I/O.

It goes in rounds. First everything published by then is added to `Published`; `begin` says how far the group
has come; then every record of the clicks topic goes to `take`, in offset order by partition; `settle` judges
what was published and is not accounted for. A window is matched by its score id, a dead letter by the record
that it is about. What no later record of the log can account for was published without a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from clickstream.app.audit.expected import Facts, digest_of, facts, letter, rule_of
from clickstream.app.audit.independent import IndependentReading, Read
from clickstream.app.audit.lane import Lane, Range
from clickstream.app.audit.online import OnlineCheck
from clickstream.app.audit.partly import problems
from clickstream.app.audit.predictions import PredictionCheck, Suspect
from clickstream.app.audit.published import Published
from clickstream.app.audit.report import Difference, Finding, Place, Tally
from clickstream.app.audit.shelf import Found, FoundLetter, Home, Partial, Shelf
from clickstream.consumer.partition import Closed, Refused, Rules
from clickstream.consumer.scoring import case_of
from clickstream.features.click import Click, Heartbeat
from clickstream.features.outcome import Outcome, proxy_outcome
from clickstream.features.vector import prefix, reference
from clickstream.infra.kafka import Record
from clickstream.models.bundle import Case, Prediction

_FOREVER = 1 << 62


@dataclass(slots=True)
class Comparison:
    """One pass over the clicks. `suspect` gets what differs, to be looked at field by field.

    `scores_cut`, `letters_cut`: the topic has lost its first records. `independent`: every session is read a
    second time by the audit's own interpreter, not only those drawn.
    """

    rules: Rules
    clicks_topic: str
    scores_topic: str
    dead_letter_topic: str
    settings: str
    published: Published
    shelf: Shelf
    ranges: Mapping[int, Range]
    predictions: PredictionCheck
    online: OnlineCheck
    suspect: Suspect
    tally: Tally
    scores_cut: bool = False
    letters_cut: bool = False
    independent: bool = False
    _lanes: dict[int, Lane] = field(default_factory=dict)
    _again: dict[int, IndependentReading] = field(default_factory=dict)
    _committed: Mapping[int, int] = field(default_factory=dict)
    _other_until: Mapping[int, int] = field(default_factory=dict)
    # By partition: the next record about which a dead letter was published.
    _next_letter: dict[int, int] = field(default_factory=dict)

    @property
    def open_sessions(self) -> int:
        """Sessions that are open where the log was read to."""
        return sum(lane.logic.open_sessions for lane in self._lanes.values())

    def begin(self, committed: Mapping[int, int]) -> None:
        """Begin a round. `committed`: the offset up to which everything published was added, by partition."""
        self._committed = committed
        self._other_until = self.published.other_until()
        self._next_letter.clear()
        for partition, lane in self._lanes.items():
            lane.learn(committed.get(partition, 0), self._other_until.get(partition, -1))

    def take(self, record: Record) -> None:
        """Take the next record of its partition of the clicks topic."""
        lane = self._lane(record.partition)
        parsed = lane.advance(record)
        if isinstance(parsed, Click):
            self.tally.clicks += 1
        elif parsed is not None:
            self.tally.heartbeats += 1
        refused = lane.logic.refused[0] if lane.logic.refused else None
        there = self._letter_about(record)
        if refused is not None or there is not None:
            self._check_letter(lane, record, parsed, refused, there)
        for closed in lane.logic.closed:
            self._check_window(lane, record.partition, closed)
        if parsed is not None:
            self._read_again(lane, record, parsed, refused)

    def settle(self, ends: Mapping[int, int] | None = None) -> None:
        """End a round: judge what was published and is not accounted for.

        Args:
            ends: the offset after the last record of each partition. What the rest of the log may still
                account for is left for later rounds; None: there is no rest.
        """
        self.predictions.flush()
        self.tally.online_restarts = self.online.restarts
        for found in self.shelf.waiting_scores():
            if self._is_decided(ends, found.source, found.closing, found.session, found.opened_at):
                self.shelf.know_score(found)
                self._judge_score(found)
        for partial in self.shelf.waiting_partials():
            if self._is_decided(
                ends, partial.source, partial.closing, partial.session, partial.last_click_at
            ):
                self.shelf.know_partial(partial)
                self._judge_partial(partial)
        for there in self.shelf.waiting_letters():
            if self._is_passed(ends, there.source, there.about):
                self.shelf.know_letter(there)
                if there.about < self._lane(there.source).begin:
                    self.tally.letters(there.reason).unchecked += 1
                else:
                    self._unexpected_letter(there)

    def _lane(self, partition: int) -> Lane:
        lane = self._lanes.get(partition)
        if lane is None:
            lane = Lane(
                self.rules,
                self.ranges.get(partition, Range()),
                self._committed.get(partition, 0),
                self._other_until.get(partition, -1),
            )
            # What a score says of a partition that is not there leaves no trace.
            if partition in self.ranges:
                self._lanes[partition] = lane
        return lane

    def _is_passed(self, ends: Mapping[int, int] | None, partition: int, offset: int) -> bool:
        """Whether a record was read, or is not there."""
        if ends is None or partition not in ends or offset >= ends[partition]:
            return True
        return offset < self._lane(partition).position

    def _is_decided(
        self, ends: Mapping[int, int] | None, partition: int, closing: int, session_id: str, at: int
    ) -> bool:
        """Whether the rest of the log cannot account for a score that `closing` is said to have caused."""
        if ends is None or partition not in ends or closing >= ends[partition]:
            return True
        lane = self._lane(partition)
        return closing < lane.position and lane.is_through(session_id, at)

    def _letter_about(self, record: Record) -> FoundLetter | None:
        partition, offset = record.partition, record.offset
        ahead = self._next_letter.get(partition)
        if ahead is not None and offset < ahead:
            return None
        found = self.shelf.take_letter(partition, offset)
        following = self.shelf.next_letter(partition, offset + 1)
        self._next_letter[partition] = _FOREVER if following is None else following
        return found

    def _check_window(self, lane: Lane, partition: int, closed: Closed) -> None:
        tally, session = self.tally, closed.session
        tally.windows += 1
        score_id = f"{closed.session_id}/{session.opened_at}"
        cause = Place(self.clicks_topic, partition, closed.offset)
        case = case_of(closed)
        outcome = proxy_outcome(session.last)
        expected = facts(closed, case.reference, self.clicks_topic, partition, self.settings)
        digest = digest_of(expected)
        self._check_home(closed, Home(partition, session.opened_at, session.last.event_time), cause)
        found = self.shelf.take_score(closed.session_id, session.opened_at, digest, closed.offset)
        blind = lane.is_blind_to(closed)
        # Scores made from a part of their clicks that lie in this window's time.
        partials = self.shelf.touching(
            closed.session_id, partition, session.opened_at, session.last.event_time
        )
        self.shelf.mark_partials(partials, "covers" if found is None else "repeats")
        if found is None:
            self._unscored(lane, partition, closed, cause, blind, bool(partials))
            if partials:
                if not self._check_partials(partials, closed, expected, blind):
                    self.online.unscored(partition, case, outcome)
            elif blind:
                self.online.in_doubt(partition, None)
            else:
                self.online.unscored(partition, case, outcome)
            return
        place = Place(self.scores_topic, found.place, found.offset)
        if digest == found.facts:
            tally.scored += 1
            self._check_answers(lane, found, case, outcome, cause, place)
        elif blind:
            tally.unchecked += 1
            self.online.in_doubt(partition, found.lessons)
        else:
            tally.scored += 1
            tally.add_wrong(score_id)
            self.suspect("score", score_id, cause, place, expected)
            self.online.unscored(partition, case, outcome)

    def _check_home(self, closed: Closed, here: Home, cause: Place) -> None:
        """Whether a part of the visit lies on another partition."""
        other = self.shelf.home(closed.session_id, here)
        if other is None:
            return
        first, second = sorted((here, other), key=lambda home: home.opened_at)
        if second.opened_at > first.last_click_at + self.rules.gap:
            return  # another visit: the topic may have had other partitions then
        self.tally.torn += 1
        detail = (
            f"its clicks lie on partitions {min(here.partition, other.partition)} and"
            f" {max(here.partition, other.partition)}: two producers put one key on two partitions"
        )
        score_id = f"{closed.session_id}/{here.opened_at}"
        self.tally.tell(Finding("torn", "score", score_id, cause, None, detail))

    def _check_answers(
        self, lane: Lane, found: Found, case: Case, outcome: Outcome, cause: Place, place: Place
    ) -> None:
        """Compare predictions, lessons and error of a score whose facts are right."""
        tally, score_id = self.tally, found.score_id
        failed = self.predictions.raised(found.bundle, case) if found.error is not None else None
        said = self.published.said(found.answers)[-1] if found.answers else None
        answer = self.online.score(
            found.source,
            found.bundle,
            found.lessons,
            said,
            case,
            outcome,
            whole=lane.sees_all,
            batch_failed=failed is not None,
        )
        if answer.verdict == "lessons":
            self._tell_wrong(score_id, cause, place, "models.lessons", answer.expected, found.lessons)
        elif answer.verdict == "answers" and isinstance(answer.expected, Prediction):
            tally.add_wrong(score_id)
            expected = {"predictions": {"online": answer.expected._asdict()}}
            self.suspect("score", score_id, cause, place, expected)
        elif answer.verdict == "unchecked" and answer.reason:
            tally.predictions_unchecked[answer.reason] += 1
        elif answer.verdict == "checked" and said is not None:
            tally.online_checked += 1
        if found.error is None:
            self.predictions.check(found, case, cause, place)
            return
        raised = failed or answer.raised
        bundle = self.predictions.load(found.bundle)
        if raised is not None and found.error.split(":")[1].strip() == type(raised).__name__:
            tally.predictions_checked += 1
        elif isinstance(bundle, str):
            tally.predictions_unchecked[bundle] += 1
        elif raised is not None or answer.verdict != "unchecked":
            self._tell_wrong(score_id, cause, place, "error", raised and repr(raised), found.error)

    def _tell_wrong(
        self, score_id: str, cause: Place, place: Place, path: str, expected: object, found: object
    ) -> None:
        self.tally.add_wrong(score_id)
        difference = Difference(path, expected, found, rule_of(path))
        self.tally.tell(Finding("wrong", "score", score_id, cause, place, differences=(difference,)))

    def _check_partials(self, partials: list[Partial], closed: Closed, expected: Facts, blind: bool) -> bool:
        """Compare what can be known of the scores that stand for a window in part.

        Whether a loss is plausible there.
        """
        plausible = True
        for partial in partials:
            if blind or not partial.content:
                continue
            score = orjson.loads(partial.content)
            is_same = partial.closing == closed.offset
            if not is_same and "limit" in (score["closed_by"], closed.closed_by):
                continue  # cut elsewhere than before the loss
            differ = problems(score, expected)
            lessons = score["models"]["lessons"]
            if is_same and not self.online.partly(partial.source, lessons):
                plausible = False
                there = "a whole score, or lessons that began again"
                said = f"{score['error']}, with {lessons} lessons"
                differ += (Difference("error", there, said, "state is lost with the online models"),)
            if differ:
                self.tally.add_wrong(partial.score_id)
                cause = Place(self.clicks_topic, partial.source, closed.offset)
                place = Place(self.scores_topic, partial.place, partial.offset)
                self.tally.tell(Finding("wrong", "score", partial.score_id, cause, place, differences=differ))
        return plausible

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

    def _read_again(
        self, lane: Lane, record: Record, parsed: Click | Heartbeat, refused: Refused | None
    ) -> None:
        """Hold the reading under audit against the audit's own."""
        again = self._again.get(record.partition)
        if again is None:
            again = self._again[record.partition] = IndependentReading(self.rules, self.independent)
        reads = [
            Read(
                facts(closed, reference(closed.session), self.clicks_topic, record.partition, self.settings),
                prefix(closed.session),
            )
            for closed in lane.logic.closed
            if again.is_drawn(closed.session_id)
        ]
        before = again.windows
        for found in again.advance(
            record.offset,
            record.timestamp,
            parsed,
            reads,
            None if refused is None else refused.reason,
            lane.logic.open_sessions,
        ):
            self.tally.add_wrong(found.id)
            cause = Place(self.clicks_topic, record.partition, record.offset)
            self.tally.tell(Finding("wrong", "score", found.id, cause, None, found.detail, found.differences))
        self.tally.read_twice += again.windows - before

    def _is_cut(self, partition: int, offset: int) -> bool:
        return self.scores_cut and offset <= self.published.kept_from.get(partition, _FOREVER)

    def _judge_score(self, found: Found) -> None:
        lane = self._lane(found.source)
        if lane.is_blind_to_score(found.session, found.opened_at, found.closing):
            self.tally.unchecked += 1
            return
        cause = Place(self.clicks_topic, found.source, found.closing)
        self._tell_unexpected(found.score_id, cause, Place(self.scores_topic, found.place, found.offset))

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
        elif lane.is_blind_to_score(partial.session, partial.opened_at, partial.closing):
            self.tally.unchecked += 1
        else:
            self._tell_unexpected(partial.score_id, cause, place)

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
                self._unexpected_letter(there)
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

    def _unexpected_letter(self, there: FoundLetter) -> None:
        self.tally.letters(there.reason).unexpected += 1
        self.tally.tell(
            Finding(
                "unexpected",
                "dead letter",
                there.reason,
                Place(self.clicks_topic, there.source, there.about),
                Place(self.dead_letter_topic, there.place, there.offset),
                "the record is not refused, or is not in the log",
            )
        )
