"""The online models of a shop: their warm start, and their progressive validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clickstream.features.definition import ShopDefinition
from clickstream.features.goal import course_of, drawn_point, points_weight
from clickstream.features.outcome import Outcome
from clickstream.features.shop import shop_of
from clickstream.models.case import Case, Floats
from clickstream.models.online import BaseRates, OnlineModels
from clickstream.models.shop.clusters import ShopClusters
from clickstream.models.shop.examples import ShopWindow
from clickstream.models.shop.inputs import ShopInputs
from clickstream.models.shop.online import ShopOnline
from clickstream.training.shop.points import Points

PASSES = 10
"""Lessons of each training session in the warm start, each at a decision point drawn anew."""

MOST_LESSONS = 100_000
"""Lessons of a warm start at the most: of many sessions, one lesson each teaches as much."""


class ProgressiveForecasts(NamedTuple):
    """Forecasts of the online models at decision points of held-out windows, made before they learned them.

    Attributes:
        conversion, revenue: shape (n,); no revenue where the goal has no value.
    """

    conversion: Floats
    revenue: Floats | None


def shop_warm_start(
    definition: ShopDefinition,
    windows: Sequence[ShopWindow],
    inputs: ShopInputs,
    clusters: ShopClusters,
    rates: BaseRates,
) -> bytes:
    """Teach models `windows`, in that order and up to PASSES times, and return their payload."""
    models = ShopOnline("", inputs, clusters, rates)
    for number in range(min(PASSES, max(MOST_LESSONS // max(len(windows), 1), 1))):
        for window in windows:
            models.learn(*lesson(definition, window, number))
    models.end_lesson()
    return models.payload()


def lesson(definition: ShopDefinition, window: ShopWindow, number: int = 0) -> tuple[Case, Outcome]:
    """Make the lesson of a window: its evidence at a decision point drawn by weight, and what came after.

    `number` 0 is the draw of the stream; others are draws of their own.
    """
    course = course_of(definition)(window.clicks)
    key = window.session_id if not number else f"{window.session_id}/{number}"
    drawn = drawn_point(key, window.opened_at, course.points) if course.points else 0
    aggregate = shop_of(definition).aggregate()
    evidence = None
    for seen, click in enumerate(window.clicks, 1):
        aggregate.add(click)
        if seen == drawn:
            evidence = aggregate.features()
    case = Case(evidence, aggregate.features(), points_weight(len(course.points)))
    return case, Outcome(course.converted, course.revenue or 0.0)


def progress(
    definition: ShopDefinition, models: OnlineModels, windows: Sequence[ShopWindow], points: Points
) -> ProgressiveForecasts:
    """Progressive validation (Blum et al. 1999): windows come in closing order; all decision points of a
    window are predicted, then its one lesson is learned.

    Args:
        points: of `windows`.
    """
    conversion, revenue = np.empty(len(points)), np.empty(len(points))
    first = np.searchsorted(points.window, np.arange(len(windows) + 1)).tolist()
    for at in sorted(range(len(windows)), key=lambda at: (windows[at].clicks[-1].event_time, at)):
        for place in range(first[at], first[at + 1]):
            row = points.table.row(place)
            answer = models.predict(Case(row, row))
            conversion[place], revenue[place] = answer.conversion, answer.revenue or 0.0
        models.learn(*lesson(definition, windows[at]))
    return ProgressiveForecasts(conversion, None if definition.goal.value is None else revenue)
