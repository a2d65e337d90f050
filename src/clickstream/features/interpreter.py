"""The definition read literally: features, goal and evidence, from the list of a session's clicks.

Slow and obvious on purpose. It is what a definition means, written a second time: the fold that runs is held
against it in tests, and the audit computes with it. It shares nothing with fold.py but the definition itself
and the draw of a decision point, of which a test pins the values.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from clickstream.features.condition import holds
from clickstream.features.definition import Aggregation, Condition, Feature, FieldType, ShopDefinition
from clickstream.features.goal import is_drawn

ClickValues = Mapping[str, Any]
"""A click: field -> value, with `event_time` and `order`; a field that is absent is null."""


class Late(NamedTuple):
    """A click that came late, and how many clicks in order had been counted before it."""

    row: ClickValues
    after: int


class WindowClicks(NamedTuple):
    """The clicks of a window: those in order, and late ones, which have no place in the order."""

    in_order: Sequence[ClickValues]
    late: Sequence[Late] = ()

    def until(self, count: int) -> WindowClicks:
        """What had been counted when the click in order after the first `count` was to be."""
        return WindowClicks(self.in_order[:count], [one for one in self.late if one.after <= count])


class AchievedGoal(NamedTuple):
    """What became of a session: whether its goal was met, what it was worth, and at which click (from 0)."""

    converted: bool
    revenue: float | None
    at: int | None


def features(definition: ShopDefinition, visit: WindowClicks) -> dict[str, Any]:
    """Feature -> value, in the order of the definition; null where a feature has nothing to say."""
    values: dict[str, Any] = {}

    def value(name: str) -> Any:
        if name not in values:
            feature = definition.feature(name)
            if feature.aggregation in (Aggregation.RATIO, Aggregation.SAME):
                values[name] = _derived(feature, *(value(one) for one in feature.of))
            else:
                values[name] = _aggregated(definition, feature, visit)
        return values[name]

    return {feature.name: value(feature.name) for feature in definition.features}


def achieved(definition: ShopDefinition, in_order: Sequence[ClickValues]) -> AchievedGoal:
    """What became of a session, by its clicks in order."""
    goal = definition.goal
    meets = _test(goal.when)
    if goal.last_click:
        last = in_order[-1]
        revenue = None if goal.value is None else last.get(goal.value)
        return AchievedGoal(meets(last), revenue, len(in_order) - 1 if meets(last) else None)
    deciding = [at for at, row in enumerate(in_order) if meets(row)]
    revenue = None
    if goal.value is not None:
        revenue = math.fsum(in_order[at].get(goal.value) or 0.0 for at in deciding)
    return AchievedGoal(bool(deciding), revenue, deciding[0] if deciding else None)


def evidence(definition: ShopDefinition, visit: WindowClicks) -> WindowClicks:
    """The clicks that a prediction of the closed session may look at."""
    if definition.goal.last_click:
        return WindowClicks(visit.in_order[:-1], visit.late)
    first = achieved(definition, visit.in_order).at
    return visit if first is None else visit.until(first)


def lesson(definition: ShopDefinition, session_id: str, visit: WindowClicks) -> WindowClicks:
    """The clicks that the online models learn the closed session from.

    Of the decision points, each click of the evidence, the last k that is drawn: which one in k is.
    """
    seen = evidence(definition, visit)
    if definition.goal.last_click or not seen.in_order:
        return seen
    opened_at = visit.in_order[0]["event_time"]
    numbers = range(1, len(seen.in_order) + 1)
    return visit.until(max(k for k in numbers if is_drawn(session_id, opened_at, k)))


def _aggregated(definition: ShopDefinition, feature: Feature, visit: WindowClicks) -> Any:
    everything = [*visit.in_order, *(one.row for one in visit.late)]
    chosen = _where(everything, feature.where)
    chosen_in_order = _where(visit.in_order, feature.where)
    match feature.aggregation:
        case Aggregation.COUNT:
            return len(_where(chosen, feature.counted))
        case Aggregation.SHARE:
            return len(_where(chosen, feature.counted)) / len(chosen) if chosen else None
        case Aggregation.POSITION:
            last = visit.in_order[-1] if visit.in_order else {}
            return last.get("order") or len(everything)
        case Aggregation.SECONDS:
            return _seconds([row["event_time"] for row in chosen_in_order], feature.seconds)
    field = feature.field or ""
    values = [row[field] for row in chosen if row.get(field) is not None]
    in_order = [row[field] for row in chosen_in_order if row.get(field) is not None]
    match feature.aggregation:
        case Aggregation.CHANGES:
            return sum(1 for before, after in pairwise(in_order) if before != after)
        case Aggregation.DISTINCT:
            return min(len(set(values)), definition.distinct_at_most)
        case Aggregation.FIRST:
            return in_order[0] if in_order else None
        case Aggregation.LAST:
            return in_order[-1] if in_order else None
    if not values:
        return None
    match feature.aggregation:
        case Aggregation.SUM:
            return sum(values) if definition.field(field).type is FieldType.INTEGER else math.fsum(values)
        case Aggregation.MEAN:
            return statistics.fmean(values)
        case Aggregation.STD:
            return statistics.pstdev(values)
        case Aggregation.MIN:
            return min(values)
        case Aggregation.MAX:
            return max(values)
        case _:
            return _entropy(values, definition.distinct_at_most)


def _derived(feature: Feature, one: Any, other: Any) -> Any:
    if one is None or other is None:
        return None
    if feature.aggregation is Aggregation.SAME:
        return int(one == other)
    return one / other if other else None


def _seconds(times: Sequence[int], mode: str | None) -> float | None:
    pauses = [after - before for before, after in pairwise(times)]
    if mode == "since first":
        return (times[-1] - times[0]) / 1000 if times else None
    if not pauses:
        return None
    if mode == "since previous":
        return pauses[-1] / 1000
    return (max(pauses) if mode == "max since previous" else statistics.fmean(pauses)) / 1000


def _entropy(values: Sequence[Any], most: int) -> float:
    kept = set(list(dict.fromkeys(values))[:most])
    counts = Counter(value for value in values if value in kept)
    total = counts.total()
    return -math.fsum(n / total * math.log2(n / total) for n in counts.values()) + 0.0


def _where(rows: Sequence[ClickValues], condition: Condition | None) -> Sequence[ClickValues]:
    if condition is None:
        return rows
    meets = _test(condition)
    return [row for row in rows if meets(row)]


def _test(condition: Condition) -> Any:
    return holds(condition.expression, lambda row, path: row.get(path[0]))
