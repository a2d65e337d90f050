"""Published scores -> how good the models are, and whether the stream drifts.

The metrics of a consumer and a reader of the scores topic see the same: a reader decodes a score as far as is
needed here, a consumer takes the same from the score that it is about to write, at half the cost.

Of a goal that is an event, what counts is what was foretold at the decision point that is drawn. It stands
for all points of its session and weighs as much as they do together, so the figures are, on the average,
those over all decision points that a training shows. The last point alone, which most of a score is about,
is chosen by how the session ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from clickstream.consumer.open_scores import OPEN_SCORERS
from clickstream.features.goal import points_weight
from clickstream.features.shop import UCI553, Shop
from clickstream.models.case import Floats
from clickstream.models.drift import (
    Alarm,
    Drift,
    FeatureDrift,
    WatchedFeatures,
    watched_errors,
    watched_features,
)
from clickstream.models.quality import EvaluatedSession, Quality, Rolling, SinceStart, losses, measure, rows
from clickstream.models.scorers import scorers_of
from clickstream.records.reading import reader_of
from clickstream.records.scorers import LEARNING, SCORERS

_NAN = float("nan")


class _Prediction(msgspec.Struct, gc=False):
    # What is no number travels as null, and is no score then: nor is it before it travels.
    conversion: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
    revenue: float | None
    cluster: int


def _side_by_side(name: str, scorers: Sequence[str]) -> Any:
    return msgspec.defstruct(name, [(scorer, _Prediction | None) for scorer in scorers], gc=False)


_Predictions = _side_by_side("_Predictions", SCORERS)
_OpenPredictions = _side_by_side("_OpenPredictions", OPEN_SCORERS)


class _Drawn(msgspec.Struct, gc=False):
    predictions: _OpenPredictions  # type: ignore[valid-type]


class _Outcome(msgspec.Struct, gc=False):
    converted: bool
    revenue: float | None
    source: Literal["goal", "proxy"]


class _Models(msgspec.Struct, gc=False):
    bundle: str


class ScoreShop(msgspec.Struct, gc=False):
    """The shop of a score."""

    name: str
    hash: str


class ObservedScore(msgspec.Struct, gc=False):
    """The part of a score that is evaluated, whatever its shop."""

    last_click_at: int
    predictions: _Predictions  # type: ignore[valid-type]
    evidence: int
    outcome: _Outcome
    models: _Models
    shop: ScoreShop
    error: str | None
    drawn: _Drawn | None = None

    @property
    def is_goal_without_visit(self) -> bool:
        """Whether the goal was met by a first click: by an order that another system reported, say."""
        return self.outcome.converted and not self.evidence and self.outcome.source == "goal"


class _AnyScore(msgspec.Struct, gc=False):
    score_id: str
    shop: ScoreShop


_any_score = reader_of(_AnyScore)

ScoreReader = Callable[[bytes | None], ObservedScore | ScoreShop | None]
"""A record's value -> what is evaluated; the shop of a score of another one; None where it is no score."""

ScoreObserver = Callable[[list[ObservedScore], Mapping[str, Any]], None]
"""Appends to a list what a reader would evaluate of a score that is to be written, if it would."""


def score_observer(shop: Shop) -> ScoreObserver:
    """An observer of the scores of a shop."""
    score = _score_of(shop)

    def observe(seen: list[ObservedScore], content: Mapping[str, Any]) -> None:
        try:
            one = msgspec.convert(content, score)
        except msgspec.ValidationError:
            return
        seen.append(one)

    return observe


@cache
def score_reader(shop: Shop) -> ScoreReader:
    """A reader of the scores of a shop."""
    read = reader_of(_score_of(shop))
    digest = shop.definition.hash

    def observed(value: bytes | None) -> ObservedScore | ScoreShop | None:
        found = read(value)
        if found is not None and found.shop.hash == digest:
            return found
        other = _any_score(value)
        return None if other is None or other.shop.hash == digest else other.shop

    return observed


@cache
def _score_of(shop: Shop) -> type[ObservedScore]:
    watched = watched_features(shop)
    fields: list[Any] = [(name, _type(name, watched)) for name in watched.names]
    features: Any = msgspec.defstruct("_Features", fields, gc=False)
    score = msgspec.defstruct(
        "_ShopScore", [("features", features)], bases=(ObservedScore,), kw_only=True, gc=False
    )
    return cast(type[ObservedScore], score)


def _type(name: str, watched: WatchedFeatures) -> Any:
    return str | None if name in watched.texts else float | bool | None


class ScoreTable(NamedTuple):
    """Scores as tables.

    Attributes:
        numbers: watched features, shape (n, numbers); NaN where there is none.
        texts: a column of n values for each watched text.
        evaluable: which scores can be evaluated, shape (n,).
        rows: those of `models.quality` of the evaluable ones.
    """

    numbers: Floats
    texts: list[list[str | None]]
    evaluable: NDArray[np.bool_]
    rows: Floats

    def at(self, order: NDArray[np.intp]) -> ScoreTable:
        """The same scores in another order."""
        texts = [[column[place] for place in order] for column in self.texts]
        evaluable = self.evaluable[order]
        rows = self.rows[(np.cumsum(self.evaluable) - 1)[order[evaluable]]]
        return ScoreTable(self.numbers[order], texts, evaluable, rows)


