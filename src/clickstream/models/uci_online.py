"""The River models of shop uci553: predict a session, then learn from it, a lesson at a time.

Warm-started by training on its own training sessions in time order; afterwards each partition learns from
the sessions that it closes. Conversion and revenue look at set `prefix`, clusters at set `reference`.

Features have whole numbers for names: a set of strings iterates differently in every process, and River's
k-means adds up distances over such a set.
"""

from __future__ import annotations

from collections.abc import Collection
from operator import itemgetter
from typing import Any

import numpy as np
from river import linear_model, optim, preprocessing

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features
from clickstream.models.case import Case, ScorerOutput, prediction
from clickstream.models.clusters import NAMES, Clusters
from clickstream.models.inputs import Vocabulary
from clickstream.models.lessons import (
    bayesian_means,
    learn_bayesian,
    learn_linear,
    learn_scale,
    move_centres,
    nearest,
    shifts_and_scales,
    sigmoid,
    standardised,
)
from clickstream.models.matrix import CATEGORICAL, CLUSTERED, PUBLISHED
from clickstream.models.online import BaseRates, Global, OnlineModels, restore
from clickstream.models.reasons import Attribution, linear_attribution

RATE = 0.02
L2 = 1e-4

# A product is seen in one of two hundred sessions. At 1 its weight would hardly move within a season;
# standardised it would be 15, and rare products would shout.
PRODUCT_VALUE = 5.0

_INTERCEPT = len(PUBLISHED)

_Prepared = tuple[list[float] | None, list[int], int | None, list[float]]
"""The numbers of set `prefix`, None without evidence; the places of indicators and product; the point among
the centres. Plain, as it is kept in the state until its lesson is full."""

_Models = tuple[Any, Any, Any, list[list[float]], list[Any]]

_KINDS = (
    preprocessing.StandardScaler,
    linear_model.LogisticRegression,
    linear_model.BayesianLinearRegression,
    list,
    list,
)


