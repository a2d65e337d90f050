"""Calibration: it repairs what is wrong, and leaves alone what is not."""

from __future__ import annotations

import numpy as np
import pytest

from clickstream.models.calibration import METHODS, CalibrationMethod, choose_calibration, fit_calibration
from clickstream.models.case import Floats
from clickstream.models.figures import expected_calibration_error

SESSIONS = 4_000


@pytest.fixture(scope="module")
def truth() -> Floats:
    return np.random.default_rng(5).uniform(0.05, 0.95, SESSIONS)


@pytest.fixture(scope="module")
def converted(truth: Floats) -> Floats:
    return (np.random.default_rng(6).random(SESSIONS) < truth).astype(float)


def overconfident(probability: Floats) -> Floats:
    """Twice as far from one half, in log odds."""
    odds = (probability / (1 - probability)) ** 2
    return odds / (1 + odds)


def test_forecasts_that_come_true_are_left_alone(converted: Floats, truth: Floats) -> None:
    assert choose_calibration(converted, truth, seed=1).method == "none"


def test_forecasts_too_bold_are_calibrated(converted: Floats, truth: Floats) -> None:
    bold = overconfident(truth)
    calibrated = choose_calibration(converted, bold, seed=1).apply(bold)
    integers = converted.astype(int)
    assert expected_calibration_error(integers, bold) > 0.1
    assert expected_calibration_error(integers, calibrated) < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_no_map_turns_the_order_round_or_leaves_the_probabilities(
    method: CalibrationMethod, converted: Floats, truth: Floats
) -> None:
    calibration = fit_calibration(method, converted, overconfident(truth))
    mapped = calibration.apply(np.linspace(0, 1, 1_001))
    assert (np.diff(mapped) >= 0).all()
    assert mapped.min() >= 0
    assert mapped.max() <= 1


@pytest.mark.parametrize("method", METHODS)
def test_a_map_kept_as_plain_values_is_the_same_map(
    method: CalibrationMethod, converted: Floats, truth: Floats
) -> None:
    calibration = fit_calibration(method, converted, truth)
    again = type(calibration)(**calibration._asdict())
    assert np.array_equal(again.apply(truth), calibration.apply(truth))
