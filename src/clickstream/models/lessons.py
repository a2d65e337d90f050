"""Lessons: what River's models learn of the last sessions together, in one go.

A lesson holds LESSON sessions of a partition, in the order in which they closed. Until it is full the models
stay as they are, so an answer is at most LESSON - 1 sessions behind. Where a lesson ends depends on the log
alone: the state keeps the one that is filling.

The mathematics are River's own for a batch, on arrays: the data frames that its `learn_many` takes cost ten
times the lesson.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clickstream.models.case import Floats

LESSON = 32
"""Sessions of a lesson, chosen on April to June of the public dataset (`bench/lessons.py`). Scores of bundles
of one manifest format agree on it: another number needs another format."""


# The share of the way to a session that its nearest centre moves. Half of a centre is new after 350 sessions.
HALFLIFE = 0.002


def shifts_and_scales(scaler: Any, inputs: int) -> tuple[list[float], list[float]]:
    """What a `StandardScaler` takes from the inputs 0 to `inputs` - 1, and what it multiplies them with.

    0 where it has seen no difference: such an input says nothing.
    """
    shifts = [scaler.means.get(name, 0.0) for name in range(inputs)]
    spreads = [scaler.vars.get(name, 0.0) for name in range(inputs)]
    return shifts, [spread**-0.5 if spread > 0 else 0.0 for spread in spreads]


def standardised(scaler: Any, rows: Floats) -> Floats:
    """Rows, shape (n, f), of the inputs 0 to f - 1 in standard deviations from their means."""
    shifts, scales = shifts_and_scales(scaler, rows.shape[1])
    scaled: Floats = (rows - shifts) * scales
    return scaled


def learn_scale(scaler: Any, rows: Floats) -> None:
    """Teach a `StandardScaler` rows, shape (n, f), of the inputs 0 to f - 1; NaN where one is absent.

    Counts, means and variances of two parts put together (Chan et al. 1979).
    """
    seen = ~np.isnan(rows)
    counts = seen.sum(axis=0)
    divisor = np.maximum(counts, 1)
    means = np.where(seen, rows, 0.0).sum(axis=0) / divisor
    variances = (np.where(seen, rows - means, 0.0) ** 2).sum(axis=0) / divisor
    parts = zip(counts.tolist(), means.tolist(), variances.tolist(), strict=True)
    for name, (count, mean, variance) in enumerate(parts):
        if count:
            before = scaler.counts[name]
            total, apart = before + count, mean - scaler.means[name]
            spread = before * scaler.vars[name] + count * variance + apart * apart * before * count / total
            scaler.counts[name] = total
            scaler.means[name] += apart * count / total
            scaler.vars[name] = spread / total


def learn_linear(
    model: Any, rows: Floats, names: Sequence[int], truth: Floats, weights: Floats | float = 1.0
) -> None:
    """Teach a linear or logistic regression one step along the mean gradient over rows, shape (n, f); its
    intercept one along the sum.

    Args:
        names: of the f inputs.
        truth, weights: shape (n,).
    """

    def gradient(names: Sequence[int], truth: Floats, weights: Floats) -> tuple[dict[int, float], float]:
        # As plain numbers: numpy's own are slower one by one, and would be pickled with the models.
        slopes, loss = model._eval_gradient_many(rows, names, truth, weights)
        # No optimiser adapts the rate of the intercept: it moves as far as it would row by row.
        return dict(zip(slopes, map(float, slopes.values()), strict=True)), float(loss) * len(rows)

    saved = model._enter_learn_mode(set(names))
    try:
        model._fit(names, truth, weights, gradient)
    finally:
        model._exit_learn_mode(saved)


def bayesian_means(model: Any) -> Floats:
    """The weights of a `BayesianLinearRegression` whose inputs came in order; after them zeros."""
    model._ensure_m()
    means: Floats = model._m_arr
    return means


def learn_bayesian(model: Any, rows: Floats, truth: Floats) -> None:
    """Teach a `BayesianLinearRegression` rows of all its inputs, shape (n, f): Bishop 2006, 3.50 and 3.51."""
    model._ss_arr += model.beta * (rows.T @ rows)
    model._ss_inv_arr = np.asfortranarray(np.linalg.inv(model._ss_arr))
    model._eta_arr += model.beta * (rows.T @ truth)
    model._m_dirty = True


def nearest(centres: Sequence[Sequence[float]], points: Floats) -> NDArray[np.intp]:
    """The number of the centre that is nearest to each point, shape (n, f)."""
    found: NDArray[np.intp] = ((points[:, None, :] - np.array(centres)) ** 2).sum(axis=2).argmin(axis=1)
    return found


def move_centres(centres: list[list[float]], points: Floats) -> None:
    """Move the centre nearest to each point, shape (n, f), a share HALFLIFE of the way, point after point."""
    near = nearest(centres, points)
    for number, place in enumerate(np.array(centres)):
        mine = points[near == number]
        if len(mine):
            moved = (1 - HALFLIFE) ** len(mine) * place + (_shares(len(mine)) * mine).sum(axis=0)
            centres[number] = moved.tolist()


@cache
def _shares(n: int) -> Floats:
    """How much of each of n points is left in a centre that moved to one after the other, shape (n, 1)."""
    shares: Floats = HALFLIFE * (1 - HALFLIFE) ** np.arange(n - 1, -1, -1.0)
    return shares[:, None]


def added_up(base: float, *terms: Floats) -> Floats:
    """The base and the terms of each row, added one after the other; shape (n,).

    A product of matrices would round by the shape of the batch.

    Args:
        terms: each of shape (n, some).
    """
    table = np.column_stack([np.full(len(terms[0]), base), *terms])
    # `sum` would pair them.
    sums: Floats = np.add.accumulate(table, axis=1)[:, -1]
    return sums


def sigmoid(score: float) -> float:
    """1 / (1 + e^-score)."""
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    grown = math.exp(score)
    return grown / (1 + grown)
