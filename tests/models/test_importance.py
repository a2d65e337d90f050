"""Permutation importance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from clickstream.models.case import Floats
from clickstream.training.importance import permutation_importances

INPUTS = ["noise", "pair", "pair", "alone"]


def pair_and_alone(matrix: Floats) -> Floats:
    score: Floats = 1 / (1 + np.exp(-matrix[:, 1] + matrix[:, 2] - 3 * matrix[:, 3]))
    return score


@pytest.fixture(scope="module")
def matrix() -> Floats:
    return np.random.default_rng(2).standard_normal((1_500, 4))


@pytest.fixture(scope="module")
def converted(matrix: Floats) -> Floats:
    return (np.random.default_rng(3).random(len(matrix)) < pair_and_alone(matrix)).astype(float)


def test_the_input_that_decides_most_stands_first_and_noise_last(matrix: Floats, converted: Floats) -> None:
    found = permutation_importances("auc", pair_and_alone, matrix, converted, INPUTS, seed=1).inputs
    assert [one.feature for one in found] == ["alone", "pair", "noise"]
    assert found[0].mean > 0.2
    assert (found[-1].mean, found[-1].sd) == (0, 0)


def test_an_input_without_which_nothing_is_known_costs_all_above_chance(
    matrix: Floats, converted: Floats
) -> None:
    def alone(shown: Floats) -> Floats:
        return shown[:, 3]

    found = permutation_importances("auc", alone, matrix, converted, INPUTS, seed=1).inputs[0]
    assert found.mean == pytest.approx(roc_auc_score(converted, matrix[:, 3]) - 0.5, abs=0.03)
