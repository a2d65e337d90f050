"""Figures of merit on sessions that a model has not seen.

Probabilities: ROC-AUC, Brier score, log loss, precision, recall, F1, and the expected calibration error over
ten bins of equal width (Naeini et al. 2015). Amounts: R², mean absolute error and root mean squared error.
Clusters: silhouette (Rousseeuw 1987),
Davies–Bouldin (1979), and the adjusted Rand index against the batch clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    adjusted_rand_score,
    brier_score_loss,
    davies_bouldin_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

from clickstream.models.case import Floats

Figures = dict[str, int | float]

BINS = 10

MOST_FOR_SILHOUETTE = 25_000
"""Sessions whose distances are all computed; of more, a sample. The time grows with the square."""

_ROWS_AT_ONCE = 512


def bins_of(probability: Floats) -> NDArray[np.intp]:
    """The number of the bin that each forecast falls into, shape (n,)."""
    places: NDArray[np.intp] = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    return places


def expected_calibration_error(
    converted: NDArray[np.int_], probability: Floats, weight: Floats | None = None
) -> float:
    """Mean distance over bins, weighted by their size, of the mean forecast from the share that came true.

    `weight`: what each session counts, shape (n,); one by default.
    """
    each = np.ones(len(probability)) if weight is None else weight
    places = bins_of(probability)
    # Per bin |sum of outcomes - sum of forecasts| is its size times the distance of the means.
    outcomes = np.bincount(places, weights=each * converted, minlength=BINS)
    forecasts = np.bincount(places, weights=each * probability, minlength=BINS)
    return float(np.abs(outcomes - forecasts).sum() / each.sum())


def conversion_figures(converted: ArrayLike, probability: ArrayLike, weight: Floats | None = None) -> Figures:
    """AUC, Brier score, log loss, ECE; precision, recall and F1 at one half.

    `weight`: what each session counts, shape (n,); one by default.
    """
    truth = np.asarray(converted, dtype=int)
    forecast = np.asarray(probability, dtype=np.float64)
    chosen = forecast > 0.5
    return {
        "conversion_n": len(truth),
        "auc": float(roc_auc_score(truth, forecast, sample_weight=weight)),
        "brier": float(brier_score_loss(truth, forecast, sample_weight=weight)),
        "ece": expected_calibration_error(truth, forecast, weight),
        "log_loss": float(log_loss(truth, forecast, sample_weight=weight, labels=[0, 1])),
        "precision": float(precision_score(truth, chosen, sample_weight=weight, zero_division=0.0)),
        "recall": float(recall_score(truth, chosen, sample_weight=weight)),
        "f1": float(f1_score(truth, chosen, sample_weight=weight)),
    }


def revenue_figures(revenue: ArrayLike, expected: ArrayLike, weight: Floats | None = None) -> Figures:
    """R², MAE and RMSE, the latter two in the currency of the prices.

    `weight`: what each session counts, shape (n,); one by default.
    """
    return {
        "revenue_n": len(np.asarray(revenue)),
        "r2": float(r2_score(revenue, expected, sample_weight=weight)),
        "mae": float(mean_absolute_error(revenue, expected, sample_weight=weight)),
        "rmse": float(root_mean_squared_error(revenue, expected, sample_weight=weight)),
    }


def cluster_figures(standardised: Floats, labels: NDArray[np.intp], seed: int) -> Figures:
    """Silhouette and Davies–Bouldin of an assignment; both are left out where only one cluster occurs."""
    figures: Figures = {"cluster_n": len(labels)}
    if len(set(labels.tolist())) > 1:
        figures["silhouette"] = float(silhouettes(standardised, [labels], seed)[0].mean())
        figures["davies_bouldin"] = float(davies_bouldin_score(standardised, labels))
    return figures


def silhouettes(standardised: Floats, assignments: Sequence[NDArray[Any]], seed: int) -> list[Floats]:
    """The silhouette of each session, by assignment: all from one pass over the distances.

    (b - a) / max(a, b), with a the mean distance to the others of its own cluster and b the least mean
    distance to those of another; 0 where it is alone. Of more than MOST_FOR_SILHOUETTE sessions, a sample's.

    Args:
        standardised: shape (n, inputs).
        assignments: labels from 0 up, each of shape (n,) and of two clusters or more.
    """
    if len(standardised) > MOST_FOR_SILHOUETTE:
        drawn = np.random.default_rng(seed).choice(len(standardised), MOST_FOR_SILHOUETTE, replace=False)
        standardised, assignments = standardised[drawn], [labels[drawn] for labels in assignments]
    members = [np.eye(int(labels.max()) + 1)[labels] for labels in assignments]
    ends = np.cumsum([inside.shape[1] for inside in members])[:-1]
    # To the first digit of interest, distances are the same in half the memory and time.
    points, columns = standardised.astype(np.float32), np.hstack(members).astype(np.float32)
    squares = (points**2).sum(axis=1)
    sums = np.empty(columns.shape)
    for start in range(0, len(points), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        distances = points[some] @ points.T
        distances *= -2
        distances += squares[some, None]
        distances += squares
        np.sqrt(np.maximum(distances, 0, out=distances), out=distances)
        np.fill_diagonal(distances[:, start:], 0)
        sums[some] = distances @ columns
    return [
        _silhouette(found, labels.astype(np.intp), inside.sum(axis=0))
        for found, labels, inside in zip(np.split(sums, ends, axis=1), assignments, members, strict=True)
    ]


def _silhouette(sums: Floats, labels: NDArray[np.intp], sizes: Floats) -> Floats:
    places = np.arange(len(labels))
    own = sizes[labels]
    within = sums[places, labels] / np.maximum(own - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(sizes > 0, sums / sizes, np.inf)
    means[places, labels] = np.inf
    beyond = means.min(axis=1)
    return np.where(own > 1, (beyond - within) / np.maximum(beyond, within), 0.0)


def cluster_agreement(one: Sequence[int], other: Sequence[int]) -> float:
    """Adjusted Rand index: 1 for the same clusters, 0 for chance."""
    return float(adjusted_rand_score(one, other))
