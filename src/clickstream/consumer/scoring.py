"""Scores the sessions that closed, and those that are open at a click.

The batch and the reference models see all windows of a step in one call each; their answers are rounded, so
how a log was cut into steps leaves no trace. The online models see one window after the other, in closing
order: predict, then learn. At a click of an open session they predict, by what earlier records closed.

Of a goal that is an event, a score also says what was foretold at the decision point that is drawn: the one
that the online models learn. How good the models are is judged there, not at the last point, which is chosen
by how the session ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from operator import is_
from typing import Any, NamedTuple

import orjson

from clickstream.bundles.bundle import Bundle, Case
from clickstream.consumer.open_scores import OPEN_SCORERS, OpenScores, UnscoredPoint
from clickstream.features.goal import points_weight
from clickstream.features.session import Session
from clickstream.features.shop import Shop
from clickstream.models.case import Example
from clickstream.models.matrix import Cases
from clickstream.models.online import OnlineModels
from clickstream.models.scorers import LEARNER, scorers_of
from clickstream.records.score import REBUILT_PARTLY, SCHEMA_VERSION
from clickstream.records.scorers import SCORERS
from clickstream.windows.partition import ClosedWindow

# What a model raises for values that it cannot take. Anything else is a bug of ours and stops the step.
_UNSCORABLE = (ValueError, ArithmeticError, LookupError, TypeError)

# Bounds the memory of a step that closes very many.
_AT_ONCE = 4_000

_NO_PREDICTIONS: dict[str, Any] = dict.fromkeys(SCORERS)
# Which scorers a bundle is asked for.
_ALL: Mapping[str, Collection[str]] = {}
_OF_THE_OPEN: Mapping[str, Collection[str]] = {"only": ("batch",)}

_NOTHING_OPEN: dict[str, Any] = dict.fromkeys(OPEN_SCORERS)

Answer = tuple[dict[str, Any] | None, str | None]
"""By scorer what is said of a case, as it stands in a score; or why nothing is."""


class UnscoredWindow(NamedTuple):
    """A closed window, the partition it comes from, and that partition's online models.

    `online` None: it comes from no stream, so nobody knows what they had learned. `publish` False: its score
    was published before (state is being rebuilt). `learn` False: the online models have learned from it
    already.
    """

    partition: int
    closed: ClosedWindow
    online: OnlineModels | None
    publish: bool = True
    learn: bool = True


class SessionCases(NamedTuple):
    """What a closed session is to the models.

    Attributes:
        closing: what the predictions of its score look at.
        drawn: what was known at the decision point that is drawn; None where that is the last one.
        lesson: what the online models learn of it.
    """

    closing: Case
    drawn: Case | None
    lesson: Example

    @property
    def asked(self) -> Sequence[Case]:
        """The cases that the models are asked about."""
        return (self.closing,) if self.drawn is None else (self.closing, self.drawn)

    @property
    def all(self) -> Sequence[Case]:
        """Those, and the one that is learned, each once."""
        return self.asked if self.drawn is None else (*self.asked, self.lesson.case)


def case_of(shop: Shop, session: Session) -> Case:
    """What the predictions of a closed session's score look at."""
    weight = 1.0 if session.goal is None else points_weight(session.goal.points)
    return Case(shop.evidence(session), shop.whole(session), weight)


def cases_of(shop: Shop, session: Session) -> SessionCases:
    """What a closed session is to the models."""
    closing = case_of(shop, session)
    drawn = shop.drawn(session)
    # The very case that is predicted, where it is the same: it is prepared once.
    learned, moment = closing, None
    if drawn is not None:
        learned, moment = Case(drawn, closing.whole, closing.weight), Case(drawn, drawn)
    return SessionCases(closing, moment, Example(learned, shop.outcome(session)))


def answers_of(
    bundle: Bundle, cases: Sequence[Case], asked: Mapping[str, Collection[str]] = _ALL
) -> list[Answer]:
    """What the models that were fitted in batch say of each case; one does not take the others with it."""
    if not cases:
        return []
    try:
        return [
            ({name: prediction.as_dict() for name, prediction in found.items()}, None)
            for found in bundle.predict(cases, **asked)
        ]
    except _UNSCORABLE as problem:
        if len(cases) == 1:
            return [(None, _explain(problem))]
        return [answers_of(bundle, [case], asked)[0] for case in cases]