def joined(tables: Sequence[ScoreTable]) -> ScoreTable:
    """One table of several, of which there is at least one."""
    numbers, texts, evaluable, rows = zip(*tables, strict=True)
    return ScoreTable(
        np.concatenate(numbers),
        [list(chain.from_iterable(columns)) for columns in zip(*texts, strict=True)],
        np.concatenate(evaluable),
        np.concatenate(rows),
    )


class ScoreEvaluation:
    """Quality since the start and over the last `window` sessions with evidence, and drift, of one shop.

    Attributes:
        sessions: scores seen, those without evidence or predictions included.
    """

    def __init__(self, window: int, shop: Shop = UCI553, watched: WatchedFeatures | None = None) -> None:
        self.sessions = 0
        self.scorers = scorers_of(shop)
        self._window = window
        self._watched = watched_features(shop) if watched is None else watched
        self._watched_errors = watched_errors(shop)
        self._answers = attrgetter(*self.scorers)
        self._is_event_goal = shop.is_event_goal
        self._learning = self.scorers.index(LEARNING)
        self._values = list(map(attrgetter, self._watched.names))
        self._features, self._errors = FeatureDrift(self._watched), Drift(self._watched_errors)
        self._since_start = SinceStart(self.scorers)
        self._rolling = Rolling(window, self.scorers)
        self._alarms = dict.fromkeys((*self._watched.names, *self._watched_errors), 0)

    @property
    def alarms(self) -> Mapping[str, int]:
        """Watched quantity -> changes found."""
        return self._alarms

    def add(self, scores: Sequence[ObservedScore]) -> list[Alarm]:
        """Take in scores of the shop, in the order of time; the changes found."""
        return self.add_table(self.table(scores))

    def add_table(self, table: ScoreTable) -> list[Alarm]:
        """The same of a `table` of scores."""
        self.sessions += len(table.numbers)
        alarms = self._features.add(table.numbers, table.texts)
        if len(table.rows):
            log_losses, errors = found = losses(table.rows)
            self._since_start.add(table.rows, found)
            self._rolling.add(table.rows)
            of_batch = np.column_stack((log_losses[:, 0], errors[:, 0]))
            alarms += self._errors.add(of_batch[:, : len(self._watched_errors)])
        for alarm in alarms:
            self._alarms[alarm.feature] += 1
        return alarms

    def table(self, scores: Sequence[ObservedScore]) -> ScoreTable:
        """Scores of the shop as tables, in their order."""
        columns = [[value(score.features) for score in scores] for value in self._values]  # type: ignore[attr-defined]
        count = len(self._watched.numbers)
        # None is NaN in an array of floats.
        numbers = np.array(columns[:count], dtype=np.float64).reshape(count, len(scores)).T
        evaluated = list(map(self._evaluated, scores))
        return ScoreTable(
            numbers,
            columns[count:],
            np.array([row is not None for row in evaluated], dtype=bool),
            rows([row for row in evaluated if row is not None], self.scorers),
        )

    def other_models(self) -> None:
        """Other models speak from now on: their quality is theirs alone. The features are the shop's."""
        self._since_start, self._rolling = SinceStart(self.scorers), Rolling(self._window, self.scorers)
        self._errors = Drift(self._watched_errors)

    def since_start(self) -> Quality | None:
        """Since the start of these models; None before the first session."""
        return self._since_start.quality()

    def recent(self) -> Floats:
        """A copy of the last sessions with evidence of these models, for `measure`: it takes milliseconds."""
        return self._rolling.table()

    def rolling(self) -> Quality | None:
        """Over the last sessions of these models; None before the first."""
        return measure(self.recent(), self.scorers)

    def _evaluated(self, score: ObservedScore) -> EvaluatedSession | None:
        """None without evidence, or where a scorer said nothing: what cannot be compared is not counted."""
        closing = self._said(score.predictions)
        said = closing if score.drawn is None else self._said(score.drawn.predictions)
        if not score.evidence or closing is None or said is None:
            return None
        outcome = score.outcome
        return EvaluatedSession(
            outcome.converted,
            _NAN if outcome.revenue is None else outcome.revenue,
            closing[0].cluster == closing[self._learning].cluster,
            points_weight(score.evidence) if self._is_event_goal else 1.0,
            tuple([answer.conversion for answer in said]),
            tuple([_NAN if answer.revenue is None else answer.revenue for answer in said]),
        )

    def _said(self, predictions: Any) -> Sequence[_Prediction] | None:
        answers: tuple[_Prediction | None, ...] = self._answers(predictions)
        said = [answer for answer in answers if answer is not None]
        return said if len(said) == len(answers) else None
