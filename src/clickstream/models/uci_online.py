"""The River models: predict a session, then learn from it.

Warm-started by training on its own training sessions in time order; afterwards each partition learns from
the sessions that it closes. Conversion and revenue look at set `prefix`, clusters at set `reference`.

Features have whole numbers for names: a set of strings iterates differently in every process, and River's
k-means adds up distances over such a set.
"""

from __future__ import annotations

from collections.abc import Collection
from operator import itemgetter
from typing import Any, NamedTuple

from river import linear_model, optim, preprocessing

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features
from clickstream.models.case import Case, ScorerOutput, prediction
from clickstream.models.clusters import NAMES, Clusters
from clickstream.models.inputs import Vocabulary
from clickstream.models.matrix import CATEGORICAL, CLUSTERED, PUBLISHED
from clickstream.models.online import HALFLIFE, BaseRates, Global, KMeans, OnlineModels, RiverInputs, restore
from clickstream.models.reasons import Attribution, linear_attribution

RATE = 0.02
L2 = 1e-4

# A product is seen in one of two hundred sessions. At 1 its weight would hardly move within a season;
# standardised it would be 15, and rare products would shout.
PRODUCT_VALUE = 5.0

_INTERCEPT = len(PUBLISHED)

_Models = tuple[Any, Any, Any, dict[int, RiverInputs]]

_KINDS = (
    preprocessing.StandardScaler,
    linear_model.LogisticRegression,
    linear_model.BayesianLinearRegression,
    dict,
)


class _Evidence(NamedTuple):
    """The numbers of set `prefix`; standardised, with indicators; as they are, with indicators."""

    plain: RiverInputs
    scaled: RiverInputs
    linear: RiverInputs


class _Prepared(NamedTuple):
    evidence: _Evidence | None
    standardised: RiverInputs


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
        self._kmeans: Any = KMeans(n_clusters=len(NAMES), halflife=HALFLIFE, seed=0)
        models = _begin(clusters, first_product) if payload is None else restore(payload, allowed, *_KINDS)
        self._scaler, self._conversion, self._revenue, self._kmeans.centers = models
        self._prepared: tuple[Case, _Prepared] | None = None

    def predict(self, case: Case) -> ScorerOutput:
        """Predict a session by what was learned so far."""
        prepared = self._prepare(case)
        # A session is learned right after it was predicted; between the two nothing moves.
        self._prepared = case, prepared
        conversion, revenue = self._base_rates
        if prepared.evidence is not None:
            conversion = self._conversion.predict_proba_one(prepared.evidence.scaled)[True]
            revenue = self._revenue.predict_one(prepared.evidence.linear)
        number = self._kmeans.predict_one(prepared.standardised)
        return prediction(conversion, revenue, number, NAMES[number])

    def attribution(self, evidence: Features) -> Attribution:
        return linear_attribution(self._conversion, self._evidence(evidence).scaled, self._feature_of)

    def learn(self, case: Case, outcome: Outcome) -> None:
        """Learn what became of a session. Without evidence only the clusters learn."""
        last = self._prepared
        prepared = last[1] if last is not None and last[0] is case else self._prepare(case)
        self._prepared = None
        if prepared.evidence is not None:
            plain, scaled, linear = prepared.evidence
            self._scaler.learn_one(plain)
            self._conversion.learn_one(scaled, outcome.converted)
            if outcome.revenue is not None:
                self._revenue.learn_one(linear, min(outcome.revenue, self._revenue_limit))
        self._kmeans.learn_one(prepared.standardised)
        self.lessons += 1

    def models(self) -> _Models:
        return self._scaler, self._conversion, self._revenue, self._kmeans.centers

    def _prepare(self, case: Case) -> _Prepared:
        standardised = {
            at: ((value if value <= limit else limit) - mean) / scale
            for at, (value, (mean, scale, limit)) in enumerate(
                zip(self._clustered(case.whole), self._standard, strict=True)
            )
        }
        return _Prepared(None if case.evidence is None else self._evidence(case.evidence), standardised)

    def _evidence(self, prefix: Features) -> _Evidence:
        plain = {
            at: value if value <= limit else limit
            for at, (value, limit) in enumerate(zip(self._numbers(prefix), self._limits, strict=True))
        }
        scaled: RiverInputs = self._scaler.transform_one(plain)
        linear = {**plain, _INTERCEPT: 1.0}
        for name, places in self._indicators:
            place = places.get(prefix[name])
            if place is not None:
                scaled[place] = linear[place] = 1.0
        product = self._products.get(prefix["last_product"])
        if product is not None:
            scaled[product] = PRODUCT_VALUE
        return _Evidence(plain, scaled, linear)


def _begin(clusters: Clusters, inputs: int) -> _Models:
    revenue = linear_model.BayesianLinearRegression()
    # A lesson of zeros changes nothing but names every input, so the matrices never outgrow their size.
    revenue.learn_one(dict.fromkeys(range(inputs), 0.0), 0.0)
    return (
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(optim.AdaGrad(RATE), l2=L2),
        revenue,
        {number: dict(enumerate(centre)) for number, centre in enumerate(clusters.centres.tolist())},
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
