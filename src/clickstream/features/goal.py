"""The goal of a session: which of its clicks are evidence, and what came after.

A decision point k of a session is the moment after its k-th click in order: a model is asked, and knows those
k clicks. Only points before the first click that meets the goal count, so neither that click nor anything
after it is ever evidence, and one label holds at all points of a session: whether the goal was met later, and
what was spent then. Of a rule over the last click there is one point, before that click.

Points weigh 1/k, in training, in figures, and in the draw of the one that the online models learn from. A
weight must not know what comes after its point: with 1/n, n being the number of points of the session,
moments of sessions that go on count less than those of sessions that end, and going on tells of the goal.
Forecasts would be off after every click, however well they are calibrated under those weights.

What is drawn is a function of the session's id, of the time at which it opened and of k, and of nothing else:
it is the same for any cut of the log, any consumer, and in training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from clickstream.features.condition import holds
from clickstream.features.definition import ShopDefinition


class Course(NamedTuple):
    """What became of a session.

    Attributes:
        points: the decision points, as numbers of clicks seen.
        converted: whether the goal was met after them.
        revenue: the sum of the goal's value after them; None where the goal has no value.
    """

    points: range
    converted: bool
    revenue: float | None


@cache
def course_of(definition: ShopDefinition) -> Callable[[Sequence[Any]], Course]:
    """A function of a session's clicks in order, one or more, as the fold of the definition takes them."""
    goal = definition.goal
    meets = holds(goal.when.expression, lambda click, path: getattr(click, path[0]))
    value = goal.value

    def spent(clicks: Sequence[Any]) -> float | None:
        if value is None:
            return None
        return float(sum(amount for click in clicks if (amount := getattr(click, value)) is not None))

    def by_event(clicks: Sequence[Any]) -> Course:
        first = next((at for at, click in enumerate(clicks) if meets(click)), None)
        if first is None:
            return Course(range(1, len(clicks) + 1), False, spent(()))
        return Course(range(1, first + 1), True, spent([click for click in clicks[first:] if meets(click)]))

    def by_last_click(clicks: Sequence[Any]) -> Course:
        # Without a click before the last there is no evidence, and no point.
        before = len(clicks) - 1
        return Course(range(max(before, 1), before + 1), meets(clicks[-1]), spent(clicks[-1:]))

    return by_last_click if goal.last_click else by_event


def chance(session_id: str, opened_at: int, k: int) -> float:
    """A number from 0 to below 1, even and independent for each session and k; `opened_at` in ms."""
    digest = hashlib.blake2b(f"{session_id}/{opened_at}/{k}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def points_weight(n: int) -> float:
    """What the first n decision points of a session weigh together: 1 + 1/2 + … + 1/n."""
    while len(_WEIGHTS) <= n:
        _WEIGHTS.append(_WEIGHTS[-1] + 1 / len(_WEIGHTS))
    return _WEIGHTS[n]


_WEIGHTS = [0.0]


def is_drawn(session_id: str, opened_at: int, k: int) -> bool:
    """Whether the k-th decision point takes the place of the one drawn so far.

    Asked for k = 1, 2, … this draws one point of the session by weight, however many there will be, and
    keeps no more than that one (weighted reservoir sampling, Chao 1982). The lesson made of it weighs as much
    as all points of the session together, so that each point counts as it weighs, on the average.
    """
    return chance(session_id, opened_at, k) * k * points_weight(k) < 1


def drawn_point(session_id: str, opened_at: int, points: range) -> int:
    """The point that is left when all of `points`, which must not be empty, have been asked."""
    if len(points) == 1:
        return points[0]
    return next(k for k in reversed(points) if is_drawn(session_id, opened_at, k))


def sampled_points(session_id: str, opened_at: int, points: range, most: int) -> list[int]:
    """All points in order; where there are more than `most`, as many of them, drawn evenly."""
    if len(points) <= most:
        return list(points)
    return sorted(sorted(points, key=lambda k: chance(session_id, opened_at, k))[:most])
