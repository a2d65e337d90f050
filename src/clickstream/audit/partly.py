"""A score that was rebuilt partly: what it says against the window that the whole log makes.

Its first clicks lie before the place from which lost state was rebuilt, so most of it is not known. But it
ends as its window does, holds no more than that, and its fields agree with one another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from clickstream.audit.expected import Facts, rule_of
from clickstream.audit.report import Difference

_PART = "a window that was rebuilt partly holds a part of the clicks"
_ITSELF = "the fields of a score agree with one another"

_AS_THE_WINDOW = (
    "last_click_at",
    "closed_by",
    "time_source",
    "settings",
    "outcome.converted",
    "outcome.revenue",
    "features.last_price",
    "features.last_price_2",
    "features.last_page",
    "features.last_category",
    "source.topic",
    "source.partition",
    "source.closing_offset",
)
_AT_MOST = (
    "clicks",
    "late",
    "duplicates",
    "evidence",
    "features.n_unique_models",
    "features.n_unique_categories",
    "features.max_price",
    "features.num_high_price_views",
    "features.last_order",
    "features.navigation_depth",
    "source.last_offset",
)
_AT_LEAST = ("opened_at", "features.min_price", "source.first_offset")


def problems(score: Mapping[str, Any], window: Facts) -> tuple[Difference, ...]:
    """What cannot be true of a score, given the window that closes with the same record.

    Where `max_clicks` or the bound on open sessions has cut one of the two, both may begin and end elsewhere:
    then only the fields of the score itself are compared.
    """
    found = list(_within(score))
    if "limit" not in (score["closed_by"], window["closed_by"]):
        found += (
            Difference(path, wanted, there, rule_of(path))
            for path in _AS_THE_WINDOW
            if (there := _at(score, path)) != (wanted := _at(window, path))
        )
        if score["opened_at"] >= window["opened_at"]:
            found += _part_of(score, window)
    return tuple(found)


def _part_of(score: Mapping[str, Any], window: Facts) -> Iterator[Difference]:
    published, there = (one["clicks"] + one["duplicates"] for one in (score, window))
    if published > there:
        yield Difference("clicks", f"with duplicates at most {there}", published, _PART)
    if score["missing"] + score["clicks"] > window["missing"] + window["clicks"]:
        span = window["missing"] + window["clicks"]
        yield Difference("missing", f"with clicks at most {span}", score["missing"] + score["clicks"], _PART)
    if window["duplicates"]:
        return  # a copy may have taken the place of a click that is not known
    for path in _AT_MOST:
        if _at(score, path) > (bound := _at(window, path)):
            yield Difference(path, f"at most {bound}", _at(score, path), _PART)
    for path in _AT_LEAST:
        if _at(score, path) < (bound := _at(window, path)):
            yield Difference(path, f"at least {bound}", _at(score, path), _PART)


def _within(score: Mapping[str, Any]) -> Iterator[Difference]:
    """What contradicts itself."""
    features, clicks = score["features"], score["clicks"]
    if missing := [path.partition(".")[2] for path in (*_AS_THE_WINDOW, *_AT_MOST) if not _has(score, path)]:
        yield Difference("features", f"with {missing[0]}", sorted(features), _ITSELF)
        return
    wanted = {
        "evidence": clicks - 1 - score["late"],
        "features.session_length": clicks,
        "features.pct_price2_views": features["num_high_price_views"] / clicks,
        "features.models_per_click": features["n_unique_models"] / clicks,
        "features.first_eq_last_category": int(features["first_category"] == features["last_category"]),
        "outcome.converted": features["last_price_2"] == 1 or features["last_page"] >= 4,
        "outcome.revenue": features["last_price"],
    }
    for path, value in wanted.items():
        there = _at(score, path)
        if there != value and not (isinstance(value, float) and math.isclose(there, value)):
            yield Difference(path, value, there, _ITSELF)
    source = score["source"]
    offsets = [source[name] for name in ("first_offset", "last_offset", "closing_offset")]
    if offsets != sorted(offsets):
        yield Difference("source", "first_offset <= last_offset <= closing_offset", source, _ITSELF)
    low, high = features["min_price"], features["max_price"]
    slack = 1e-9 * max(1.0, high)
    for name, bounds in {
        "mean_price": (low, high),
        "last_price": (low, high),
        "std_price": (0.0, (high - low) / 2),
        "category_entropy": (0.0, math.log2(max(1, features["n_unique_categories"]))),
        "category_transitions": (0, max(0, score["evidence"])),
    }.items():
        if not bounds[0] - slack <= features[name] <= bounds[1] + slack:
            yield Difference(f"features.{name}", f"from {bounds[0]} to {bounds[1]}", features[name], _ITSELF)


def _has(score: Mapping[str, Any], path: str) -> bool:
    parent, _, name = path.rpartition(".")
    return not parent or name in score[parent]


def _at(content: Mapping[str, Any], path: str) -> Any:
    found: Any = content
    for name in path.split("."):
        found = found[name]
    return found
