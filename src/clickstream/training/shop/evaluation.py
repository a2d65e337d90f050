"""Figures of forecasts at decision points, with intervals by bootstrap over sessions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clickstream.models.case import Floats
from clickstream.models.evaluation import Estimate, Importances, Reliability
from clickstream.models.figures import BINS, bins_of
from clickstream.models.shop.batch import ShopBatch
from clickstream.models.shop.evaluation import BySeenClicks
from clickstream.records.scorers import ScorerName
from clickstream.training.bootstrap import WeightedFigures, estimates, weighted_conversion
from clickstream.training.importance import MOST, permutation_importances
from clickstream.training.shop.points import Points

SEEN = (1, 2, 3, 5, 8, 12)
"""Numbers of clicks seen that quality is shown by, beside the last decision point."""

FEWEST_SEEN = 15
"""Sessions of each kind below which no quality is reported."""

_TENTH = 0.1

_CELLS = 2_000_000
"""Points times resamples that are judged at once."""

_CONVERSION = ("auc", "log_loss", "brier", "ece")


def point_figures(points: Points, conversion: Floats, seed: int) -> dict[str, Estimate]:
    """ROC-AUC, PR-AUC, log-loss, Brier score, ECE and the lift of the best tenth over all decision points."""
    return _estimated(points, weighted_point_conversion(points, conversion), seed)


def point_revenue_figures(points: Points, revenue: Floats, seed: int) -> dict[str, Estimate]:
    """R² and mean absolute error of revenue over all decision points."""
    return _estimated(points, weighted_point_revenue(points, revenue), seed)


def weighted_point_revenue(points: Points, revenue: Floats) -> WeightedFigures:
    """The figures of revenue as a function of weights of windows, for the bootstrap."""
    residual = points.revenue - revenue
    centred = points.revenue - np.average(points.revenue, weights=points.weight)

    def figures_of(windows: Floats) -> dict[str, Floats]:
        weights = windows[:, points.window] * points.weight
        total = weights.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = weights @ centred**2 - (weights @ centred) ** 2 / total
            return {"r2": 1 - weights @ residual**2 / spread, "mae": weights @ np.abs(residual) / total}

    return _bounded(figures_of, len(points))


def points_by_seen(
    scorer: ScorerName, points: Points, conversion: Floats, seed: int
) -> Iterator[BySeenClicks]:
    """ROC-AUC at the decision points after each number of clicks in SEEN, and at the last of each window."""
    for seen in (*SEEN, None):
        some = points.last if seen is None else points.seen == seen
        part = points.at(some)
        if not len(part):
            continue
        converted = int(part.converted.sum())
        auc = None
        if min(converted, len(part) - converted) >= FEWEST_SEEN:
            figures_of = weighted_conversion(part.converted, conversion[some])
            value = figures_of(np.ones((1, len(part))))["auc"]
            auc = estimates(len(part), figures_of, {"auc": float(value[0])}, seed, ("auc",))["auc"]
        yield BySeenClicks(scorer=scorer, seen=seen, sessions=len(part), converted=converted, auc=auc)


def importances_of(models: ShopBatch, points: Points, seed: int) -> dict[str, Importances]:
    """What the inputs of the batch models are worth, by permutation over decision points.

    As many points as are shuffled are drawn by their weight, so each counts as it weighs.
    """
    share = points.weight / points.weight.sum()
    drawn = np.random.default_rng(seed).choice(len(points), MOST, p=share)
    some = points.at(drawn)
    matrix = models.matrix(some.table)
    inputs = [*models.inputs.numbers, *models.inputs.texts]

    def conversion(of: Floats) -> Floats:
        return models.answer_matrix(of)[0]

    def revenue(of: Floats) -> Floats:
        expected = models.answer_matrix(of)[1]
        return np.zeros(len(of)) if expected is None else expected

    found = {
        "batch conversion": permutation_importances("auc", conversion, matrix, some.converted, inputs, seed)
    }
    if models.answer_matrix(matrix[:1])[1] is not None:
        found["batch revenue"] = permutation_importances("r2", revenue, matrix, some.revenue, inputs, seed)
    return found


def reliability_of(points: Points, conversion: Floats) -> Reliability:
    """Decision points in bins of their forecast, by weight; `sessions` are the sums of weights, rounded."""
    places = bins_of(conversion)
    size = np.bincount(places, weights=points.weight, minlength=BINS)
    forecast = np.bincount(places, weights=points.weight * conversion, minlength=BINS)
    observed = np.bincount(places, weights=points.weight * points.converted, minlength=BINS)
    filled = size > 0
    return Reliability(
        forecast=(forecast[filled] / size[filled]).tolist(),
        observed=(observed[filled] / size[filled]).tolist(),
        sessions=size[filled].round().astype(int).tolist(),
    )


def _estimated(points: Points, figures_of: WeightedFigures, seed: int) -> dict[str, Estimate]:
    values = {name: float(value[0]) for name, value in figures_of(np.ones((1, points.windows))).items()}
    return estimates(points.windows, figures_of, values, seed)


def weighted_point_conversion(points: Points, conversion: Floats) -> WeightedFigures:
    """The figures of conversion as a function of weights of windows, by which each decision point counts.

    `auc_alike` is ROC-AUC with 1/n for each of the n points of a window, so that all windows weigh alike: how
    well visits are ranked. It knows how long a visit became, and is no figure of a single moment.
    """
    inner = weighted_conversion(points.converted, conversion)
    ranked = _weighted_ranked(points.converted, conversion)
    standing = points.weight > 0
    share = standing / np.bincount(points.window[standing], minlength=points.windows)[points.window]

    def figures_of(windows: Floats) -> dict[str, Floats]:
        weights = windows[:, points.window] * points.weight
        figures = inner(weights)
        alike = inner(windows[:, points.window] * share)["auc"]
        return {**{name: figures[name] for name in _CONVERSION}, "auc_alike": alike, **ranked(weights)}

    return _bounded(figures_of, len(points))


def _weighted_ranked(converted: Floats, conversion: Floats) -> WeightedFigures:
    """Average precision, which is the area under precision over recall; and the lift of the best tenth."""
    order = np.argsort(-conversion, kind="stable")
    # Forecasts that are equal stand or fall together.
    ends = np.flatnonzero(np.diff(conversion[order], append=np.inf))
    ranked = converted[order]

    def figures_of(weights: Floats) -> dict[str, Floats]:
        sorted_weights = weights[:, order]
        claimed = np.cumsum(sorted_weights, axis=1)[:, ends]
        right = np.cumsum(sorted_weights * ranked, axis=1)[:, ends]
        total, positive = claimed[:, -1:], right[:, -1:]
        gained = np.diff(right, axis=1, prepend=0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(claimed > 0, right / claimed, 0.0)
            average = (precision * gained).sum(axis=1) / positive[:, 0]
            tenth = _TENTH * total[:, 0]
            # Within forecasts that are equal, the tenth takes its part of all.
            best = np.array(
                [
                    np.interp(at, np.append(0.0, of), np.append(0.0, found))
                    for at, of, found in zip(tenth, claimed, right, strict=True)
                ]
            )
            lift = best / tenth / (positive[:, 0] / total[:, 0])
        return {"average_precision": average, "lift": lift}

    return figures_of


def _bounded(figures_of: WeightedFigures, points: int) -> WeightedFigures:
    """The same judge, asked for so many resamples at once as memory is meant for."""
    at_once = max(_CELLS // max(points, 1), 1)

    def bounded(windows: Floats) -> dict[str, Floats]:
        parts = [figures_of(windows[first : first + at_once]) for first in range(0, len(windows), at_once)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return bounded
