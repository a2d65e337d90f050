"""The honest models: conversion and revenue from set `prefix`, which never sees the deciding click.

Gradient-boosted histograms on nineteen numbers, two categories, and the last product seen, which carries
most of what can be known. The product enters as a target encoding, cross-fitted on the training sessions.
There is no input of time: the dataset holds none, and the event times of a replay are made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features
from clickstream.models.case import Artefact, Floats
from clickstream.models.inputs import Vocabulary
from clickstream.models.matrix import RICH, numbers, one_hot

CATEGORIES = ("first_category", "last_category")

# There is little to learn, and larger trees learn the noise: three leaves foretold June best after April and
# May (AUC 0.623; four leaves 0.622, eight 0.617).
CLASSIFIER = {"max_iter": 100, "max_leaf_nodes": 3, "learning_rate": 0.05, "early_stopping": False}
REGRESSOR = {"max_iter": 50, "max_leaf_nodes": 4, "learning_rate": 0.1, "early_stopping": False}

SMOOTHING = 30.0
"""Sessions that the overall mean counts for in a product's encoding (Micci-Barreca 2001)."""

FOLDS = 5


class BatchModels:
    """Fitted models of the scorer `batch`."""

    def __init__(self, artefact: Artefact, vocabulary: Vocabulary) -> None:
        self.artefact = artefact
        self._vocabulary = vocabulary
        self._conversion = artefact["conversion"]
        self._revenue = artefact["revenue"]
        self._converting, self._usual_conversion = _table(artefact["conversion_by_product"])
        self._earning, self._usual_revenue = _table(artefact["revenue_by_product"])

    def predict(self, rows: Sequence[Features]) -> tuple[Floats, Floats]:
        """Probability of conversion and expected revenue, each of shape (n,). `rows` are of set `prefix`."""
        evidence = _evidence(rows, self._vocabulary)
        matrix = np.empty((len(rows), evidence.shape[1] + 1))
        matrix[:, :-1] = evidence
        products = [row["last_product"] for row in rows]
        matrix[:, -1] = [self._converting.get(product, self._usual_conversion) for product in products]
        conversion: Floats = self._conversion.predict_proba(matrix)[:, 1]
        matrix[:, -1] = [self._earning.get(product, self._usual_revenue) for product in products]
        revenue: Floats = self._revenue.predict(matrix)
        return conversion, revenue


def fit_batch(
    rows: Sequence[Features], outcomes: Sequence[Outcome], vocabulary: Vocabulary, seed: int
) -> BatchModels:
    """Fit both models on rows of set `prefix` and what became of their sessions."""
    evidence = _evidence(rows, vocabulary)
    products = np.array([row["last_product"] for row in rows], dtype=object)[:, None]
    converted = np.array([outcome.converted for outcome in outcomes], dtype=int)
    revenue = np.array([outcome.revenue for outcome in outcomes])
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    by_conversion = TargetEncoder(target_type="binary", smooth=SMOOTHING, cv=folds)
    by_revenue = TargetEncoder(target_type="continuous", smooth=SMOOTHING, cv=folds)
    # fit_transform encodes a session without its own fold; transform would show it its own outcome.
    with_conversion = np.hstack([evidence, by_conversion.fit_transform(products, converted)])
    with_revenue = np.hstack([evidence, by_revenue.fit_transform(products, revenue)])
    artefact = {
        "conversion": HistGradientBoostingClassifier(random_state=seed, **CLASSIFIER).fit(
            with_conversion, converted
        ),
        "revenue": HistGradientBoostingRegressor(random_state=seed, **REGRESSOR).fit(with_revenue, revenue),
        "conversion_by_product": by_conversion,
        "revenue_by_product": by_revenue,
    }
    return BatchModels(artefact, vocabulary)


def _evidence(rows: Sequence[Features], vocabulary: Vocabulary) -> Floats:
    return np.hstack([numbers(rows, RICH), one_hot(rows, CATEGORIES, vocabulary)])


def _table(encoder: Any) -> tuple[dict[str, float], float]:
    products, means = encoder.categories_[0].tolist(), encoder.encodings_[0].tolist()
    return dict(zip(products, means, strict=True)), float(encoder.target_mean_)
