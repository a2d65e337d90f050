"""The honest models: conversion and revenue from set `prefix`, which never sees the deciding click.

Gradient-boosted histograms on nineteen numbers, two categories, and the last product seen, which carries
most of what can be known: it enters as what follows it, see products.py. There is no input of time: the
dataset holds none, and the event times of a replay are made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import KFold

from clickstream.features.vector import Features
from clickstream.models.calibration import UNCALIBRATED, Calibration, choose_calibration
from clickstream.models.case import Artefact, Floats
from clickstream.models.examples import Evidence
from clickstream.models.inputs import Vocabulary
from clickstream.models.matrix import RICH, numbers, one_hot
from clickstream.models.products import FOLDS, ProductTable, learn_tables
from clickstream.models.reasons import Attribution, TreeReasons
from clickstream.models.trees import TreeModel

CATEGORIES = ("first_category", "last_category")

Parameters = Mapping[str, Any]

FoldIndices = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Positions of the sessions to fit on, and of those to evaluate on."""

# There is little to learn, and larger trees learn the noise.
CLASSIFIER: Parameters = {"max_iter": 100, "max_leaf_nodes": 3, "learning_rate": 0.05}
REGRESSOR: Parameters = {"max_iter": 80, "max_leaf_nodes": 4, "learning_rate": 0.1}


class BatchParameters(NamedTuple):
    """Parameters of the two gradient boostings."""

    conversion: Parameters = CLASSIFIER
    revenue: Parameters = REGRESSOR


class ValidationFold(NamedTuple):
    """One division of the training sessions, with the inputs as a model sees them."""

    fit: Floats
    target: Floats
    test: Floats
    truth: Floats


class BatchModels:
    """Fitted models of the scorer `batch`."""

    def __init__(self, artefact: Artefact, vocabulary: Vocabulary) -> None:
        self.artefact = artefact
        self.vocabulary = vocabulary
        self._conversion = TreeModel(artefact["conversion"])
        self._revenue = TreeModel(artefact["revenue"])
        self._converting = ProductTable(**artefact["conversion_by_product"])
        self._earning = ProductTable(**artefact["revenue_by_product"])
        self._calibration = Calibration(**artefact["calibration"])

    @property
    def calibrated(self) -> bool:
        """Whether a calibration is applied to the probabilities of the trees."""
        return self._calibration.method != "none"

    @property
    def inputs(self) -> list[str]:
        """The feature that each column of `matrix` comes from."""
        indicators = [name for name in CATEGORIES for _ in self.vocabulary.values[name]]
        return ["last_product", *RICH, *indicators, "last_product"]

    def matrix(self, rows: Sequence[Features]) -> Floats:
        """The inputs of both models, shape (n, len(inputs)). `rows` are of set `prefix`.

        The last product is in the first column for conversion, and in the last for revenue.
        """
        products = [row["last_product"] for row in rows]
        evidence = _evidence(rows, self.vocabulary)
        matrix = np.empty((len(rows), evidence.shape[1] + 2))
        matrix[:, 0] = self._converting.of(products)
        matrix[:, 1:-1] = evidence
        matrix[:, -1] = self._earning.of(products)
        return matrix

    def uncalibrated(self, matrix: Floats) -> Floats:
        """Probability of conversion by the trees alone, before calibration, shape (n,)."""
        return self._conversion.probability(matrix[:, :-1])

    def conversion(self, matrix: Floats) -> Floats:
        """Probability of conversion, shape (n,)."""
        return self._calibration.apply(self.uncalibrated(matrix))

    def revenue(self, matrix: Floats) -> Floats:
        """Expected revenue, shape (n,)."""
        return self._revenue.expected(matrix[:, 1:])

    def predict(self, rows: Sequence[Features]) -> tuple[Floats, Floats]:
        """Probability of conversion and expected revenue, each of shape (n,). `rows` are of set `prefix`."""
        matrix = self.matrix(rows)
        return self.conversion(matrix), self.revenue(matrix)

    def attribution(self, row: Features) -> Attribution:
        """What moved the log-odds of the trees for conversion, before calibration."""
        return self._reasons.of(self.matrix([row])[0, :-1])

    @cached_property
    def _reasons(self) -> TreeReasons:
        return TreeReasons(self._conversion.trees, self.inputs[:-1], "log-odds")


