"""From forecasts on sessions that a model has not seen to the findings of an Evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from clickstream.models.case import DECIMALS, Example, Floats
from clickstream.models.clusters import NAMES, Clusters
from clickstream.models.evaluation import (
    BySeen,
    ClusterProfile,
    Estimate,
    Evaluation,
    Reliability,
    RevenueFit,
    Roc,
)
from clickstream.models.figures import BINS, Figures, bins_of, conversion_figures, revenue_figures
from clickstream.models.matrix import CLUSTERED
from clickstream.records.scorers import ScorerName
from clickstream.training.bootstrap import estimates, weighted_conversion, weighted_revenue
from clickstream.training.findings import EMPTY

SEEN = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 9), (10, None))
"""Numbers of clicks seen that quality is shown by."""

FEWEST_SEEN = 30
"""Sessions of each kind below which no quality is reported."""

TENTHS = 10

_POINTS = 200
"""Of a ROC curve: more than a plot can show."""


class Forecasts(NamedTuple):
    """What a scorer predicted of held-out sessions, and what came; the two tasks may have other sessions.

    Attributes:
        converted, conversion: 0 or 1 and probability, shape (n,).
        conversion_seen: clicks that the scorer had seen, shape (n,).
        revenue, expected, revenue_seen: the same of revenue, shape (m,).
    """

    converted: Floats
    conversion: Floats
    conversion_seen: NDArray[np.intp]
    revenue: Floats
    expected: Floats
    revenue_seen: NDArray[np.intp]

    def figures(self) -> Figures:
        """The figures of both tasks, by name."""
        return {
            **conversion_figures(self.converted, self.conversion),
            **revenue_figures(self.revenue, self.expected),
        }

    def estimates(self, figures: Figures, seed: int) -> dict[str, Estimate]:
        """The figures with their intervals; `figures` are the values."""
        converting = weighted_conversion(self.converted, self.conversion)
        earning = weighted_revenue(self.revenue, self.expected)
        return {
            **estimates(len(self.converted), converting, figures, seed),
            **estimates(len(self.revenue), earning, figures, seed),
        }


class Assessment(NamedTuple):
    """Figures of one scorer for the manifest, and all that is reported of it."""

    figures: Figures
    findings: Evaluation


def assess(scorer: ScorerName, forecasts: Forecasts, seed: int) -> Assessment:
    """What every scorer is evaluated by: figures with their intervals, curves, and quality by clicks seen."""
    figures = forecasts.figures()
    findings = EMPTY.model_copy(
        update={
            "figures": {scorer: forecasts.estimates(figures, seed)},
            "roc": {scorer: roc_points(forecasts.converted, forecasts.conversion)},
            "reliability": {scorer: reliability_bins(forecasts.converted, forecasts.conversion)},
            "revenue": {scorer: revenue_fit(forecasts)},
            "by_seen": list(figures_by_seen(scorer, forecasts, seed)),
        }
    )
    return Assessment(figures, findings)


def as_answered(conversion: Floats, revenue: Floats) -> tuple[Floats, Floats]:
    """Round predictions as they are published, see `case.prediction`.

    Only so do the figures of a training equal those computed from scores: a forest's 0.3 may lie below 0.3
    before.
    """
    return (
        np.array([round(value, DECIMALS) for value in conversion.tolist()]),
        np.array([round(max(value, 0.0), DECIMALS) for value in revenue.tolist()]),
    )


def figures_by_seen(scorer: ScorerName, forecasts: Forecasts, seed: int) -> Iterator[BySeen]:
    """Quality by the number of clicks seen, for the numbers that occur."""
    for fewest, most in SEEN:
        converting = _between(forecasts.conversion_seen, fewest, most)
        earning = _between(forecasts.revenue_seen, fewest, most)
        part = Forecasts(
            forecasts.converted[converting],
            forecasts.conversion[converting],
            forecasts.conversion_seen[converting],
            forecasts.revenue[earning],
            forecasts.expected[earning],
            forecasts.revenue_seen[earning],
        )
        kinds = np.bincount(part.converted.astype(np.intp), minlength=2)
        reported: Mapping[str, Estimate] = {}
        if min(kinds) >= FEWEST_SEEN and len(part.revenue) >= 2 * FEWEST_SEEN:
            reported = part.estimates(part.figures(), seed)
        if len(part.converted):
            yield BySeen(
                scorer=scorer,
                fewest=fewest,
                most=most,
                sessions=len(part.converted),
                auc=reported.get("auc"),
                r2=reported.get("r2"),
            )


def roc_points(converted: Floats, conversion: Floats, weights: Floats | None = None) -> Roc:
    """The ROC curve, thinned to what a plot can show; arrays of shape (n,), by default all weigh alike."""
    false, true, _ = roc_curve(converted, conversion, sample_weight=weights)
    kept = np.unique(np.linspace(0, len(false) - 1, min(_POINTS, len(false))).round().astype(np.intp))
    return Roc(false_positive_rate=false[kept].tolist(), true_positive_rate=true[kept].tolist())


def reliability_bins(converted: Floats, probability: Floats) -> Reliability:
    """The bins that the calibration error is computed over, those that are empty left out."""
    places = bins_of(probability)
    sessions = np.bincount(places, minlength=BINS)
    filled = np.flatnonzero(sessions)
    size = sessions[filled]
    return Reliability(
        forecast=(np.bincount(places, weights=probability, minlength=BINS)[filled] / size).tolist(),
        observed=(np.bincount(places, weights=converted, minlength=BINS)[filled] / size).tolist(),
        sessions=size.tolist(),
    )


def revenue_fit(forecasts: Forecasts) -> RevenueFit:
    """Sessions in tenths of their expected revenue."""
    order = np.argsort(forecasts.expected, kind="stable")
    tenths = [part for part in np.array_split(order, TENTHS) if len(part)]
    actual = [forecasts.revenue[part] for part in tenths]
    quartiles = [np.percentile(part, (25, 75)).tolist() for part in actual]
    return RevenueFit(
        expected=[float(forecasts.expected[part].mean()) for part in tenths],
        actual=[float(part.mean()) for part in actual],
        low=[low for low, _ in quartiles],
        high=[high for _, high in quartiles],
        sessions=[len(part) for part in tenths],
    )


def profiles(clusters: Clusters, examples: Sequence[Example], numbers: Sequence[int]) -> list[ClusterProfile]:
    """Describe each cluster over all sessions; `numbers` are the clusters of the sessions, in order."""
    assigned = np.asarray(numbers, dtype=np.intp)
    converted = np.array([one.outcome.converted for one in examples], dtype=np.float64)
    revenue = np.array([one.outcome.revenue for one in examples])
    centres = clusters.centres * clusters.scale + clusters.mean
    found = []
    for number, name in enumerate(NAMES):
        inside = assigned == number
        sessions = int(inside.sum())
        found.append(
            ClusterProfile(
                number=number,
                name=name,
                sessions=sessions,
                share=sessions / len(examples),
                centre=dict(zip(CLUSTERED, centres[number].tolist(), strict=True)),
                converted=float(converted[inside].mean()) if sessions else 0.0,
                revenue=float(revenue[inside].mean()) if sessions else 0.0,
            )
        )
    return found


def _between(seen: NDArray[np.intp], fewest: int, most: int | None) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = seen >= fewest
    return inside if most is None else inside & (seen <= most)
