"""What a score says beside the facts: predictions, lessons, an error; and scores that were rebuilt partly."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from clickstream.audit.expected import Facts, rule_of
from clickstream.audit.mismatches import Mismatches
from clickstream.audit.online import OnlineCheck
from clickstream.audit.partly import problems
from clickstream.audit.predictions import PredictionCheck, predictions_by_path
from clickstream.audit.published import PublishedRecords
from clickstream.audit.report import Difference, Place, Tally
from clickstream.audit.spill import PartialScore, SpilledScore
from clickstream.consumer.scoring import SessionCases
from clickstream.infra.settings import Settings
from clickstream.records.reasons import CUT
from clickstream.records.scorers import LEARNING
from clickstream.windows.partition import ClosedWindow


@dataclass(slots=True)
class AnswerCheck:
    """Checks what depends on a bundle as far as the bundle is here, and the rest always."""

    settings: Settings
    published: PublishedRecords
    predictions: PredictionCheck
    online: OnlineCheck
    mismatches: Mismatches
    tally: Tally

    def check(
        self, whole: bool, found: SpilledScore, cases: SessionCases, cause: Place, place: Place
    ) -> None:
        """Compare predictions, lessons and error of a score whose facts are right.

        `cases` are what its session is to the models; `whole`, that every window of its partition was seen.
        """
        tally, score_id = self.tally, found.score_id
        asked = cases.asked
        failed = self.predictions.raised(found.bundle, asked) if found.error is not None else None
        published = [said[LEARNING] for said in self.published.answers_in(found)]
        answer = self.online.score(
            found, published, asked, cases.lesson, whole, batch_failed=failed is not None
        )
        if answer.verdict == "lessons":
            self._report_wrong(score_id, cause, place, "models.lessons", answer.lessons, found.lessons)
        elif answer.verdict == "answers":
            expected = predictions_by_path({LEARNING: right.as_dict()} for right in answer.answers)
            self.mismatches.add_score(score_id, cause, place, expected)
        elif answer.verdict == "unchecked" and answer.reason:
            tally.predictions_unchecked[answer.reason] += 1
        elif answer.verdict == "checked" and published:
            tally.online_checked += 1
        if found.error is None:
            self.predictions.check(found, asked, cause, place)
            return
        raised = failed or answer.raised
        bundle = self.predictions.load(found.bundle)
        if raised is not None and found.error.split(":")[1].strip() == type(raised).__name__:
            tally.predictions_checked += 1
        elif isinstance(bundle, str):
            tally.predictions_unchecked[bundle] += 1
        elif raised is not None or answer.verdict != "unchecked":
            self._report_wrong(score_id, cause, place, "error", raised and repr(raised), found.error)

    def _report_wrong(
        self, score_id: str, cause: Place, place: Place, path: str, expected: object, found: object
    ) -> None:
        difference = Difference(path, expected, found, rule_of(path))
        self.tally.report_score("wrong", score_id, cause, place, differences=(difference,))

    def check_partials(
        self, partials: list[PartialScore], closed: ClosedWindow, expected: Facts, blind: bool
    ) -> bool:
        """Compare what can be known of the scores that stand for a window in part.

        Whether a loss is plausible there.
        """
        plausible = True
        for partial in partials:
            if blind or not partial.content:
                continue
            score = orjson.loads(partial.content)
            is_same = partial.closing == closed.offset
            if not is_same and not CUT.isdisjoint((score["closed_by"], closed.closed_by)):
                continue  # cut elsewhere than before the loss
            differ = problems(self.published.shop.definition, score, expected)
            lessons = score["models"]["lessons"]
            if is_same and not self.online.partly(partial.source, lessons):
                plausible = False
                there = "a whole score, or lessons that began again"
                said = f"{score['error']}, with {lessons} lessons"
                differ += (Difference("error", there, said, "state is lost with the online models"),)
            if differ:
                cause = Place(self.settings.clicks_topic, partial.source, closed.offset)
                place = Place(self.settings.scores_topic, partial.place, partial.offset)
                self.tally.report_score("wrong", partial.score_id, cause, place, differences=differ)
        return plausible
