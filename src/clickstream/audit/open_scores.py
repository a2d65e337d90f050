"""Open scores against the log: is each there once, and does it say what the clicks up to it make of it?

A point is a click at which an open score may be due. What the models answered there is computed again, many
points at a time and in the order of the log: a condition begins to hold once a session, so what is due at one
point depends on the points before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clickstream.audit.expected import digest_of, rule_of
from clickstream.audit.mismatches import Mismatches
from clickstream.audit.online import OnlineCheck
from clickstream.audit.partition import AuditedPartition
from clickstream.audit.predictions import PredictionCheck, agree
from clickstream.audit.published import PublishedRecords
from clickstream.audit.report import Difference, Place, Tally
from clickstream.audit.spill import Spill, SpilledOpenScore
from clickstream.bundles.bundle import Case, ScorerOutput
from clickstream.consumer.open_scores import OPEN_SCORERS, case_at, open_facts, trigger_of
from clickstream.infra.settings import Settings
from clickstream.records.score import REBUILT_PARTLY
from clickstream.records.scorers import LEARNING
from clickstream.windows.open_points import OpenPoint

_AT_ONCE = 2_000

_FITTED = tuple(name for name in OPEN_SCORERS if name != LEARNING)


class _Asked(NamedTuple):
    """A point that waits for what the fitted models say; `learned` is what the online ones say there.

    `bundle` is the one to ask; each is None where it is not known. `raised`: the online models cannot answer.
    `is_cut`: the topic may not reach back there.
    """

    partition: int
    point: OpenPoint
    case: Case
    found: SpilledOpenScore | None
    bundle: int | None
    learned: ScorerOutput | None
    raised: bool
    is_committed: bool
    is_cut: bool


class OpenScoreCheck:
    """Compares open scores with what is due."""

    def __init__(
        self,
        settings: Settings,
        published: PublishedRecords,
        spill: Spill,
        predictions: PredictionCheck,
        online: OnlineCheck,
        mismatches: Mismatches,
        tally: Tally,
    ) -> None:
        self._settings = settings
        self._published = published
        self._spill = spill
        self._predictions = predictions
        self._online = online
        self._mismatches = mismatches
        self._tally = tally
        self._trigger = trigger_of(settings, published.shop)
        self._waiting: list[_Asked] = []

    def check(self, audited: AuditedPartition, partition: int) -> None:
        """The record that was read last: is an open score due, or there?

        To be called before the windows that it closes are learned.
        """
        offset = audited.position - 1
        found = self._spill.open_scores.take(partition, offset)
        points = audited.open_points.points if audited.open_points is not None else ()
        if not points:
            if found is not None:
                self.unmatched(found, audited)
            return
        (point,) = points
        if audited.is_blind_to_point(point):
            self._tally.opened.unchecked += found is not None or self._trigger.counts(point.session.clicks)
            return
        if found is None and not (self._trigger.conditions or self._trigger.counts(point.session.clicks)):
            return
        case = case_at(self._published.shop, point)
        known = None if found is None else (found.bundle, found.lessons)
        bundle = self._bundle_at(partition, found)
        answer = None
        if bundle is not None:
            answer = self._online.at_point(partition, bundle, known, case, audited.sees_all)
        if answer is not None and answer.verdict == "lessons" and found is not None:
            wrong = Difference("models.lessons", answer.lessons, found.lessons, rule_of("models"))
            self._wrong(point.open_score_id, found, (wrong,))
        learned = answer.answers[0] if answer and answer.answers else None
        self._waiting.append(
            _Asked(
                partition,
                point,
                case,
                found,
                bundle,
                learned,
                answer is not None and answer.raised is not None,
                offset < audited.committed,
                offset < self._published.open_from.get(partition, 0),
            )
        )
        if len(self._waiting) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Decide about the points that wait."""
        waiting, self._waiting = self._waiting, []
        answers: dict[int, Mapping[str, ScorerOutput] | None] = {}
        for bundle in {one.bundle for one in waiting if one.bundle is not None}:
            asked = [at for at, one in enumerate(waiting) if one.bundle == bundle]
            said = self._predictions.answers(bundle, [waiting[at].case for at in asked])
            if not isinstance(said, str):
                answers |= zip(asked, said, strict=True)
        for at, one in enumerate(waiting):
            self._decide(one, at in answers, answers.get(at))

    def unmatched(self, found: SpilledOpenScore, audited: AuditedPartition) -> None:
        """An open score of a click at which none can be due."""
        counts = self._tally.opened
        if found.error == REBUILT_PARTLY:
            counts.rebuilt_partly += 1
        elif audited.is_blind_to_score(found.session, found.opened_at, found.about):
            counts.unchecked += 1
        else:
            self._unexpected(
                found, "the click is late, a copy, refused, or not in the log; or its goal was met"
            )

    def _bundle_at(self, partition: int, found: SpilledOpenScore | None) -> int | None:
        if found is not None:
            return found.bundle
        current = self._online.bundle_at(partition)
        only = 0 if len(self._published.bundles) == 1 else None
        return only if current is None else current

    def _decide(self, one: _Asked, is_known: bool, fitted: Mapping[str, ScorerOutput] | None) -> None:
        counts, point, found, trigger = self._tally.opened, one.point, one.found, self._trigger
        computed = self._computed(fitted, one.learned)
        published = None
        if found is not None:
            if found.error == REBUILT_PARTLY:
                counts.rebuilt_partly += 1
                return
            published = self._published.unpack(found.answers, OPEN_SCORERS) if found.answers else None
        # Where both are there they are equal but for the last digits, and a bound may lie between these.
        said: Mapping[str, Mapping[str, Any] | None] = (
            computed if published is None else {name: of.as_dict() for name, of in published.items()}
        )
        begun: Sequence[str] | None = trigger.fires(point, one.case.whole, said)
        if trigger.conditions and published is None and not (is_known and (one.learned or one.raised)):
            begun = None
        due = trigger.counts(point.session.clicks)
        if found is None:
            if due or begun:
                self._unscored(one)
            elif begun is None:
                counts.unchecked += 1
            return
        if begun == [] and not due:
            self._unexpected(found, "no number of clicks asks for it, and no condition begins to hold")
            return
        counts.expected += 1
        expected = open_facts(
            self._published.shop,
            point,
            self._settings.clicks_topic,
            one.partition,
            self._published.fingerprint,
        )
        if digest_of(expected) != found.facts:
            place = self._place(found)
            self._mismatches.add_open_score(point.open_score_id, self._cause(found), place, expected)
            return
        differ: list[Difference] = []
        if begun is not None and list(found.conditions) != list(begun):
            rule = "a condition is named with the click with which it begins to hold"
            differ.append(Difference("conditions", list(begun), list(found.conditions), rule))
        differ += self._answers(one, is_known, fitted, published)
        if differ:
            self._wrong(point.open_score_id, found, tuple(differ))

    def _answers(
        self,
        one: _Asked,
        is_known: bool,
        fitted: Mapping[str, ScorerOutput] | None,
        published: Mapping[str, ScorerOutput] | None,
    ) -> list[Difference]:
        """What differs of the predictions; what cannot be computed again is counted."""
        tally, found = self._tally, one.found
        if not is_known and found is not None:
            reason = self._predictions.load(found.bundle)
            tally.predictions_unchecked[reason if isinstance(reason, str) else "bundle"] += 1
            return []
        if published is None:
            if fitted is None or found is None or one.raised:
                return []
            if one.learned is None:
                tally.opened.online_unchecked += 1
                return []
            return [Difference("error", None, found.error, rule_of("error"))]
        if fitted is None:
            return [Difference("predictions", "an error", "answers", rule_of("error"))]
        computed: dict[str, ScorerOutput | None] = {name: fitted[name] for name in _FITTED}
        computed[LEARNING] = one.learned
        tally.opened.predictions_checked += 1
        tally.opened.online_unchecked += one.learned is None
        return [
            Difference(f"predictions.{name}", of.as_dict(), published[name].as_dict(), rule_of("predictions"))
            for name, of in computed.items()
            if of is not None and not agree(published[name], of)
        ]

    def _computed(
        self, fitted: Mapping[str, ScorerOutput] | None, learned: ScorerOutput | None
    ) -> dict[str, Mapping[str, Any] | None]:
        if fitted is None:
            return dict.fromkeys(OPEN_SCORERS)
        answers = {name: fitted[name] for name in _FITTED} | ({LEARNING: learned} if learned else {})
        return {name: answers[name].as_dict() if name in answers else None for name in OPEN_SCORERS}

    def _unscored(self, one: _Asked) -> None:
        counts, point = self._tally.opened, one.point
        counts.expected += 1
        session = point.session
        if not one.is_committed:
            counts.pending += 1
        elif one.is_cut:
            counts.unchecked += 1
        elif self._spill.touching(
            point.session_id, one.partition, session.opened_at, session.last.event_time
        ):
            counts.rebuilt_partly += 1
        else:
            cause = Place(self._settings.clicks_topic, one.partition, point.offset)
            detail = f"the click is number {session.clicks} of its session, and the group has committed it"
            self._tally.report_open_score("missing", point.open_score_id, cause, None, detail)

    def _unexpected(self, found: SpilledOpenScore, detail: str) -> None:
        name = f"{found.session}/{found.opened_at}/{found.about}"
        self._tally.report_open_score("unexpected", name, self._cause(found), self._place(found), detail)

    def _wrong(self, name: str, found: SpilledOpenScore, differ: tuple[Difference, ...]) -> None:
        self._tally.report_open_score(
            "wrong", name, self._cause(found), self._place(found), differences=differ
        )

    def _cause(self, found: SpilledOpenScore) -> Place:
        return Place(self._settings.clicks_topic, found.source, found.about)

    def _place(self, found: SpilledOpenScore) -> Place:
        return Place(self._settings.open_scores_topic, found.place, found.offset)
