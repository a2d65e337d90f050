"""The online models of any shop: River's, warm-started by training; each session is part of one lesson.

A logistic regression on the numbers, each as it is and as its logarithm, standardised by what was learned so
far, and on an indicator of each text. What is absent adds nothing. Revenue has two parts, as in batch.py.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import linear_model, optim, preprocessing

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features
from clickstream.models.case import Case, Floats, ScorerOutput, predictions
from clickstream.models.lessons import (
    added_up,
    learn_linear,
    learn_scale,
    move_centres,
    nearest,
    shifts_and_scales,
    sigmoid,
    standardised,
)
from clickstream.models.online import BaseRates, Global, Noted, OnlineModels, Table, restore
from clickstream.models.reasons import Attribution, linear_attribution
from clickstream.models.shop.clusters import ShopClusters
from clickstream.models.shop.inputs import MOST_CATEGORIES, ShopInputs

RATE = 0.02
L2 = 1e-3

_KINDS = (
    preprocessing.StandardScaler,
    linear_model.LogisticRegression,
    linear_model.LinearRegression,
    list,
    list,
)

_Evident = tuple[list[float], list[int]]


class _Weights(NamedTuple):
    """A linear model over inputs as they are: what each number weighs, by place what an indicator does."""

    intercept: float
    slopes: Floats
    weights: Floats

    @classmethod
    def of(cls, model: Any, scales: Sequence[float], size: int) -> _Weights:
        """The weights of a model of `size` inputs, the first of which are multiplied with `scales`."""
        known = model.weights
        # The place after the last weighs nothing.
        weights = np.array([*(known.get(place, 0.0) for place in range(size)), 0.0])
        return cls(model.intercept, weights[: len(scales)] * scales, weights)

    def sums(self, numbers: Floats, places: NDArray[np.intp]) -> Floats:
        """What is foretold of n sessions by their numbers, 0 where one is absent, and the places of texts."""
        return added_up(self.intercept, numbers * self.slopes, self.weights[places])


class ShopOnline(OnlineModels):
    """The three River models of a shop."""

    def __init__(
        self,
        bundle_id: str,
        inputs: ShopInputs,
        clusters: ShopClusters,
        rates: BaseRates,
        allowed: Collection[Global] = (),
        payload: bytes | None = None,
    ) -> None:
        """Models restored from `payload`, or, without one, models that have seen nothing.

        Raises:
            BundleError: `payload` is unreadable or holds a class outside `allowed`.
        """
        super().__init__(bundle_id)
        self._inputs = inputs
        self._clusters = clusters
        self._rates = rates
        self._numbers = list(zip(inputs.numbers, inputs.limits, strict=True))
        # A number stands in two columns, a text in one for each value.
        self._feature_of = {2 * at + side: name for at, name in enumerate(inputs.numbers) for side in (0, 1)}
        place = 2 * len(inputs.numbers)
        self._texts: list[tuple[str, int]] = []
        for name, known in inputs.texts.items():
            self._texts.append((name, place))
            width = min(len(known), MOST_CATEGORIES)
            self._feature_of |= dict.fromkeys(range(place, place + width), name)
            place += width
        self._size = place
        self._last: tuple[Features, _Evident] | None = None
        models = _begin(clusters) if payload is None else restore(payload, allowed, *_KINDS)
        self._scaler, self._conversion, self._spending, self._centres, lesson = models
        self._go_on(lesson)
        self._read_off()

    def _answered(self, table: Table, places: slice) -> list[ScorerOutput]:
        given, spending, seen = self._rates, self._inputs.spending, table.seen[places]
        # What is absent adds nothing.
        numbers = np.nan_to_num(table.numbers[places] - self._shifts)
        scores = self._chances.sums(numbers, table.places[places])
        conversion = np.where(seen, list(map(sigmoid, scores.tolist())), given.conversion)
        revenue = None
        if given.revenue is not None and spending is not None:
            spent = spending * (1.0 + self._amounts.sums(numbers, table.places[places]))
            revenue = np.where(seen, conversion * np.maximum(spent, 0.0), given.revenue)
        clusters = nearest(self._centres, table.points[places]).tolist()
        return predictions(conversion, revenue, clusters, self._clusters.names)

    def attribution(self, evidence: Features) -> Attribution:
        numbers, places = self._evident(evidence)
        scaled = standardised(self._scaler, np.array([numbers]))[0]
        # What is absent adds nothing.
        inputs = {**dict(enumerate(np.nan_to_num(scaled).tolist())), **dict.fromkeys(places, 1.0)}
        return linear_attribution(self._conversion, inputs, self._feature_of)

    def models(self) -> tuple[Any, ...]:
        return self._scaler, self._conversion, self._spending, self._centres, self._kept()

    def _truth(self, case: Case, outcome: Outcome) -> tuple[float, bool, float | None]:
        revenue = None
        if self._inputs.spending and outcome.converted and outcome.revenue is not None:
            # In units of the mean, so that a rate of learning fits any currency.
            revenue = outcome.revenue / self._inputs.spending - 1.0
        return case.weight, outcome.converted, revenue

    def _row(self, table: Table, place: int, truth: tuple[Any, ...]) -> tuple[Any, ...]:
        """Numbers and places of the texts of the evidence, None and none without it; weight; point; truth."""
        weight, *became = truth
        point = table.points[place].tolist()
        if not table.seen[place]:
            return None, [], weight, point, *became
        shown = [at for at in table.places[place].tolist() if at != self._size]
        return table.numbers[place].tolist(), shown, weight, point, *became

    def _noted(self, *row: Any) -> Noted:
        numbers, places, weight, point, *became = row
        evident = None if numbers is None else (numbers, places)
        return Noted(self._table_of([evident], [point]), 0, (weight, *became))

    def _teach(self, lesson: Table, truths: Sequence[tuple[Any, ...]]) -> None:
        move_centres(self._centres, lesson.points)
        seen = np.flatnonzero(lesson.seen)
        if not len(seen):
            return
        numbers = lesson.numbers[seen]
        # What is not in the vocabulary falls into a column of its own, which is left out.
        wide = np.zeros((len(seen), self._size + 1))
        # What is absent adds nothing.
        wide[:, : numbers.shape[1]] = np.nan_to_num(standardised(self._scaler, numbers))
        wide[np.arange(len(seen))[:, None], lesson.places[seen]] = 1.0
        rows = wide[:, : self._size]
        used = np.flatnonzero(rows.any(axis=0)).tolist()
        became = [truths[at] for at in seen.tolist()]
        weights = np.array([weight for weight, _, _ in became])
        converted = np.array([converted for _, converted, _ in became], dtype=float)
        learn_linear(self._conversion, rows[:, used], used, converted, weights)
        paid = [at for at, (_, _, revenue) in enumerate(became) if revenue is not None]
        if paid:
            spent = np.array([became[at][2] for at in paid])
            learn_linear(self._spending, rows[np.ix_(paid, used)], used, spent, weights[paid])
        learn_scale(self._scaler, numbers)
        self._read_off()

    def _read_off(self) -> None:
        """Take what predictions need from the models: sums over plain numbers, until the next lesson."""
        shifts, scales = shifts_and_scales(self._scaler, 2 * len(self._numbers))
        self._shifts = np.array(shifts)
        self._chances = _Weights.of(self._conversion, scales, self._size)
        self._amounts = _Weights.of(self._spending, scales, self._size)

    def tabled(self, cases: Sequence[Case]) -> Table:
        points = [list(self._clusters.point(case.whole).values()) for case in cases]
        evident = [None if case.evidence is None else self._evident(case.evidence) for case in cases]
        return self._table_of(evident, points)

    def _table_of(self, evident: Sequence[_Evident | None], points: Sequence[Sequence[float]]) -> Table:
        unseen: _Evident = [0.0] * (2 * len(self._numbers)), []
        none = [self._size] * len(self._texts)
        given = [one or unseen for one in evident]
        return Table(
            np.array([one is not None for one in evident]),
            np.array([numbers for numbers, _ in given], dtype=np.float64),
            np.array([(places + none)[: len(none)] for _, places in given], dtype=np.intp),
            np.array(points, dtype=np.float64),
        )

    def _evident(self, evidence: Features) -> _Evident:
        """The numbers as they are and their logarithms, NaN where absent; the places of the texts."""
        # What is learned of a moment was predicted just before: the very same features.
        if self._last is None or self._last[0] is not evidence:
            self._last = evidence, self._read(evidence)
        return self._last[1]

    def _read(self, evidence: Features) -> _Evident:
        numbers: list[float] = []
        for name, limit in self._numbers:
            value = evidence[name]
            if value is None:
                numbers += (math.nan, math.nan)
            else:
                value = float(min(max(value, -limit), limit))
                numbers += (value, math.copysign(math.log1p(abs(value)), value))
        codes = ((first, self._inputs.code(name, evidence[name])) for name, first in self._texts)
        return numbers, [first + code for first, code in codes if 0 <= code < MOST_CATEGORIES]


def _begin(clusters: ShopClusters) -> tuple[Any, ...]:
    return (
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(optim.AdaGrad(RATE), l2=L2),
        linear_model.LinearRegression(optim.AdaGrad(RATE), l2=L2),
        clusters.centres.tolist(),
        [],
    )
