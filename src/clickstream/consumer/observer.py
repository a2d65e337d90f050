"""What published scores say about the models and about the stream: their quality, and whether it drifts.

Reads what was published, not what the engine meant to publish: the monitor in a consumer and a reader of the
scores topic see the same. A score is decoded as far as is needed here, a third of the time of all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter

import msgspec
import numpy as np

from clickstream.models.case import Floats
from clickstream.models.drift import ERRORS, FEATURES, Alarm, Drift
from clickstream.models.quality import EvaluatedSession, Quality, Rolling, SinceStart, losses, rows
from clickstream.records.reading import reader_of
from clickstream.records.scorers import LEARNING, SCORERS

_LEARNING = SCORERS.index(LEARNING)

# What is watched of a session's features, all of them numbers.
_Features = msgspec.defstruct("_Features", [(name, float) for name in FEATURES], gc=False)
_watched = attrgetter(*FEATURES)


class _Prediction(msgspec.Struct, gc=False):
    conversion: float
    revenue: float
    cluster: int


_Predictions = msgspec.defstruct("_Predictions", [(name, _Prediction | None) for name in SCORERS], gc=False)
_answers = attrgetter(*SCORERS)


class _Outcome(msgspec.Struct, gc=False):
    converted: bool
    revenue: float


class _Models(msgspec.Struct, gc=False):
    bundle: str


class ObservedScore(msgspec.Struct, gc=False):
    """The part of a score that is evaluated."""

    last_click_at: int
    features: _Features  # type: ignore[valid-type]
    predictions: _Predictions  # type: ignore[valid-type]
    evidence: int
    outcome: _Outcome
    models: _Models


observed = reader_of(ObservedScore)
"""A record's value -> what is evaluated; None for a record that is no score."""


def evaluated(score: ObservedScore) -> EvaluatedSession | None:
    """None without evidence, or where a scorer said nothing: what cannot be compared is not counted."""
    answers: tuple[_Prediction | None, ...] = _answers(score.predictions)
    said = [answer for answer in answers if answer is not None]
    if not score.evidence or len(said) < len(answers):
        return None
    outcome = score.outcome
    return EvaluatedSession(
        outcome.converted,
        outcome.revenue,
        said[0].cluster == said[_LEARNING].cluster,
        tuple([answer.conversion for answer in said]),
        tuple([answer.revenue for answer in said]),
    )


def drift_features(scores: Sequence[ObservedScore]) -> Floats:
    """What is watched of each session, shape (n, len(FEATURES))."""
    watched = chain.from_iterable(_watched(score.features) for score in scores)
    values = np.fromiter(watched, np.float64, len(scores) * len(FEATURES))
    return values.reshape(len(scores), len(FEATURES))


class Observer:
    """Quality since the start and over the last `window` sessions with evidence, and drift.

    Attributes:
        sessions: scores seen, those without evidence or predictions included.
    """

    def __init__(self, window: int) -> None:
        self.sessions = 0
        self._window = window
        self._features, self._errors = Drift(FEATURES), Drift(ERRORS)
        self._since_start, self._rolling = SinceStart(), Rolling(window)
        self._alarms = dict.fromkeys((*FEATURES, *ERRORS), 0)

    @property
    def alarms(self) -> Mapping[str, int]:
        """Watched quantity -> changes found."""
        return self._alarms

    def add(self, scores: Sequence[ObservedScore]) -> list[Alarm]:
        """Take in scores, in the order of time; the changes found."""
        return self.add_tables(
            drift_features(scores), rows([row for row in map(evaluated, scores) if row is not None])
        )

    def add_tables(self, watched: Floats, table: Floats) -> list[Alarm]:
        """The same, given the `drift_features` of the scores and the `rows` of those that are `evaluated`."""
        self.sessions += len(watched)
        alarms = self._features.add(watched)
        if len(table):
            log_losses, errors = found = losses(table)
            self._since_start.add(table, found)
            self._rolling.add(table)
            alarms += self._errors.add(np.column_stack((log_losses[:, 0], errors[:, 0])))
        for alarm in alarms:
            self._alarms[alarm.feature] += 1
        return alarms

    def other_models(self) -> None:
        """Other models speak from now on: their quality is theirs alone. The features are the shop's."""
        self._since_start, self._rolling = SinceStart(), Rolling(self._window)
        self._errors = Drift(ERRORS)

    def since_start(self) -> Quality | None:
        """Since the start of these models; None before the first session."""
        return self._since_start.quality()

    def recent(self) -> Floats:
        """A copy of the last sessions with evidence of these models, for `measure`: it takes milliseconds."""
        return self._rolling.table()
