"""Trees as one table: the answers of scikit-learn to the last bit, for numbers, categories and absence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)

from clickstream.models.case import Floats
from clickstream.models.trees import TreeModel, of_forest

NUMBERS = 4
CATEGORIES = 9


def training(seed: int, rows: int = 600) -> tuple[Floats, Floats]:
    """Numbers of which some are missing, a category in the middle, and an outcome that depends on both."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, NUMBERS + 1))
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    matrix[:, 2] = rng.choice([0, 1, 3, 4, 5, 7, np.nan], size=rows)
    chance = np.nan_to_num(matrix[:, 0]) + np.isin(matrix[:, 2], (1, 4, 7)) + np.isnan(matrix[:, 3])
    return matrix, (chance + rng.normal(size=rows) > 0.8).astype(np.float64)


MATRIX, CONVERTED = training(1)
NATIVE = [False, False, True, False, False]
CLASSIFIERS = {
    native: TreeModel(
        HistGradientBoostingClassifier(
            max_iter=30,
            max_leaf_nodes=12,
            early_stopping=False,
            categorical_features=NATIVE if native else None,
        ).fit(MATRIX, CONVERTED)
    )
    for native in (True, False)
}
# The thresholds, where a comparison is decided, are as likely as what lies between them.
EDGES = [value for model in CLASSIFIERS.values() for value in model.trees.threshold if np.isfinite(value)]
number = st.sampled_from([*EDGES, np.nan, np.inf, -np.inf, 0.0, -0.0]) | st.floats(-4, 4)
category = st.sampled_from([*map(float, range(CATEGORIES)), np.nan])
row = st.tuples(number, number, category, number, number).map(np.array)


@pytest.mark.parametrize("native", [True, False])
@settings(max_examples=200, deadline=None)
@given(rows=st.lists(row, min_size=1, max_size=6))
def test_a_few_rows_are_answered_as_scikit_learn_answers_them(native: bool, rows: list[Floats]) -> None:
    model, matrix = CLASSIFIERS[native], np.array(rows)
    assert model.probability(matrix).tolist() == model._estimator.predict_proba(matrix)[:, 1].tolist()


def test_few_rows_and_many_get_equal_answers() -> None:
    spent = np.abs(np.nan_to_num(MATRIX[:, 0])) * 30
    for native in (None, NATIVE):
        model = TreeModel(
            HistGradientBoostingRegressor(max_iter=40, categorical_features=native).fit(MATRIX, spent)
        )
        each = [model.expected(MATRIX[at : at + 1])[0] for at in range(len(MATRIX))]
        assert each == model.expected(MATRIX).tolist()


@settings(max_examples=50, deadline=None)
@given(matrix=arrays(np.float64, (3, 3), elements=st.floats(-3, 3)))
def test_a_forest_answers_the_share_of_its_leaves(matrix: Floats) -> None:
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(200, 3))
    forest = RandomForestClassifier(5, class_weight="balanced", random_state=0)
    forest.fit(inputs, inputs[:, 0] * inputs[:, 1] > 0)
    assert of_forest(forest).answers(matrix) == pytest.approx(forest.predict_proba(matrix)[:, 1], abs=1e-12)
