"""Figures with values that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from clickstream.models.figures import (
    cluster_agreement,
    cluster_figures,
    conversion_figures,
    expected_calibration_error,
    revenue_figures,
    silhouettes,
)


def test_a_forecast_that_comes_true_as_often_as_it_says_is_calibrated() -> None:
    truth = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    forecast = np.array([0.25] * 4 + [0.75] * 4)
    assert expected_calibration_error(truth, forecast) == pytest.approx(0)


def test_calibration_error_is_weighted_by_the_size_of_a_bin() -> None:
    truth = np.array([1, 1, 1, 0])
    forecast = np.array([1.0, 1.0, 1.0, 0.4])
    assert expected_calibration_error(truth, forecast) == pytest.approx(0.1)


def test_conversion_is_judged_by_order_and_by_distance() -> None:
    figures = conversion_figures([True, False, True, False], [0.9, 0.1, 0.4, 0.6])
    assert figures["auc"] == 0.75
    assert figures["brier"] == pytest.approx(0.185)
    assert figures["conversion_n"] == 4
    assert figures["precision"] == figures["recall"] == figures["f1"] == 0.5
    assert figures["log_loss"] == pytest.approx(-np.log([0.9, 0.9, 0.4, 0.4]).mean())


def test_revenue_is_judged_against_its_mean() -> None:
    figures = revenue_figures([10.0, 20.0, 30.0], [20.0, 20.0, 20.0])
    assert figures["r2"] == 0
    assert figures["mae"] == pytest.approx(20 / 3)
    assert figures["rmse"] == pytest.approx((200 / 3) ** 0.5)


def test_one_cluster_has_no_silhouette() -> None:
    assert cluster_figures(np.zeros((5, 2)), np.zeros(5, dtype=np.intp), seed=1) == {"cluster_n": 5}


def test_clusters_agree_whatever_their_numbers() -> None:
    assert cluster_agreement([0, 0, 1, 1], [3, 3, 2, 2]) == 1


def test_silhouettes_of_several_assignments_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    points = rng.standard_normal((700, 5))
    points[:50] = points[50:100]
    assignments = [rng.integers(k, size=700) for k in (2, 3, 7)]
    assignments[1][0] = 3  # a cluster of one
    for labels, found in zip(assignments, silhouettes(points, assignments, seed=1), strict=True):
        assert found == pytest.approx(silhouette_samples(points, labels), abs=1e-4)