class UciOnlineModels(OnlineModels):
    """The three River models of shop uci553."""

    def __init__(
        self,
        bundle_id: str,
        vocabulary: Vocabulary,
        clusters: Clusters,
        base_rates: BaseRates,
        allowed: Collection[Global] = (),
        payload: bytes | None = None,
    ) -> None:
        """Models restored from `payload`, or, without one, models that have seen nothing.

        Raises:
            BundleError: `payload` is unreadable or holds a class outside `allowed`.
        """
        super().__init__(bundle_id)
        self._base_rates = base_rates
        self._numbers = itemgetter(*PUBLISHED)
        self._limits = [vocabulary.limits[name] for name in PUBLISHED]
        self._revenue_limit = vocabulary.limits["last_price"]
        self._clustered = itemgetter(*CLUSTERED)
        self._standard = [
            (mean, scale, vocabulary.limits[name])
            for name, mean, scale in zip(
                CLUSTERED, clusters.mean.tolist(), clusters.scale.tolist(), strict=True
            )
        ]
        self._indicators, first_product = _places(vocabulary)
        self._products = {
            product: first_product + at for product, at in vocabulary.positions["last_product"].items()
        }
        self._feature_of = {
            **dict(enumerate(PUBLISHED)),
            **{place: name for name, places in self._indicators for place in places.values()},
            **dict.fromkeys(self._products.values(), "last_product"),
        }
        self._size = first_product + len(self._products)
        models = _begin(clusters, first_product) if payload is None else restore(payload, allowed, *_KINDS)
        self._scaler, self._conversion, self._revenue, self._centres, self._lesson = models
        self._prepared: tuple[Case, _Prepared] | None = None
        self._read_off()

    def predict(self, case: Case) -> ScorerOutput:
        """Predict a session by what was learned so far."""
        prepared = self._prepare(case)
        # A session is learned right after it was predicted: what was made of it serves both.
        self._prepared = case, prepared
        numbers, places, product, point = prepared
        conversion, revenue = self._base_rates
        if numbers is not None:
            score, revenue = self._offset, self._base
            for value, slope, worth in zip(numbers, self._slopes, self._worths, strict=True):
                score += value * slope
                revenue += value * worth
            for place in places:
                score += self._weights[place]
                revenue += self._means[place]
            if product is not None:
                score += PRODUCT_VALUE * self._weights[product]
            conversion = sigmoid(score)
        number = nearest(self._centres, point)
        return prediction(conversion, revenue, number, NAMES[number])

    def attribution(self, evidence: Features) -> Attribution:
        numbers, places, product = self._evident(evidence)
        scaled = standardised(self._scaler, np.array([numbers]))[0].tolist()
        inputs = {**dict(enumerate(scaled)), **dict.fromkeys(places, 1.0)}
        if product is not None:
            inputs[product] = PRODUCT_VALUE
        return linear_attribution(self._conversion, inputs, self._feature_of)

    def models(self) -> _Models:
        return self._scaler, self._conversion, self._revenue, self._centres, self._lesson

    def _noted(self, case: Case, outcome: Outcome) -> tuple[Any, ...]:
        last = self._prepared
        prepared = last[1] if last is not None and last[0] is case else self._prepare(case)
        self._prepared = None
        revenue = None if outcome.revenue is None else min(outcome.revenue, self._revenue_limit)
        return (*prepared, outcome.converted, revenue)

    def _teach(self, lesson: list[Any]) -> None:
        move_centres(self._centres, np.array([point for _, _, _, point, _, _ in lesson]))
        seen = [one for one in lesson if one[0] is not None]
        if not seen:
            return
        rows = np.zeros((len(seen), self._size))
        rows[:, :_INTERCEPT] = [numbers for numbers, *_ in seen]
        for row, (_, places, product, *_) in zip(rows, seen, strict=True):
            row[places] = 1.0
            if product is not None:
                row[product] = PRODUCT_VALUE
        scaled = rows.copy()
        scaled[:, :_INTERCEPT] = standardised(self._scaler, rows[:, :_INTERCEPT])
        used = [*range(_INTERCEPT), *(np.flatnonzero(rows[:, _INTERCEPT:].any(axis=0)) + _INTERCEPT).tolist()]
        converted = np.array([converted for *_, converted, _ in seen], dtype=float)
        learn_linear(self._conversion, scaled[:, used], used, converted)
        learn_scale(self._scaler, rows[:, :_INTERCEPT])
        earning = [at for at, one in enumerate(seen) if one[-1] is not None]
        rows[:, _INTERCEPT] = 1.0
        linear = rows[earning, : len(self._means)]
        learn_bayesian(self._revenue, linear, np.array([seen[at][-1] for at in earning]))
        self._read_off()

    def _read_off(self) -> None:
        """Take what predictions need from the models: sums over plain numbers, until the next lesson."""
        weights = self._conversion.weights
        self._weights = [weights.get(place, 0.0) for place in range(self._size)]
        shifts, scales = shifts_and_scales(self._scaler, _INTERCEPT)
        self._slopes = [weight * scale for weight, scale in zip(self._weights, scales, strict=False)]
        self._offset = self._conversion.intercept
        for slope, shift in zip(self._slopes, shifts, strict=True):
            self._offset -= slope * shift
        self._means = bayesian_means(self._revenue)
        self._worths, self._base = self._means[:_INTERCEPT], self._means[_INTERCEPT]

    def _prepare(self, case: Case) -> _Prepared:
        point = [
            ((value if value <= limit else limit) - mean) / scale
            for value, (mean, scale, limit) in zip(self._clustered(case.whole), self._standard, strict=True)
        ]
        if case.evidence is None:
            return None, [], None, point
        return (*self._evident(case.evidence), point)

    def _evident(self, prefix: Features) -> tuple[list[float], list[int], int | None]:
        numbers = [
            value if value <= limit else limit
            for value, limit in zip(self._numbers(prefix), self._limits, strict=True)
        ]
        found = (places.get(prefix[name]) for name, places in self._indicators)
        places = [place for place in found if place is not None]
        return numbers, places, self._products.get(prefix["last_product"])


def _begin(clusters: Clusters, inputs: int) -> _Models:
    revenue = linear_model.BayesianLinearRegression()
    # A lesson of zeros changes nothing but names every input, so the matrices never outgrow their size.
    revenue.learn_one(dict.fromkeys(range(inputs), 0.0), 0.0)
    return (
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(optim.AdaGrad(RATE), l2=L2),
        revenue,
        clusters.centres.tolist(),
        [],
    )


def _places(vocabulary: Vocabulary) -> tuple[list[tuple[str, dict[int | str, int]]], int]:
    """A place for each value of each category and page, after the numbers and the intercept; the next one."""
    free = _INTERCEPT + 1
    indicators = []
    for name in CATEGORICAL:
        positions = vocabulary.positions[name]
        indicators.append((name, {value: free + at for value, at in positions.items()}))
        free += len(positions)
    return indicators, free
