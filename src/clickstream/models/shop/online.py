"""The online models of any shop: River's, warm-started by training; each session is part of one lesson.

A logistic regression on the numbers, each as it is and as its logarithm, standardised by what was learned so
far, and on an indicator of each text. What is absent adds nothing. Revenue has two parts, as in batch.py.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from river import linear_model, optim, preprocessing

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features
from clickstream.models.case import Case, ScorerOutput, prediction
from clickstream.models.lessons import (
    learn_linear,
    learn_scale,
    move_centres,
    nearest,
    shifts_and_scales,
    sigmoid,
    standardised,
)
from clickstream.models.online import BaseRates, Global, OnlineModels, restore
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


_Prepared = tuple[list[float], list[int]]


class _Weights(NamedTuple):
    """A linear model over inputs as they are: what each number weighs, by place what an indicator does."""

    intercept: float
    slopes: list[float]
    weights: list[float]

    @classmethod
    def of(cls, model: Any, scales: Sequence[float], size: int) -> _Weights:
        """The weights of a model of `size` inputs, the first of which are multiplied with `scales`."""
        known = model.weights
        weights = [known.get(place, 0.0) for place in range(size)]
        slopes = [weight * scale for weight, scale in zip(weights, scales, strict=False)]
        return cls(model.intercept, slopes, weights)


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
        self._last: tuple[Features, _Prepared] | None = None
        models = _begin(clusters) if payload is None else restore(payload, allowed, *_KINDS)
        self._scaler, self._conversion, self._spending, self._centres, self._lesson = models
        self._read_off()

    def predict(self, case: Case) -> ScorerOutput:
        conversion, revenue = self._rates.conversion, self._rates.revenue
        if case.evidence is not None:
            conversion, revenue = self.answer(case.evidence)
        number = nearest(self._centres, self._point(case))
        return prediction(conversion, revenue, number, self._clusters.names[number])

    def answer(self, evidence: Features) -> tuple[float, float | None]:
        """Conversion and revenue alone, by what was learned so far."""
        numbers, places = self._prepared(evidence)
        conversion = sigmoid(self._sum(self._chances, numbers, places))
        if self._inputs.spending is None:
            return conversion, None
        spending = self._inputs.spending * (1.0 + self._sum(self._amounts, numbers, places))
        return conversion, conversion * max(spending, 0.0)

    def attribution(self, evidence: Features) -> Attribution:
        numbers, places = self._prepared(evidence)
        scaled = standardised(self._scaler, np.array([numbers]))[0]
        # What is absent adds nothing.
        inputs = {**dict(enumerate(np.nan_to_num(scaled).tolist())), **dict.fromkeys(places, 1.0)}
        return linear_attribution(self._conversion, inputs, self._feature_of)

    def models(self) -> tuple[Any, ...]:
        return self._scaler, self._conversion, self._spending, self._centres, self._lesson

    def _noted(self, case: Case, outcome: Outcome) -> tuple[Any, ...]:
        numbers, places = (None, []) if case.evidence is None else self._prepared(case.evidence)
        revenue = None
        if self._inputs.spending and outcome.converted and outcome.revenue is not None:
            # In units of the mean, so that a rate of learning fits any currency.
            revenue = outcome.revenue / self._inputs.spending - 1.0
        return numbers, places, case.weight, self._point(case), outcome.converted, revenue

    def _teach(self, lesson: list[Any]) -> None:
        move_centres(self._centres, np.array([one[3] for one in lesson]))
        seen = [one for one in lesson if one[0] is not None]
        if not seen:
            return
        numbers = np.array([one[0] for one in seen])
        rows = np.zeros((len(seen), self._size))
        # What is absent adds nothing.
        rows[:, : numbers.shape[1]] = np.nan_to_num(standardised(self._scaler, numbers))
        for row, one in zip(rows, seen, strict=True):
            row[one[1]] = 1.0
        used = np.flatnonzero(rows.any(axis=0)).tolist()
        weights = np.array([one[2] for one in seen])
        learn_linear(
            self._conversion, rows[:, used], used, np.array([one[4] for one in seen], float), weights
        )
        paid = [at for at, one in enumerate(seen) if one[5] is not None]
        if paid:
            spent = np.array([seen[at][5] for at in paid])
            learn_linear(self._spending, rows[np.ix_(paid, used)], used, spent, weights[paid])
        learn_scale(self._scaler, numbers)
        self._read_off()

    def _read_off(self) -> None:
        """Take what predictions need from the models: sums over plain numbers, until the next lesson."""
        self._shifts, scales = shifts_and_scales(self._scaler, 2 * len(self._numbers))
        self._chances = _Weights.of(self._conversion, scales, self._size)
        self._amounts = _Weights.of(self._spending, scales, self._size)

    def _sum(self, of: _Weights, numbers: Sequence[float], places: Sequence[int]) -> float:
        total = of.intercept
        for value, slope, shift in zip(numbers, of.slopes, self._shifts, strict=True):
            if value == value:  # not NaN: what is absent adds nothing
                total += (value - shift) * slope
        for place in places:
            total += of.weights[place]
        return total

    def _point(self, case: Case) -> list[float]:
        return list(self._clusters.point(case.whole).values())

    def _prepared(self, evidence: Features) -> _Prepared:
        """The numbers as they are and their logarithms, NaN where absent; the places of the texts."""
        # What is learned was predicted just before: the very same features.
        if self._last is None or self._last[0] is not evidence:
            self._last = evidence, self._prepare(evidence)
        return self._last[1]

    def _prepare(self, evidence: Features) -> _Prepared:
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
