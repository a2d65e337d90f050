"""Figures of merit on sessions that a model has not seen.

Probabilities: ROC-AUC, Brier score, and the expected calibration error over ten bins of equal width
(Naeini et al. 2015). Amounts: R² and mean absolute error. Clusters: silhouette (Rousseeuw 1987),
Davies–Bouldin (1979), and the adjusted Rand index against the batch clusters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    adjusted_rand_score,
    brier_score_loss,
    davies_bouldin_score,
    f1_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    silhouette_score,
)

from clickstream.models.case import Floats

Figures = dict[str, int | float]

BINS = 10

MOST_FOR_SILHOUETTE = 25_000
"""Sessions whose distances are all computed; of more, a sample. The time grows with the square."""


def expected_calibration_error(converted: NDArray[np.int_], probability: Floats) -> float:
    """Mean distance of the forecast from the share that came true, over bins, weighted by their size."""
    places = np.minimum((probability * BINS).astype(int), BINS - 1)
    # Per bin |sum of outcomes - sum of forecasts| is its size times the distance of the means.
    outcomes = np.bincount(places, weights=converted, minlength=BINS)
    forecasts = np.bincount(places, weights=probability, minlength=BINS)
    return float(np.abs(outcomes - forecasts).sum() / len(probability))


def conversion_figures(converted: Sequence[bool], probability: ArrayLike) -> Figures:
    """AUC, Brier score, ECE and F1 at one half."""
    truth = np.asarray(converted, dtype=int)
    forecast = np.asarray(probability, dtype=np.float64)
    return {
        "conversion_n": len(truth),
        "auc": float(roc_auc_score(truth, forecast)),
        "brier": float(brier_score_loss(truth, forecast)),
        "ece": expected_calibration_error(truth, forecast),
        "f1": float(f1_score(truth, forecast > 0.5)),
    }


def revenue_figures(revenue: Sequence[float], expected: ArrayLike) -> Figures:
    """R² and MAE, in the currency of the prices."""
    return {
        "revenue_n": len(revenue),
        "r2": float(r2_score(revenue, expected)),
        "mae": float(mean_absolute_error(revenue, expected)),
    }


def cluster_figures(standardised: Floats, labels: NDArray[np.intp], seed: int) -> Figures:
    """Silhouette and Davies–Bouldin of an assignment; both are left out where only one cluster occurs."""
    figures: Figures = {"cluster_n": len(labels)}
    if len(set(labels.tolist())) > 1:
        sample = MOST_FOR_SILHOUETTE if len(labels) > MOST_FOR_SILHOUETTE else None
        figures["silhouette"] = float(
            silhouette_score(standardised, labels, sample_size=sample, random_state=seed)
        )
        figures["davies_bouldin"] = float(davies_bouldin_score(standardised, labels))
    return figures


def cluster_agreement(one: Sequence[int], other: Sequence[int]) -> float:
    """Adjusted Rand index: 1 for the same clusters, 0 for chance."""
    return float(adjusted_rand_score(one, other))
