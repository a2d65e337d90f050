"""Probabilities that come true as often as they say.

A calibration is a monotone map of a probability, so no order and no AUC changes but by ties. Which one, or
none, is chosen by cross-validation on the training sessions: the held-out months take no part.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from clickstream.models.case import Floats

CalibrationMethod = Literal["none", "platt", "beta", "isotonic"]

METHODS: tuple[CalibrationMethod, ...] = ("none", "platt", "beta", "isotonic")

_EDGE = 1e-6


class Calibration(NamedTuple):
    """A fitted map from a probability to a calibrated one.

    Attributes:
        method: `platt` (Platt 1999) and `beta` (Kull et al. 2017) are logistic in
            `a log p - b log(1 - p) + c`, with a = b for `platt`; `isotonic` is linear between knots.
        knots, values: of `isotonic`.
    """

    method: CalibrationMethod = "none"
    a: float = 1.0
    b: float = 1.0
    c: float = 0.0
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def apply(self, probability: Floats) -> Floats:
        """Calibrate probabilities; the shape stays."""
        if self.method == "none":
            return probability
        if self.method == "isotonic":
            interpolated: Floats = np.interp(probability, self.knots, self.values)
            return interpolated
        p = np.clip(probability, _EDGE, 1 - _EDGE)
        logit = self.a * np.log(p) - self.b * np.log1p(-p) + self.c
        calibrated: Floats = 1 / (1 + np.exp(-logit))
        return calibrated


UNCALIBRATED = Calibration()

FOLDS = 5


def fit_calibration(
    method: CalibrationMethod, converted: Floats, probability: Floats, weights: Floats | None = None
) -> Calibration:
    """Fit the calibration of one method.

    Args:
        converted: 0 or 1, shape (n,), both kinds.
        probability: of sessions that the model had not seen, shape (n,).
        weights: of each, shape (n,); by default all are equal.
    """
    if method == "none":
        return UNCALIBRATED
    if method == "isotonic":
        fitted = IsotonicRegression(out_of_bounds="clip").fit(probability, converted, weights)
        return Calibration(
            "isotonic",
            knots=tuple(fitted.X_thresholds_.tolist()),
            values=tuple(np.clip(fitted.y_thresholds_, _EDGE, 1 - _EDGE).tolist()),
        )
    p = np.clip(probability, _EDGE, 1 - _EDGE)
    terms = np.column_stack([np.log(p), -np.log1p(-p)])
    if method == "platt":
        terms = terms.sum(axis=1, keepdims=True)
    fitted = LogisticRegression(C=np.inf, max_iter=1_000).fit(terms, converted, weights)
    a, b = fitted.coef_[0].tolist() * (2 if method == "platt" else 1)
    if min(a, b) <= 0:
        # A map that turns the order round is none.
        return UNCALIBRATED
    return Calibration(method, a=a, b=b, c=float(fitted.intercept_[0]))


def choose_calibration(
    converted: Floats,
    probability: Floats,
    seed: int,
    weights: Floats | None = None,
    fold: NDArray[np.intp] | None = None,
) -> Calibration:
    """The method that forecasts best by cross-validation, fitted on all; none where no gain is certain.

    Measured by log loss. A gain counts when it is larger than twice its standard error over the folds: a map
    that is fitted to noise makes forecasts worse.

    Args:
        converted: outcomes of training sessions, shape (n,).
        probability: cross-fitted, so that no session was seen by the model that forecast it.
        weights: of each forecast; by default all are equal.
        fold: numbers from 0 to below FOLDS that divide the forecasts, where several are of one session.
    """
    if fold is None:
        folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(probability, converted))
    else:
        folds = [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(FOLDS)]
    each = np.ones(len(converted)) if weights is None else weights
    best, most = UNCALIBRATED.method, 0.0
    for method in METHODS[1:]:
        gains = []
        for fit, out in folds:
            given = None if weights is None else weights[fit]
            mapped = fit_calibration(method, converted[fit], probability[fit], given).apply(probability[out])
            came, counted = converted[out], each[out]
            gains.append(_log_loss(came, probability[out], counted) - _log_loss(came, mapped, counted))
        mean, error = float(np.mean(gains)), float(np.std(gains, ddof=1) / np.sqrt(FOLDS))
        if mean > max(2 * error, most):
            best, most = method, mean
    return fit_calibration(best, converted, probability, weights)


def _log_loss(converted: Floats, probability: Floats, weights: Floats) -> float:
    clipped = np.clip(probability, _EDGE, 1 - _EDGE)
    return float(log_loss(converted, clipped, labels=[0, 1], sample_weight=weights))
