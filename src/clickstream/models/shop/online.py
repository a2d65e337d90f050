"""The online models of any shop: River's, warm-started by training, one lesson a session in the stream.

A logistic regression on the numbers, each as it is and as its logarithm, standardised by what was learned so
far, and on an indicator of each text. What is absent adds nothing. Revenue has two parts, as in batch.py.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from river import linear_model, optim, preprocessing

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features
from clickstream.models.case import Case, ScorerOutput, prediction
from clickstream.models.online import HALFLIFE, BaseRates, Global, KMeans, OnlineModels, RiverInputs, restore
from clickstream.models.reasons import Attribution, linear_attribution
from clickstream.models.shop.clusters import ShopClusters
from clickstream.models.shop.inputs import MOST_CATEGORIES, ShopInputs

RATE = 0.02
L2 = 1e-3

_KINDS = (
    preprocessing.StandardScaler,
    linear_model.LogisticRegression,
    linear_model.LinearRegression,
    dict,
)


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
        self._kmeans: Any = KMeans(n_clusters=len(clusters.names), halflife=HALFLIFE, seed=0)
        models = _begin(clusters) if payload is None else restore(payload, allowed, *_KINDS)
        self._scaler, self._conversion, self._spending, self._kmeans.centers = models

    def predict(self, case: Case) -> ScorerOutput:
        conversion, revenue = self._rates.conversion, self._rates.revenue
        if case.evidence is not None:
            conversion, revenue = self.answer(case.evidence)
        number = self._kmeans.predict_one(self._clusters.point(case.whole))
        return prediction(conversion, revenue, number, self._clusters.names[number])

    def answer(self, evidence: Features) -> tuple[float, float | None]:
        """Conversion and revenue alone, by what was learned so far."""
        _, scaled = self._prepared(evidence)
        conversion: float = self._conversion.predict_proba_one(scaled)[True]
        if self._inputs.spending is None:
            return conversion, None
        spending = self._inputs.spending * (1.0 + self._spending.predict_one(scaled))
        return conversion, conversion * max(spending, 0.0)

    def attribution(self, evidence: Features) -> Attribution:
        return linear_attribution(self._conversion, self._prepared(evidence)[1], self._feature_of)

    def learn(self, case: Case, outcome: Outcome) -> None:
        if case.evidence is not None:
            plain, scaled = self._prepared(case.evidence)
            self._scaler.learn_one(plain)
            self._conversion.learn_one(scaled, outcome.converted, case.weight)
            if self._inputs.spending and outcome.converted and outcome.revenue is not None:
                # In units of the mean, so that a rate of learning fits any currency.
                self._spending.learn_one(scaled, outcome.revenue / self._inputs.spending - 1.0, case.weight)
        self._kmeans.learn_one(self._clusters.point(case.whole))
        self.lessons += 1

    def models(self) -> tuple[Any, ...]:
        return self._scaler, self._conversion, self._spending, self._kmeans.centers

    def _prepared(self, evidence: Features) -> tuple[RiverInputs, RiverInputs]:
        """The numbers as they are; standardised, with the indicators of the texts."""
        plain: RiverInputs = {}
        for at, (name, limit) in enumerate(self._numbers):
            value = evidence[name]
            if value is not None:
                value = min(max(value, -limit), limit)
                plain[2 * at] = value
                plain[2 * at + 1] = math.copysign(math.log1p(abs(value)), value)
        scaled: RiverInputs = self._scaler.transform_one(plain)
        for name, first in self._texts:
            code = self._inputs.code(name, evidence[name])
            if 0 <= code < MOST_CATEGORIES:
                scaled[first + code] = 1.0
        return plain, scaled


def _begin(clusters: ShopClusters) -> tuple[Any, ...]:
    return (
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(optim.AdaGrad(RATE), l2=L2),
        linear_model.LinearRegression(optim.AdaGrad(RATE), l2=L2),
        {number: dict(enumerate(centre)) for number, centre in enumerate(clusters.centres.tolist())},
    )
