"""The batch models of any shop: conversion, and revenue where the goal has a value.

Gradient-boosted histograms on the features as their types say: numbers as they are, missing ones missing;
texts as native categories of a bounded vocabulary, or as the share of sessions that convert after them
(target encoding, Micci-Barreca 2001). Which, and how large the trees are, training chooses.

Revenue has two parts (Duan et al. 1983): the chance of conversion, and what is spent by those who convert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from clickstream.features.definition import ShopDefinition
from clickstream.features.vector import Features
from clickstream.models.calibration import Calibration
from clickstream.models.case import Artefact, Floats
from clickstream.models.products import smoothed_means
from clickstream.models.reasons import Attribution, TreeReasons
from clickstream.models.shop.examples import FeatureTable, table_of
from clickstream.models.shop.inputs import ABSENT, MOST_CATEGORIES, UNKNOWN, ShopInputs
from clickstream.models.trees import TreeModel

Encoding = Literal["native", "target"]

COMMON: Mapping[str, Any] = {"early_stopping": False}

SIZES: Sequence[Mapping[str, Any]] = (
    {"max_iter": 150, "max_leaf_nodes": 4, "learning_rate": 0.05, "max_features": 0.3},
    {"max_iter": 170, "max_leaf_nodes": 8, "learning_rate": 0.03, "max_features": 0.15},
    {"max_iter": 100, "max_leaf_nodes": 16, "learning_rate": 0.05, "max_features": 0.3},
)
"""Sizes of the trees for conversion, the smallest first, with their rate and the share of the inputs that a
split may use.

Of many small steps over few inputs each the luck of a draw averages out, where few sessions convert.
"""

SPENDING: Mapping[str, Any] = {
    "max_iter": 60,
    "max_leaf_nodes": 4,
    "learning_rate": 0.05,
    "max_features": 0.3,
}
"""Few sessions convert: there is little to learn of what they spend."""


class ModelPlan(NamedTuple):
    """How the model of conversion takes texts, and how large its trees are."""

    encoding: Encoding
    size: Mapping[str, Any]

    def __str__(self) -> str:
        size = ", ".join(f"{name} {value}" for name, value in self.size.items())
        return f"texts: {self.encoding}; {size}"


def plans(inputs: ShopInputs) -> list[ModelPlan]:
    """The plans that are worth trying: where there are no texts, one encoding of them will do."""
    encodings: Sequence[Encoding] = ("native", "target") if inputs.texts else ("native",)
    return [ModelPlan(encoding, size) for encoding in encodings for size in SIZES]


class Rate(NamedTuple):
    """Text code -> share that converts; `usual` for what is not in the vocabulary."""

    values: Floats
    usual: float

    def of(self, codes: NDArray[np.intp]) -> Floats:
        """The shares of these text codes, shape (n,); NaN for a text that is absent."""
        found = np.append(self.values, (np.nan, self.usual))
        rates: Floats = found[
            np.where(
                codes == ABSENT, len(self.values), np.where(codes == UNKNOWN, len(self.values) + 1, codes)
            )
        ]
        return rates


def learn_rate(codes: NDArray[np.intp], converted: Floats, weights: Floats, count: int) -> Rate:
    """Learn the shares from decision points, each with its weight; the vocabulary has `count` texts."""
    known = codes >= 0
    if not known.any():
        usual = float(np.average(converted, weights=weights))
        return Rate(np.full(count, usual), usual)
    values, usual = smoothed_means(codes[known], converted[known], count, weights[known])
    return Rate(values, usual)


def native(codes: NDArray[np.intp]) -> Floats:
    """Codes of a text as native categories: NaN for what is absent, unknown or too rare."""
    return np.where((codes < 0) | (codes >= MOST_CATEGORIES), np.nan, codes.astype(np.float64))


def matrix_of(inputs: ShopInputs, table: FeatureTable, rates: Mapping[str, Rate] | None) -> Floats:
    """The inputs of the trees, shape (n, numbers + texts); with `rates` None, texts are native categories."""
    columns = [
        native(inputs.codes(table, name)) if rates is None else rates[name].of(inputs.codes(table, name))
        for name in inputs.texts
    ]
    return np.column_stack([inputs.clipped(table), *columns])


def classifier(plan: ModelPlan, inputs: ShopInputs, seed: int) -> HistGradientBoostingClassifier:
    """The unfitted model of conversion."""
    return HistGradientBoostingClassifier(
        random_state=seed, categorical_features=_categorical(plan, inputs), **COMMON, **plan.size
    )


def regressor(plan: ModelPlan, inputs: ShopInputs, seed: int) -> HistGradientBoostingRegressor:
    """The unfitted model of what a session spends that converts."""
    return HistGradientBoostingRegressor(
        random_state=seed, categorical_features=_categorical(plan, inputs), **COMMON, **SPENDING
    )


def _categorical(plan: ModelPlan, inputs: ShopInputs) -> list[bool]:
    return [False] * len(inputs.numbers) + [plan.encoding == "native"] * len(inputs.texts)


class ShopBatch:
    """Fitted models of the scorer `batch`."""

    def __init__(self, artefact: Artefact, definition: ShopDefinition, inputs: ShopInputs) -> None:
        self.artefact = artefact
        self.inputs = inputs
        self._definition = definition
        self._conversion = TreeModel(artefact["conversion"])
        spending = artefact["spending"]
        self._spending = None if spending is None else TreeModel(spending)
        rates = artefact["rates"]
        self._rates = None if rates is None else {name: Rate(*rate) for name, rate in rates.items()}
        self._calibration = Calibration(**artefact["calibration"])

    def matrix(self, table: FeatureTable) -> Floats:
        """The inputs of the models, shape (n, inputs)."""
        return matrix_of(self.inputs, table, self._rates)

    def uncalibrated(self, matrix: Floats) -> Floats:
        """Probability of conversion by the trees alone, before calibration, shape (n,)."""
        return self._conversion.probability(matrix)

    def answer(self, table: FeatureTable) -> tuple[Floats, Floats | None]:
        """Probability of conversion and expected revenue of each row of a table, each of shape (n,)."""
        return self.answer_matrix(self.matrix(table))

    def answer_matrix(self, matrix: Floats) -> tuple[Floats, Floats | None]:
        """The same of what the models look at."""
        conversion = self._calibration.apply(self.uncalibrated(matrix))
        if self._spending is None:
            return conversion, None
        return conversion, conversion * np.maximum(self._spending.expected(matrix), 0.0)

    def predict(self, rows: Sequence[Features]) -> tuple[Floats, Floats | None]:
        """As `answer`, for rows of features as they come from sessions."""
        return self.answer(table_of(self._definition, rows, len(rows)))

    def attribution(self, row: Features) -> Attribution:
        """What moved the log-odds of the trees for conversion, before calibration."""
        return self._reasons.of(self.matrix(table_of(self._definition, [row], 1))[0])

    @cached_property
    def _reasons(self) -> TreeReasons:
        return TreeReasons(self._conversion.trees, [*self.inputs.numbers, *self.inputs.texts], "log-odds")
