"""The published models: a random forest and gradient boosting on set `reference`.

They see the click that decides the outcome, so their figures measure how well a rule is recovered from its
own inputs, not how well anything is foreseen. We reproduce them to be compared with, and say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier

from clickstream.features.vector import Features
from clickstream.models.case import Artefact, Floats
from clickstream.models.inputs import Vocabulary
from clickstream.models.matrix import CATEGORICAL, PUBLISHED, numbers, one_hot
from clickstream.models.reasons import Attribution, TreeReasons
from clickstream.models.trees import of_forest

# The best of the published grids, by 4-fold cross-validation on the published training part (F1 0.99986;
# RMSE 7.914). Forests of depth None and 20 with 100 and 200 trees tie exactly: the smallest is taken.
CLASSIFIER: Mapping[str, Any] = {"n_estimators": 100, "max_depth": None}
REGRESSOR: Mapping[str, Any] = {"n_estimators": 200, "learning_rate": 0.1, "max_depth": 3}


BLANK = CATEGORICAL[:2]
"""Features that were blank in the published run."""


_ALIKE = [PUBLISHED.index(name) - len(PUBLISHED) for name in ("pct_price2_views", "last_price")]
"""Columns by which rows are alike to the forest: the last price, within it the share at high prices."""


class ReferenceParameters(NamedTuple):
    """Parameters of the forest and of the boosting."""

    conversion: Mapping[str, Any] = CLASSIFIER
    revenue: Mapping[str, Any] = REGRESSOR


class ReferenceModels:
    """Fitted models of the scorer `reference`."""

    def __init__(self, artefact: Artefact, vocabulary: Vocabulary) -> None:
        self.artefact = artefact
        self._vocabulary = vocabulary
        self._trees = [estimator.tree_ for estimator in artefact["conversion"].estimators_]
        self._revenue = artefact["revenue"]

    @property
    def inputs(self) -> list[str]:
        """The feature that each column of `matrix` comes from."""
        return [*(name for name in CATEGORICAL for _ in self._vocabulary.values[name]), *PUBLISHED]

    def matrix(self, rows: Sequence[Features]) -> Floats:
        """The inputs of both models, shape (n, len(inputs)). `rows` are of set `reference`."""
        return published_matrix(rows, self._vocabulary)

    def conversion(self, matrix: Floats) -> Floats:
        """Probability of conversion, shape (n,): the mean over trees of the share in a leaf that converts.

        As in `RandomForestClassifier.predict_proba`, whose scheduling of one job a tree costs ten times the
        trees.
        """
        # Rows that are alike stand together: they take the same way through a tree, which is in the cache.
        order = np.lexsort(matrix[:, _ALIKE].T)
        compact = matrix[order].astype(np.float32)
        votes = np.zeros(len(matrix))
        for tree in self._trees:
            votes += tree.predict(compact)[:, 1]
        conversion = np.empty_like(votes)
        conversion[order] = votes / len(self._trees)
        return conversion

    def revenue(self, matrix: Floats) -> Floats:
        """Expected revenue, shape (n,)."""
        expected: Floats = self._revenue.predict(without_last_price(matrix))
        return expected

    def predict(self, rows: Sequence[Features]) -> tuple[Floats, Floats]:
        """Probability of conversion and expected revenue, each of shape (n,); `rows` of set `reference`."""
        matrix = self.matrix(rows)
        return self.conversion(matrix), self.revenue(matrix)

    def attribution(self, row: Features) -> Attribution:
        """What moved the probability of conversion."""
        return self._reasons.of(self.matrix([row])[0])

    @cached_property
    def _reasons(self) -> TreeReasons:
        return TreeReasons(of_forest(self.artefact["conversion"]), self.inputs, "probability")


def classifier(parameters: Mapping[str, Any], seed: int) -> RandomForestClassifier:
    """The published classifier. The published scaling is left out: no split of a tree depends on it."""
    return RandomForestClassifier(random_state=seed, n_jobs=1, class_weight="balanced", **parameters)


def regressor(parameters: Mapping[str, Any], seed: int) -> GradientBoostingRegressor:
    """The published regressor."""
    return GradientBoostingRegressor(random_state=seed, **parameters)


def published_matrix(rows: Sequence[Features], vocabulary: Vocabulary) -> Floats:
    """The 16 published inputs, categories and pages one-hot, in the first columns; shape (n, columns)."""
    return np.hstack([one_hot(rows, CATEGORICAL, vocabulary), numbers(rows, PUBLISHED)])


def without_categories(matrix: Floats, vocabulary: Vocabulary) -> Floats:
    """The matrix of the published run, whose columns of categories were blank; pages and numbers are left."""
    return matrix[:, sum(len(vocabulary.values[name]) for name in BLANK) :]


def without_last_price(matrix: Floats) -> Floats:
    """The regressor's inputs: the classifier's without the price that it is to predict."""
    return matrix[:, :-1]