class WindowScorer:
    """Scores windows of a shop.

    `bundle` is the one to ask, `settings` the fingerprint that goes into each score. `opened` writes the
    scores of open sessions.
    """

    def __init__(
        self, bundle: Bundle, topic: str, settings: str, shop: Shop, opened: OpenScores | None = None
    ) -> None:
        self.bundle = bundle
        self._opened = opened
        self._shop = shop
        self._topic = topic
        self._settings = settings
        self._absent = {name: None for name in SCORERS if name not in scorers_of(shop)}

    def score(
        self,
        unscored: Sequence[UnscoredWindow | UnscoredPoint],
        shown: Callable[[dict[str, Any]], object] | None = None,
    ) -> list[bytes | None]:
        """Score windows and open sessions as JSON, None for what is not to be published.

        Of each partition they are in the order in which they came about: the online models learn the windows.
        Each score of a window that is to be published is `shown` before it is written.
        """
        scores: list[bytes | None] = []
        for first in range(0, len(unscored), _AT_ONCE):
            scores += self._score_some(unscored[first : first + _AT_ONCE], shown)
        return scores

    def _score_some(
        self,
        unscored: Sequence[UnscoredWindow | UnscoredPoint],
        shown: Callable[[dict[str, Any]], object] | None,
    ) -> list[bytes | None]:
        points = {i: one.case for i, one in enumerate(unscored) if isinstance(one, UnscoredPoint)}
        windows = {i: one for i, one in enumerate(unscored) if isinstance(one, UnscoredWindow)}
        cases = {i: cases_of(self._shop, window.closed.session) for i, window in windows.items()}
        asked = [i for i, window in windows.items() if window.publish and not window.closed.partial]
        told = Cases(case for i in asked for case in cases[i].asked)
        found = iter(answers_of(self.bundle, told))
        answers = {i: [next(found) for _ in cases[i].asked] for i in asked}
        opened = dict(zip(points, answers_of(self.bundle, [*points.values()], _OF_THE_OPEN), strict=True))
        expected = [
            (one.online, case)
            for i, one in enumerate(unscored)
            if one.online is not None
            for case in (cases[i].all if i in cases else (points[i],))
        ]
        _expect(expected, told)
        scored_at = time.time_ns() // 1_000_000
        scores: list[bytes | None] = []
        for i, window in enumerate(unscored):
            if isinstance(window, UnscoredPoint):
                scores.append(self._score_open(window, *opened[i]))
                continue
            online = window.online
            lessons = 0 if online is None else online.lessons
            partial = window.closed.partial
            predictions, error = together(answers.get(i, ()))
            if partial:
                error = REBUILT_PARTLY
            try:
                for said, case in zip(predictions, cases[i].asked, strict=False):
                    said[LEARNER.name] = None if online is None else online.predict(case).as_dict()
                if online is not None and window.learn and not partial:
                    online.learn(*cases[i].lesson)
            except _UNSCORABLE as problem:
                predictions, error = [], _explain(problem)
            if window.publish:
                score = self._score(window, cases[i], predictions, error, lessons, scored_at)
                scores.append(orjson.dumps(score))
                if shown is not None:
                    shown(score)
            else:
                scores.append(None)
        return scores

    def _score_open(
        self, one: UnscoredPoint, predictions: dict[str, Any] | None, error: str | None
    ) -> bytes | None:
        if self._opened is None:
            raise AssertionError("an open session is to be scored, and open scores are off")
        if one.point.partial:
            predictions, error = None, REBUILT_PARTLY
        try:
            if predictions is not None:
                predictions[LEARNER.name] = one.online.predict(one.case).as_dict()
        except _UNSCORABLE as problem:
            predictions, error = None, _explain(problem)
        score = self._opened.score(one, predictions or _NOTHING_OPEN, self.bundle.id, error)
        return None if score is None else orjson.dumps(score)

    def _score(
        self,
        window: UnscoredWindow,
        cases: SessionCases,
        predictions: Sequence[dict[str, Any]],
        error: str | None,
        lessons: int,
        scored_at: int,
    ) -> dict[str, Any]:
        """A score as it travels; `predictions` are about `cases.asked`, none where there is an error."""
        session_id, session, closed_by, offset, _ = window.closed
        drawn: dict[str, Any] = {}
        if self._shop.is_event_goal:
            at = session.drawn
            by_scorer = predictions[1] if len(predictions) > 1 else _NOTHING_OPEN
            said = {name: by_scorer[name] for name in OPEN_SCORERS}
            drawn["drawn"] = None if at is None else {"clicks": at.clicks, "predictions": said}
        return {
            "schema_version": SCHEMA_VERSION,
            "score_id": f"{session_id}/{session.opened_at}",
            "session_id": session_id,
            "opened_at": session.opened_at,
            "last_click_at": session.last.event_time,
            "closed_by": closed_by,
            "clicks": session.clicks,
            "duplicates": session.duplicates,
            "late": session.late,
            "missing": session.missing,
            "features": self._shop.shown(cases.closing.whole),
            "predictions": predictions[0] | self._absent if predictions else _NO_PREDICTIONS,
            "evidence": session.evidence,
            **drawn,
            "outcome": cases.lesson.outcome.as_dict(),
            "models": {
                "bundle": self.bundle.id,
                "feature_sets": self._shop.feature_sets,
                "lessons": lessons,
            },
            "shop": self._shop.as_dict(),
            "settings": self._settings,
            "source": {
                "topic": self._topic,
                "partition": window.partition,
                "first_offset": session.first_offset,
                "last_offset": session.last_offset,
                "closing_offset": offset,
            },
            "time_source": session.last.time_source,
            "scored_at": scored_at,
            "error": error,
        }


def together(answers: Sequence[Answer]) -> tuple[list[dict[str, Any]], str | None]:
    """What is said of all cases of a session; nothing where one of them cannot be answered."""
    if len(answers) == 1:
        ((only, error),) = answers
        return ([] if only is None else [only]), error
    error = next((error for _, error in answers if error is not None), None)
    return [said for said, _ in answers if said is not None and error is None], error


def _expect(asked: Sequence[tuple[OnlineModels, Case]], told: Cases) -> None:
    """Announce the cases that online models will be asked about, in their order.

    What is read of them has been read already, where they are those that the other models were told.
    """
    cases: dict[OnlineModels, list[Case]] = {}
    for online, case in asked:
        cases.setdefault(online, []).append(case)
    if not cases:
        return
    try:
        # What they look at is the same for all partitions of a bundle: it is read in one go.
        together = [*chain.from_iterable(cases.values())]
        same = len(together) == len(told) and all(map(is_, together, told))
        table = next(iter(cases)).tabled(told if same else together)
    except _UNSCORABLE:
        # Where one of them cannot be used, each is looked at when its turn comes.
        return
    first = 0
    for online, expected in cases.items():
        online.expect(expected, table, first)
        first += len(expected)


def _explain(problem: Exception) -> str:
    return f"prediction failed: {type(problem).__name__}: {str(problem)[:200]}"
