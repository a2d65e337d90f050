"""The published models: a random forest and gradient boosting on set `reference`.

They see the click that decides the outcome, so their figures measure how well a rule is recovered from its
own inputs, not how well anything is foreseen. We reproduce them to be compared with, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features
from clickstream.models.case import Artefact, Floats
from clickstream.models.inputs import Vocabulary
from clickstream.models.matrix import CATEGORICAL, PUBLISHED, numbers, one_hot

# The best of the published grids, by 4-fold cross-validation on the published training part (F1 0.99986;
# RMSE 7.914). Forests of depth None and 20 with 100 and 200 trees tie exactly: the smallest is taken.
CLASSIFIER = {"n_estimators": 100, "max_depth": None, "class_weight": "balanced"}
REGRESSOR = {"n_estimators": 200, "learning_rate": 0.1, "max_depth": 3}


class ReferenceModels:
    """Fitted models of the scorer `reference`."""

    def __init__(self, artefact: Artefact, vocabulary: Vocabulary) -> None:
        self.artefact = artefact
        self._vocabulary = vocabulary
        self._trees = [estimator.tree_ for estimator in artefact["conversion"].estimators_]
        self._revenue = artefact["revenue"]

    def predict(self, rows: Sequence[Features]) -> tuple[Floats, Floats]:
        """Probability of conversion and expected revenue, each of shape (n,). `rows` are of set `reference`.

        The probability is the mean over the trees of the share of converted sessions in a leaf, as in
        `RandomForestClassifier.predict_proba`, whose scheduling of one job a tree costs ten times the trees.
        """
        matrix = _matrix(rows, self._vocabulary)
        compact = matrix.astype(np.float32)
        conversion = np.zeros(len(rows))
        for tree in self._trees:
            conversion += tree.predict(compact)[:, 1]
        revenue: Floats = self._revenue.predict(_without_last_price(matrix))
        return conversion / len(self._trees), revenue


def fit_conversion(
    rows: Sequence[Features], outcomes: Sequence[Outcome], vocabulary: Vocabulary, seed: int
) -> RandomForestClassifier:
    """The published classifier. The published scaling is left out: no split of a tree depends on it."""
    forest = RandomForestClassifier(random_state=seed, n_jobs=-1, **CLASSIFIER)
    forest.fit(_matrix(rows, vocabulary), [int(outcome.converted) for outcome in outcomes])
    return forest.set_params(n_jobs=1)


def fit_revenue(
    rows: Sequence[Features], outcomes: Sequence[Outcome], vocabulary: Vocabulary, seed: int
) -> GradientBoostingRegressor:
    """The published regressor: the classifier's inputs without the price that it is to predict."""
    boosting = GradientBoostingRegressor(random_state=seed, **REGRESSOR)
    return boosting.fit(
        _without_last_price(_matrix(rows, vocabulary)), [outcome.revenue for outcome in outcomes]
    )


def _matrix(rows: Sequence[Features], vocabulary: Vocabulary) -> Floats:
    return np.hstack([one_hot(rows, CATEGORICAL, vocabulary), numbers(rows, PUBLISHED)])


def _without_last_price(matrix: Floats) -> Floats:
    return matrix[:, :-1]
