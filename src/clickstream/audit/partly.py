"""A score that was rebuilt partly: what it says against the window that the whole log makes.

Its first clicks lie before the place from which lost state was rebuilt, so most of it is not known. But it
ends as its window does, holds no more than that, and its fields agree with one another.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any

from clickstream.audit.expected import Facts, rule_of
from clickstream.audit.report import Difference
from clickstream.features.condition import Name, ValueKind, holds, parts_of
from clickstream.features.definition import KINDS, Aggregation, Feature, ShopDefinition
from clickstream.records.reasons import CUT

_PART = "a window that was rebuilt partly holds a part of the clicks"
_ITSELF = "the fields of a score agree with one another"

_AS_THE_WINDOW = (
    "last_click_at",
    "closed_by",
    "time_source",
    "shop",
    "settings",
    "source.topic",
    "source.partition",
    "source.closing_offset",
)
_AT_MOST = ("clicks", "late", "duplicates", "evidence", "source.last_offset")
_AT_LEAST = ("opened_at", "source.first_offset")

_GROWING = (Aggregation.COUNT, Aggregation.DISTINCT, Aggregation.MAX, Aggregation.POSITION)
"""More clicks make no less of them."""


def problems(definition: ShopDefinition, score: Mapping[str, Any], window: Facts) -> tuple[Difference, ...]:
    """What cannot be true of a score, given the window that closes with the same record.

    Where `max_clicks` or the bound on open sessions has cut one of the two, both may begin and end elsewhere:
    then only the fields of the score itself are compared.
    """
    named = {feature.name for feature in definition.features if feature.in_scores}
    if missing := sorted(named - score["features"].keys()):
        return (Difference("features", f"with {missing[0]}", sorted(score["features"]), _ITSELF),)
    for feature in definition.features:
        value = score["features"].get(feature.name)
        if value is not None and not isinstance(value, _type_of(definition, feature)):
            return (Difference(f"features.{feature.name}", "of its kind", value, _ITSELF),)
    found = list(_within(definition, score))
    if CUT.isdisjoint((score["closed_by"], window["closed_by"])):
        lasting = [*_AS_THE_WINDOW, *(f"features.{one.name}" for one in _of_the_last_click(definition))]
        if definition.goal.last_click:
            lasting += ("outcome.converted", "outcome.revenue")
        found += (
            Difference(path, wanted, there, rule_of(path))
            for path in lasting
            if (there := _at(score, path)) != (wanted := _at(window, path))
        )
        if score["opened_at"] >= window["opened_at"]:
            found += _part_of(definition, score, window)
    return tuple(found)


def _part_of(definition: ShopDefinition, score: Mapping[str, Any], window: Facts) -> Iterator[Difference]:
    published, there = (one["clicks"] + one["duplicates"] for one in (score, window))
    if published > there:
        yield Difference("clicks", f"with duplicates at most {there}", published, _PART)
    if score["missing"] + score["clicks"] > window["missing"] + window["clicks"]:
        span = window["missing"] + window["clicks"]
        yield Difference("missing", f"with clicks at most {span}", score["missing"] + score["clicks"], _PART)
    if window["duplicates"]:
        return  # a copy may have taken the place of a click that is not known
    shown = [feature for feature in definition.features if feature.in_scores]
    at_most = [*_AT_MOST, *(f"features.{one.name}" for one in shown if one.aggregation in _GROWING)]
    at_least = [*_AT_LEAST, *(f"features.{one.name}" for one in shown if one.aggregation is Aggregation.MIN)]
    for paths, word, beyond in ((at_most, "at most", operator.gt), (at_least, "at least", operator.lt)):
        for path in paths:
            bound, value = _at(window, path), _at(score, path)
            if value is not None and (bound is None or beyond(value, bound)):
                yield Difference(path, f"{word} {bound}", value, _PART)


def _within(definition: ShopDefinition, score: Mapping[str, Any]) -> Iterator[Difference]:
    """What contradicts itself."""
    features, clicks = score["features"], score["clicks"]
    for path, value in _wanted(definition, score):
        there = _at(score, path)
        if there != value and not (isinstance(value, float) and math.isclose(there, value)):
            yield Difference(path, value, there, _ITSELF)
    if (drawn := score.get("drawn")) and drawn["clicks"] >= clicks:
        yield Difference("drawn.clicks", f"fewer than {clicks}", drawn["clicks"], _ITSELF)
    source = score["source"]
    offsets = [source[name] for name in ("first_offset", "last_offset", "closing_offset")]
    if offsets != sorted(offsets):
        yield Difference("source", "first_offset <= last_offset <= closing_offset", source, _ITSELF)
    for feature in definition.features:
        bounds = _bounds(definition, feature, features, clicks - score["late"])
        value = features.get(feature.name)
        if bounds is None or value is None:
            continue
        low, high = bounds
        slack = 1e-9 * max(1.0, abs(low), abs(high))
        if not low - slack <= value <= high + slack:
            yield Difference(f"features.{feature.name}", f"from {low} to {high}", value, _ITSELF)


def _wanted(definition: ShopDefinition, score: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields that follow from others."""
    features = score["features"]
    if definition.goal.last_click:
        yield "evidence", score["clicks"] - 1 - score["late"]
        yield from _outcome(definition, features)
    for feature in definition.features:
        if feature.name not in features:
            continue
        path = f"features.{feature.name}"
        if feature.aggregation is Aggregation.COUNT and feature.counted is feature.where is None:
            yield path, score["clicks"]
        if feature.of and all(name in features for name in feature.of):
            one, other = (features[name] for name in feature.of)
            if one is None or other is None or (feature.aggregation is Aggregation.RATIO and not other):
                yield path, None
            elif feature.aggregation is Aggregation.RATIO:
                yield path, one / other
            else:
                yield path, int(one == other)
        if feature.aggregation is Aggregation.SHARE and feature.where is None:
            counts = _shown(definition, features, Aggregation.COUNT, None, feature.where)
            for name in [n for n in counts if definition.feature(n).counted == feature.counted]:
                yield path, features[name] / score["clicks"]


