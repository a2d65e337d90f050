"""Permutation importance (Breiman 2001): how much worse a figure becomes when one input is shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import r2_score

from clickstream.models.case import Floats
from clickstream.models.evaluation import Importance, Importances

REPEATS = 5

MOST = 2_000
"""Sessions that are shuffled; of more, a sample."""


def permutation_importances(
    figure: Literal["auc", "r2"],
    predict: Callable[[Floats], Floats],
    matrix: Floats,
    truth: Floats,
    inputs: Sequence[str],
    seed: int,
) -> Importances:
    """Rank the inputs of a model, the most important first.

    Args:
        predict: matrix -> forecasts.
        matrix: sessions that the model has not seen, shape (n, columns).
        truth: what came, shape (n,).
        inputs: the feature that each column comes from. Columns of one feature are shuffled together.
    """
    rng = np.random.default_rng(seed)
    if len(matrix) > MOST:
        drawn = np.sort(rng.choice(len(matrix), MOST, replace=False))
        matrix, truth = matrix[drawn], truth[drawn]
    figures_of = _auc if figure == "auc" else r2_score
    whole = figures_of(truth, predict(matrix))
    columns: dict[str, list[int]] = {}
    for at, name in enumerate(inputs):
        columns.setdefault(name, []).append(at)
    orders = [rng.permutation(len(matrix)) for _ in range(REPEATS)]
    found = []
    for name, places in columns.items():
        losses = []
        for order in orders:
            shuffled = matrix.copy()
            shuffled[:, places] = matrix[order][:, places]
            losses.append(whole - figures_of(truth, predict(shuffled)))
        found.append(Importance(feature=name, mean=float(np.mean(losses)), sd=float(np.std(losses))))
    return Importances(figure=figure, inputs=sorted(found, key=lambda one: (-one.mean, one.feature)))


def _auc(converted: Floats, probability: Floats) -> float:
    """As scikit-learn's, whose checks take ten times as long as the ranks."""
    ones = converted > 0
    positive, negative = int(ones.sum()), int((~ones).sum())
    ranks = rankdata(probability)[ones].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))
