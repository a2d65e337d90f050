"""Decision points of windows: the features at each, and what came of its session."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clickstream.features.definition import ShopDefinition
from clickstream.features.goal import Course, course_of, sampled_points
from clickstream.features.shop import shop_of
from clickstream.features.vector import Features
from clickstream.infra.errors import InputError
from clickstream.models.case import Floats
from clickstream.models.shop.examples import FeatureTable, ShopWindow, table_of

MOST_A_SESSION = 64
"""Decision points of a session that are used; of a longer one, a sample."""

MOST_POINTS = 150_000
"""Decision points beyond which fewer of each session are taken: more cost time and teach little."""

MOST_CELLS = 20_000_000
"""Decision points times features: what training may hold of them in memory, 160 MB."""


@dataclass(frozen=True)
class Points:
    """Decision points of windows, window by window, each in order.

    Attributes:
        table: features at each point, of the clicks seen by then.
        window: number of the window of each, shape (n,); `windows` in all, those without a point included.
        seen: clicks seen, shape (n,).
        weight: of the k-th point of a window in proportion to 1 / k, and more where a sample stands for all
            points; 1 a window on the average, as the points of one window are no independent examples; 0 for
            a point that is there for itself, shape (n,). Why it is 1 / k: `features/goal.py`.
        last: whether it is the last decision point of its window, shape (n,).
        converted, revenue: of the window, after the point, shape (n,); revenue 0 where the goal has no value.
    """

    table: FeatureTable
    windows: int
    window: NDArray[np.intp]
    seen: NDArray[np.intp]
    weight: Floats
    last: NDArray[np.bool_]
    converted: Floats
    revenue: Floats

    def __len__(self) -> int:
        return len(self.window)

    def at(self, places: NDArray[Any]) -> Points:
        """Some of the points, by place or by mask; windows keep their numbers."""
        return Points(
            self.table.at(places),
            self.windows,
            self.window[places],
            self.seen[places],
            self.weight[places],
            self.last[places],
            self.converted[places],
            self.revenue[places],
        )

    def weighing(self) -> Points:
        """Those that stand for all points."""
        return self.at(self.weight > 0)


def courses(definition: ShopDefinition, windows: Sequence[ShopWindow]) -> list[Course]:
    """What became of each window."""
    course = course_of(definition)
    return [course(window.clicks) for window in windows]


def points_of(
    definition: ShopDefinition,
    windows: Sequence[ShopWindow],
    *,
    also: Collection[int] = (),
    most: int = MOST_A_SESSION,
) -> Points:
    """The decision points of windows.

    Args:
        also: numbers of clicks seen whose points are taken in any case, as is the last point of each window
            where there are any; they weigh nothing if they were not sampled.
        most: points sampled of a window; fewer where all of them would not fit into memory.

    Raises:
        InputError: not even one point of each window fits.
    """
    found = courses(definition, windows)
    features = max(len(definition.features), 1)
    room = MOST_CELLS // features
    while most > 1 and sum(min(len(course.points), most) for course in found) > min(room, MOST_POINTS):
        most //= 2
    if sum(bool(course.points) for course in found) > room:
        raise InputError(
            f"{len(windows):,} sessions of {features} features are more than training holds in memory",
            "Give a part of the log, or a shop file with fewer features.",
        )
    chosen = [_chosen(window, course, also, most) for window, course in zip(windows, found, strict=True)]
    count = sum(map(len, chosen))
    numbers = np.repeat(np.arange(len(windows)), [len(of) for of in chosen])
    points = [point for of in chosen for point in of]
    weights = np.array([point.weight for point in points], dtype=np.float64)
    if points:
        weights *= sum(map(bool, chosen)) / weights.sum()
    return Points(
        table_of(definition, _evidence(definition, windows, chosen), count),
        len(windows),
        numbers.astype(np.intp),
        np.array([point.seen for point in points], dtype=np.intp),
        weights,
        np.array([point.last for point in points], dtype=np.bool_),
        np.array([found[number].converted for number in numbers], dtype=np.float64),
        np.array([found[number].revenue or 0.0 for number in numbers], dtype=np.float64),
    )


def whole_of(definition: ShopDefinition, windows: Sequence[ShopWindow]) -> FeatureTable:
    """The features of all clicks of each window."""
    shop = shop_of(definition)

    def rows() -> Iterator[Features]:
        for window in windows:
            aggregate = shop.aggregate()
            for click in window.clicks:
                aggregate.add(click)
            yield aggregate.features()

    return table_of(definition, rows(), len(windows))


def with_futures(
    definition: ShopDefinition, windows: Sequence[ShopWindow], donors: Sequence[int]
) -> list[ShopWindow]:
    """Each window with its own evidence, and what came after the evidence of another.

    Args:
        donors: the place of the other, for each window.
    """
    found = courses(definition, windows)
    return [
        ShopWindow(
            window.session_id,
            [
                *window.clicks[: course.points.stop - 1],
                *windows[donor].clicks[found[donor].points.stop - 1 :],
            ],
        )
        for window, course, donor in zip(windows, found, donors, strict=True)
        if course.points
    ]


@dataclass(frozen=True, slots=True)
class _Point:
    seen: int
    weight: float
    last: bool


def _chosen(window: ShopWindow, course: Course, also: Collection[int], most: int) -> list[_Point]:
    points = course.points
    if not points:
        return []
    sampled = sampled_points(window.session_id, window.opened_at, points, most)
    of_each = len(points) / len(sampled)
    weights = {k: of_each / (k - points.start + 1) for k in sampled}
    named = {k for k in also if k in points} | ({points[-1]} if also else set())
    return [_Point(k, weights.get(k, 0.0), k == points[-1]) for k in sorted(weights.keys() | named)]


def _evidence(
    definition: ShopDefinition, windows: Sequence[ShopWindow], chosen: Sequence[Sequence[_Point]]
) -> Iterator[Features]:
    shop = shop_of(definition)
    for window, points in zip(windows, chosen, strict=True):
        aggregate, counted = shop.aggregate(), 0
        for point in points:
            for click in window.clicks[counted : point.seen]:
                aggregate.add(click)
            counted = point.seen
            yield aggregate.features()
