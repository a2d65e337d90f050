"""The River models of shop uci553: predict a session, then learn from it, a lesson at a time.

Warm-started by training on its own training sessions in time order; afterwards each partition learns from
the sessions that it closes. Conversion and revenue look at set `prefix`, clusters at set `reference`.

Features have whole numbers for names: a set of strings iterates differently in every process, and River's
k-means adds up distances over such a set.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import linear_model, optim, preprocessing

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features
from clickstream.models.case import Case, Floats, ScorerOutput, predictions
from clickstream.models.clusters import NAMES, Clusters
from clickstream.models.inputs import Vocabulary
from clickstream.models.lessons import (
    added_up,
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
from clickstream.models.matrix import CATEGORICAL, CLUSTERED, PUBLISHED, Cases, numbers
from clickstream.models.online import BaseRates, Global, Noted, OnlineModels, Table, restore
from clickstream.models.reasons import Attribution, linear_attribution

RATE = 0.02
L2 = 1e-4

# A product is seen in one of two hundred sessions. At 1 its weight would hardly move within a season;
# standardised it would be 15, and rare products would shout.
PRODUCT_VALUE = 5.0

_INTERCEPT = len(PUBLISHED)

# What stands in the place of a text that is seen: of categories and pages, then of the product.
_VALUES = np.array([1.0] * len(CATEGORICAL) + [PRODUCT_VALUE])

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
        self._limits = np.array([vocabulary.limits[name] for name in PUBLISHED])
        self._revenue_limit = vocabulary.limits["last_price"]
        self._cluster_limits = np.array([vocabulary.limits[name] for name in CLUSTERED])
        self._mean, self._scale = clusters.mean, clusters.scale
        self._indicators, self._first_product = _places(vocabulary)
        self._products = {
            product: self._first_product + at for product, at in vocabulary.positions["last_product"].items()
        }
        self._texts = [*self._indicators, ("last_product", self._products)]
        self._feature_of = {
            **dict(enumerate(PUBLISHED)),
            **{place: name for name, places in self._indicators for place in places.values()},
            **dict.fromkeys(self._products.values(), "last_product"),
        }
        self._size = self._first_product + len(self._products)
        models = (
            _begin(clusters, self._first_product) if payload is None else restore(payload, allowed, *_KINDS)
        )
        self._scaler, self._conversion, self._revenue, self._centres, lesson = models
        self._go_on(lesson)
        self._read_off()

    def _answered(self, table: Table, places: slice) -> list[ScorerOutput]:
        seen, numbers, known = table.seen[places], table.numbers[places], table.places[places]
        scores = added_up(self._offset, numbers * self._slopes, self._weights[known] * _VALUES)
        revenue = added_up(self._base, numbers * self._worths, self._means[known[:, :-1]])
        conversion = np.array(list(map(sigmoid, scores.tolist())))
        return predictions(
            np.where(seen, conversion, self._base_rates.conversion),
            np.where(seen, revenue, self._base_rates.revenue or 0.0),
            nearest(self._centres, table.points[places]).tolist(),
            NAMES,
        )

    def attribution(self, evidence: Features) -> Attribution:
        numbers, places = self._evident([evidence])
        scaled = standardised(self._scaler, numbers)[0].tolist()
        values = zip(places[0].tolist(), _VALUES.tolist(), strict=True)
        inputs = {**dict(enumerate(scaled)), **{at: value for at, value in values if at != self._size}}
        return linear_attribution(self._conversion, inputs, self._feature_of)

    def models(self) -> _Models:
        return self._scaler, self._conversion, self._revenue, self._centres, self._kept()

    def _truth(self, _: Case, outcome: Outcome) -> tuple[bool, float | None]:
        revenue = None if outcome.revenue is None else min(outcome.revenue, self._revenue_limit)
        return outcome.converted, revenue

    def _row(self, table: Table, place: int, truth: tuple[Any, ...]) -> tuple[Any, ...]:
        """Numbers of set `prefix`, None without evidence; places of indicators and product; point; truth."""
        point = table.points[place].tolist()
        if not table.seen[place]:
            return None, [], None, point, *truth
        *indicators, product = table.places[place].tolist()
        shown = [at for at in indicators if at != self._size]
        return table.numbers[place].tolist(), shown, None if product == self._size else product, point, *truth

    def _noted(self, *row: Any) -> Noted:
        numbers, indicators, product, point, *truth = row
        hidden = [self._size] * (len(CATEGORICAL) - len(indicators))
        places = [*indicators, *hidden, self._size if product is None else product]
        table = Table(
            np.array([numbers is not None]),
            np.array([numbers or [0.0] * len(PUBLISHED)], dtype=np.float64),
            np.array([places], dtype=np.intp),
            np.array([point], dtype=np.float64),
        )
        return Noted(table, 0, tuple(truth))

    def _teach(self, lesson: Table, truths: Sequence[tuple[Any, ...]]) -> None:
        move_centres(self._centres, lesson.points)
        seen = np.flatnonzero(lesson.seen)
        if not len(seen):
            return
        # What is not in the vocabulary falls into a column of its own, which is left out.
        wide = np.zeros((len(seen), self._size + 1))
        wide[:, :_INTERCEPT] = lesson.numbers[seen]
        wide[np.arange(len(seen))[:, None], lesson.places[seen]] = _VALUES
        rows = wide[:, : self._size]
        scaled = rows.copy()
        scaled[:, :_INTERCEPT] = standardised(self._scaler, rows[:, :_INTERCEPT])
        used = [*range(_INTERCEPT), *(np.flatnonzero(rows[:, _INTERCEPT:].any(axis=0)) + _INTERCEPT).tolist()]
        became = [truths[at] for at in seen.tolist()]
        converted = np.array([converted for converted, _ in became], dtype=float)
        learn_linear(self._conversion, scaled[:, used], used, converted)
        learn_scale(self._scaler, rows[:, :_INTERCEPT])
        earning = [at for at, (_, revenue) in enumerate(became) if revenue is not None]
        rows[:, _INTERCEPT] = 1.0
        linear = rows[earning, : self._first_product]
        learn_bayesian(self._revenue, linear, np.array([became[at][1] for at in earning]))
        self._read_off()

    def _read_off(self) -> None:
        """Take what predictions need from the models: sums over plain numbers, until the next lesson."""
        known = self._conversion.weights
        weights = np.zeros(self._size + 1)
        places = np.fromiter(known, np.intp, len(known))
        weights[places] = np.fromiter(known.values(), np.float64, len(known))
        shifts, scales = shifts_and_scales(self._scaler, _INTERCEPT)
        self._slopes = weights[:_INTERCEPT] * scales
        self._offset = self._conversion.intercept
        for slope, shift in zip(self._slopes.tolist(), shifts, strict=True):
            self._offset -= slope * shift
        self._weights = weights
        means = np.zeros(self._size + 1)
        means[: self._first_product] = bayesian_means(self._revenue)[: self._first_product]
        self._worths, self._base, self._means = means[:_INTERCEPT], float(means[_INTERCEPT]), means

    def tabled(self, cases: Sequence[Case]) -> Table:
        known = Cases.of(cases)
        whole = np.minimum(numbers(known.whole, CLUSTERED), self._cluster_limits)
        seen, evidence = known.seen, known.evidence
        table = Table(
            seen,
            np.zeros((len(seen), len(PUBLISHED))),
            np.full((len(seen), len(self._texts)), self._size),
            (whole - self._mean) / self._scale,
        )
        table.numbers[seen], table.places[seen] = self._evident(evidence)
        return table

    def _evident(self, rows: Sequence[Features]) -> tuple[Floats, NDArray[np.intp]]:
        """Numbers, shape (n, f), and places of the texts, shape (n, t), the product last, of set `prefix`.

        What is not in the vocabulary has the place after the last, which weighs nothing.
        """
        found = np.minimum(numbers(rows, PUBLISHED), self._limits)
        places = [[known.get(row[name], self._size) for row in rows] for name, known in self._texts]
        return found, np.array(places, dtype=np.intp).T


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
