"""Intervals: a weighted figure is the figure of the sessions drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score

from clickstream.models.case import Floats
from clickstream.models.figures import conversion_figures, revenue_figures
from clickstream.training.bootstrap import (
    WeightedFigures,
    estimates,
    weighted_agreement,
    weighted_clusters,
    weighted_conversion,
    weighted_revenue,
)

SESSIONS = 200


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def weights(rng: np.random.Generator) -> Floats:
    """How often each session was drawn, in five resamples; the first is the whole."""
    drawn = rng.multinomial(SESSIONS, [1 / SESSIONS] * SESSIONS, size=5).astype(float)
    drawn[0] = 1.0
    return drawn


def repeated(column: NDArray[Any], weights: Floats) -> NDArray[Any]:
    return np.repeat(column, weights.astype(int), axis=0)


def test_a_weighted_conversion_figure_is_that_of_the_sessions_drawn(
    rng: np.random.Generator, weights: Floats
) -> None:
    converted = (rng.random(SESSIONS) < 0.6).astype(float)
    # To one digit, so that many forecasts are equal.
    said: Floats = np.round(
        np.clip(0.5 + 0.2 * converted + 0.3 * rng.standard_normal(SESSIONS), 0.05, 0.95), 1
    ).astype(np.float64)
    found = weighted_conversion(converted, said)(weights)
    for at, some in enumerate(weights):
        expected = conversion_figures(repeated(converted, some), repeated(said, some))
        del expected["conversion_n"]
        assert {name: values[at] for name, values in found.items()} == pytest.approx(expected)


def test_a_weighted_revenue_figure_is_that_of_the_sessions_drawn(
    rng: np.random.Generator, weights: Floats
) -> None:
    revenue = 40 + 10 * rng.standard_normal(SESSIONS)
    expected_revenue = 40 + 0.5 * (revenue - 40)
    found = weighted_revenue(revenue, expected_revenue)(weights)
    for at, some in enumerate(weights):
        expected = revenue_figures(repeated(revenue, some), repeated(expected_revenue, some))
        del expected["revenue_n"]
        assert {name: values[at] for name, values in found.items()} == pytest.approx(expected)


def test_weighted_clusters_are_those_of_the_sessions_drawn(rng: np.random.Generator, weights: Floats) -> None:
    one, other = rng.integers(4, size=SESSIONS), rng.integers(4, size=SESSIONS)
    points = rng.standard_normal((SESSIONS, 3)) + one[:, None]
    agreement = weighted_agreement(one, other, 4)(weights)["ari"]
    spread = weighted_clusters(points, one, np.zeros(SESSIONS))(weights)["davies_bouldin"]
    for at, some in enumerate(weights):
        labels = repeated(one, some)
        assert agreement[at] == pytest.approx(adjusted_rand_score(labels, repeated(other, some)))
        assert spread[at] == pytest.approx(davies_bouldin_score(repeated(points, some), labels))


def mean_judge(values: Floats) -> WeightedFigures:
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def test_the_interval_of_a_mean_is_twice_its_standard_error_wide(rng: np.random.Generator) -> None:
    values = rng.standard_normal(2_500)
    found = estimates(len(values), mean_judge(values), {"mean": float(values.mean())}, seed=1)["mean"]
    error = values.std() / 50
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_a_figure_without_a_value_in_any_resample_is_its_own_interval() -> None:
    """R² of a price that never changes."""
    same = np.full(50, 30.0)
    found = estimates(50, weighted_revenue(same, same), {"r2": 1.0, "mae": 0.0, "rmse": 0.0}, seed=1)["r2"]
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)