def fit_batch(
    evidence: Evidence, vocabulary: Vocabulary, seed: int, parameters: BatchParameters
) -> BatchModels:
    """Fit both models on the sessions that have evidence."""
    encoded = learn_tables(evidence, seed)
    known = _evidence(evidence.rows, vocabulary)
    conversion = classifier(parameters.conversion, seed)
    revenue = regressor(parameters.revenue, seed)
    artefact = {
        "conversion": conversion.fit(np.column_stack([encoded.converting, known]), evidence.converted),
        "revenue": revenue.fit(np.column_stack([known, encoded.earning]), evidence.revenue),
        "conversion_by_product": encoded.tables.converting._asdict(),
        "revenue_by_product": encoded.tables.earning._asdict(),
        "calibration": UNCALIBRATED._asdict(),
    }
    return BatchModels(artefact, vocabulary)


def classifier(parameters: Parameters, seed: int) -> HistGradientBoostingClassifier:
    """The unfitted model of conversion."""
    return HistGradientBoostingClassifier(random_state=seed, early_stopping=False, **parameters)


def regressor(parameters: Parameters, seed: int) -> HistGradientBoostingRegressor:
    """The unfitted model of revenue."""
    return HistGradientBoostingRegressor(random_state=seed, early_stopping=False, **parameters)


def folds(
    evidence: Evidence, divisions: Iterable[FoldIndices], vocabulary: Vocabulary, seed: int
) -> Iterator[tuple[ValidationFold, ValidationFold]]:
    """For each division of the sessions, a fold of conversion and one of revenue.

    The tables of products are those of the sessions fitted on: a fold knows nothing of those it is tested on.
    """
    known = _evidence(evidence.rows, vocabulary)
    products = [row["last_product"] for row in evidence.rows]
    converted, revenue = evidence.converted, evidence.revenue
    for fit, test in divisions:
        encoded = learn_tables(evidence.at(fit), seed)
        shown = [products[place] for place in test]
        converting = np.array(encoded.tables.converting.of(shown))
        earning = np.array(encoded.tables.earning.of(shown))
        yield (
            ValidationFold(
                np.column_stack([encoded.converting, known[fit]]),
                converted[fit],
                np.column_stack([converting, known[test]]),
                converted[test],
            ),
            ValidationFold(
                np.column_stack([known[fit], encoded.earning]),
                revenue[fit],
                np.column_stack([known[test], earning]),
                revenue[test],
            ),
        )


def calibrate(models: BatchModels, evidence: Evidence, vocabulary: Vocabulary, seed: int) -> BatchModels:
    """The models with calibrated probabilities, where that helps on `evidence`, their training sessions."""
    parameters = {name: models.artefact["conversion"].get_params()[name] for name in CLASSIFIER}
    division = list(KFold(FOLDS, shuffle=True, random_state=seed).split(evidence.rows))
    forecast = np.empty(len(evidence.rows))
    for (_, test), (fold, _) in zip(division, folds(evidence, division, vocabulary, seed), strict=True):
        forecast[test] = (
            classifier(parameters, seed).fit(fold.fit, fold.target).predict_proba(fold.test)[:, 1]
        )
    calibration = choose_calibration(evidence.converted, forecast, seed)
    return BatchModels({**models.artefact, "calibration": calibration._asdict()}, models.vocabulary)


def _evidence(rows: Sequence[Features], vocabulary: Vocabulary) -> Floats:
    return np.hstack([numbers(rows, RICH), one_hot(rows, CATEGORIES, vocabulary)])
