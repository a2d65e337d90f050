"""Intervals of figures by bootstrap over sessions (Efron 1979): percentiles over resamples.

A resample is a row of weights: how often each session was drawn. So a figure of all resamples is a few
operations on matrices, and a thousand of them take a second. With weights of one, every figure here is the
one of figures.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from clickstream.models.case import Floats
from clickstream.models.evaluation import Estimate
from clickstream.models.figures import BINS, bins_of

RESAMPLES = 1_000

_AT_ONCE = 100

_WITHIN = (2.5, 97.5)

WeightedFigures = Callable[[Floats], Mapping[str, Floats]]
"""Weights of shape (b, n) -> figure -> its values, each of shape (b,)."""


def estimates(
    sessions: int,
    figures_of: WeightedFigures,
    values: Mapping[str, int | float],
    seed: int,
    names: Collection[str] | None = None,
) -> dict[str, Estimate]:
    """Each figure that `figures_of` computes, with its interval.

    Args:
        sessions: how many there are to draw from.
        values: the figures as they are, on all sessions.
        seed: of the draws. The same sessions are drawn for every scorer.
        names: of the figures that are asked for; by default all that `figures_of` computes.
    """
    drawn = [figures_of(weights) for weights in _resamples(sessions, seed)]
    found = {}
    for name in drawn[0] if names is None else names:
        value = float(values[name])
        resampled = np.concatenate([some[name] for some in drawn])
        # Where all sessions drawn are of one kind, a figure has no value.
        reported = resampled[np.isfinite(resampled)]
        low, high = np.percentile(reported, _WITHIN).tolist() if len(reported) else (value, value)
        # A resample holds fewer distinct sessions than the whole; where that biases a figure, the value can
        # lie beyond the percentiles.
        found[name] = Estimate(value=value, low=min(low, value), high=max(high, value))
    return found


def weighted_conversion(converted: Floats, probability: Floats) -> WeightedFigures:
    """The figures of `conversion_figures`."""
    order = np.argsort(probability, kind="stable")
    ranked = converted[order]
    starts = np.flatnonzero(np.diff(probability[order], prepend=-np.inf))
    clipped = np.clip(probability, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
    losses = -np.where(converted > 0, np.log(clipped), np.log1p(-clipped))
    squares = (probability - converted) ** 2
    places = bins_of(probability)
    gaps = np.zeros((len(converted), BINS))
    gaps[np.arange(len(converted)), places] = converted - probability
    predicted = probability > 0.5
    hits = predicted * converted

    def figures_of(weights: Floats) -> dict[str, Floats]:
        total = weights.sum(axis=1)
        true, claimed, right = weights @ converted, weights @ predicted, weights @ hits
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "auc": _auc(weights[:, order], ranked, starts),
                "brier": weights @ squares / total,
                "ece": np.abs(weights @ gaps).sum(axis=1) / total,
                "log_loss": weights @ losses / total,
                "precision": np.where(claimed > 0, right / claimed, 0.0),
                "recall": right / true,
                "f1": 2 * right / (claimed + true),
            }

    return figures_of


def weighted_revenue(revenue: Floats, expected: Floats) -> WeightedFigures:
    """The figures of `revenue_figures`."""
    residual = revenue - expected
    # R² does not depend on where zero is; near the mean its sums lose no digits.
    centred = revenue - revenue.mean()

    def figures_of(weights: Floats) -> dict[str, Floats]:
        total = weights.sum(axis=1)
        squares = weights @ residual**2
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "r2": 1 - squares / (weights @ centred**2 - (weights @ centred) ** 2 / total),
                "mae": weights @ np.abs(residual) / total,
                "rmse": np.sqrt(squares / total),
            }

    return figures_of


def weighted_agreement(one: NDArray[np.intp], other: NDArray[np.intp], clusters: int) -> WeightedFigures:
    """Adjusted Rand index of two assignments (Hubert and Arabie 1985)."""
    cells = np.zeros((len(one), clusters * clusters))
    cells[np.arange(len(one)), one * clusters + other] = 1.0

    def figures_of(weights: Floats) -> dict[str, Floats]:
        counts = (weights @ cells).reshape(-1, clusters, clusters)
        total = _pairs(weights.sum(axis=1))
        together = _pairs(counts).sum(axis=(1, 2))
        rows = _pairs(counts.sum(axis=2)).sum(axis=1)
        columns = _pairs(counts.sum(axis=1)).sum(axis=1)
        chance = rows * columns / total
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"ari": (together - chance) / ((rows + columns) / 2 - chance)}

    return figures_of


def weighted_clusters(standardised: Floats, labels: NDArray[np.intp], silhouettes: Floats) -> WeightedFigures:
    """Silhouette and Davies–Bouldin; what a session's silhouette is measured against is not drawn again.

    Args:
        silhouettes: of each session, shape (n,).
    """
    members = [np.flatnonzero(labels == number) for number in np.unique(labels)]

    def figures_of(weights: Floats) -> dict[str, Floats]:
        centres = np.empty((len(weights), len(members), standardised.shape[1]))
        spread = np.empty((len(weights), len(members)))
        for at, inside in enumerate(members):
            drawn, points = weights[:, inside], standardised[inside]
            size = drawn.sum(axis=1)
            centres[:, at] = drawn @ points / size[:, None]
            squares = (points**2).sum(axis=1) - 2 * centres[:, at] @ points.T
            squares += (centres[:, at] ** 2).sum(axis=1)[:, None]
            spread[:, at] = (drawn * np.sqrt(np.maximum(squares, 0.0))).sum(axis=1) / size
        apart = np.sqrt(((centres[:, :, None] - centres[:, None]) ** 2).sum(axis=3))
        with np.errstate(divide="ignore", invalid="ignore"):
            likeness = (spread[:, :, None] + spread[:, None]) / apart
        likeness[:, np.arange(len(members)), np.arange(len(members))] = -np.inf
        return {
            "silhouette": weights @ silhouettes / weights.sum(axis=1),
            "davies_bouldin": likeness.max(axis=2).mean(axis=1),
        }

    return figures_of


def _resamples(sessions: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    for _ in range(0, RESAMPLES, _AT_ONCE):
        drawn = rng.integers(sessions, size=(_AT_ONCE, sessions))
        drawn += np.arange(_AT_ONCE)[:, None] * sessions
        counts = np.bincount(drawn.ravel(), minlength=_AT_ONCE * sessions)
        yield counts.reshape(_AT_ONCE, sessions).astype(np.float64)


def _auc(weights: Floats, ranked: Floats, starts: NDArray[np.intp]) -> Floats:
    """Share of pairs in the right order, ties by half, of sessions sorted by forecast (Mann and Whitney)."""
    positives = np.add.reduceat(weights * ranked, starts, axis=1)
    negatives = np.add.reduceat(weights * (1 - ranked), starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    share: Floats = (positives * below).sum(axis=1) / pairs
    return share


def _pairs(counts: Floats) -> Floats:
    pairs: Floats = counts * (counts - 1) / 2
    return pairs