def _outcome(definition: ShopDefinition, features: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the last click decides, where the features tell what it carried."""
    last = {one.field: features[one.name] for one in _of_the_last_click(definition)}
    goal = definition.goal
    needed = {part.path[0] for part in parts_of(goal.when.expression) if isinstance(part, Name)}
    if needed <= last.keys():
        yield "outcome.converted", holds(goal.when.expression, lambda row, path: row[path[0]])(last)
    if goal.value in last:
        yield "outcome.revenue", last[goal.value]


def _bounds(
    definition: ShopDefinition, feature: Feature, features: Mapping[str, Any], in_order: int
) -> tuple[float, float] | None:
    """From where to where a feature can lie, given others of the same clicks; None: anywhere."""

    def other(aggregation: Aggregation) -> Any:
        names = _shown(definition, features, aggregation, feature.field, feature.where)
        return features[names[0]] if names else None

    least, most = other(Aggregation.MIN), other(Aggregation.MAX)
    match feature.aggregation:
        case Aggregation.MEAN | Aggregation.FIRST | Aggregation.LAST if (
            least is not None and most is not None
        ):
            return least, most
        case Aggregation.STD if least is not None and most is not None:
            return 0.0, (most - least) / 2
        case Aggregation.ENTROPY if (kinds := other(Aggregation.DISTINCT)) is not None:
            return 0.0, math.log2(max(1, kinds))
        case Aggregation.CHANGES:
            return 0, max(0, in_order - 1)
    return None


def _type_of(definition: ShopDefinition, feature: Feature) -> tuple[type, ...]:
    kind = ValueKind.number
    if feature.aggregation in (Aggregation.FIRST, Aggregation.LAST):
        kind = KINDS[definition.field(feature.field or "").type]
    return {ValueKind.number: (int, float), ValueKind.text: (str,), ValueKind.truth: (bool,)}[kind]


def _of_the_last_click(definition: ShopDefinition) -> list[Feature]:
    """The shown features that are what the last click carried, whatever came before."""
    return [
        feature
        for feature in definition.features
        if feature.aggregation is Aggregation.LAST
        and feature.in_scores
        and feature.where is None
        and not definition.field(feature.field or "").optional
    ]


def _shown(
    definition: ShopDefinition, features: Mapping[str, Any], aggregation: Aggregation, field: Any, where: Any
) -> list[str]:
    """The names of features of one kind, over one field and the same clicks."""
    return [
        one.name
        for one in definition.features
        if (one.aggregation, one.field, one.where) == (aggregation, field, where) and one.name in features
    ]


def _at(content: Mapping[str, Any], path: str) -> Any:
    found: Any = content
    for name in path.split("."):
        found = found[name]
    return found
