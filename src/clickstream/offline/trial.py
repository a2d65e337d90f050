"""A trial of a definition on some clicks, before anything runs with it: its features, and its goal.

Sessions are taken whole, by their id: the rules of time belong to the stream.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from clickstream.features.definition import ShopDefinition
from clickstream.features.goal import course_of
from clickstream.features.shop import Shop, shop_of
from clickstream.records.click import Click
from clickstream.records.shop_click import click_model

MOST_CLICKS = 200_000
_FIRST = 5


@dataclass(frozen=True, slots=True)
class FeatureRange:
    """What a feature was over the sessions: how often null, how many different values, and the extremes."""

    nulls: int
    distinct: int
    least: Any
    most: Any


@dataclass(slots=True)
class ShopTrial:
    """What came of it. `refused`: line number -> why, of the first lines that are no click of this shop."""

    clicks: int = 0
    sessions: int = 0
    converted: int = 0
    revenue: float = 0.0
    refused: int = 0
    first_refused: dict[int, str] = field(default_factory=dict)
    first_rows: list[dict[str, Any]] = field(default_factory=list)
    ranges: dict[str, FeatureRange] = field(default_factory=dict)

    @property
    def share_converted(self) -> float | None:
        """Of all sessions; None where there are none."""
        return self.converted / self.sessions if self.sessions else None


def try_definition(definition: ShopDefinition, lines: Iterable[bytes]) -> ShopTrial:
    """The features and goals of the sessions in `lines`, of which each is a click as it lies on the topic.

    The first 200,000 clicks are taken.
    """
    model, shop = click_model(definition), shop_of(definition)
    trial = ShopTrial()
    sessions: dict[str, list[Click]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            click = model.model_validate_json(line)
        except ValidationError as error:
            trial.refused += 1
            if len(trial.first_refused) < _FIRST:
                problem = error.errors(include_url=False, include_context=False)[0]
                where = ".".join(map(str, problem["loc"])) or "the line"
                trial.first_refused[number] = f"{where}: {problem['msg']}"
            continue
        sessions[click.session_id].append(click)
        trial.clicks += 1
        if trial.clicks == MOST_CLICKS:
            break
    for clicks in sessions.values():
        clicks.sort(key=lambda click: (click.event_time, click.order or 0))
    steps = {session_id: [shop.step_of(click) for click in clicks] for session_id, clicks in sessions.items()}
    _take(trial, shop, steps)
    return trial


def try_sessions(definition: ShopDefinition, sessions: Mapping[str, Sequence[Any]]) -> ShopTrial:
    """The features and goals of sessions: their clicks in order, as the fold of the shop takes them."""
    trial = ShopTrial(clicks=sum(map(len, sessions.values())))
    _take(trial, shop_of(definition), sessions)
    return trial


def _take(trial: ShopTrial, shop: Shop, sessions: Mapping[str, Sequence[Any]]) -> None:
    values: dict[str, list[Any]] = {feature.name: [] for feature in shop.definition.features}
    course = course_of(shop.definition)
    for session_id, steps in sessions.items():
        aggregate = shop.aggregate()
        for step in steps:
            aggregate.add(step)
        found, became = aggregate.features(), course(steps)
        for name, value in found.items():
            values[name].append(value)
        trial.sessions += 1
        trial.converted += became.converted
        trial.revenue += became.revenue or 0.0
        if len(trial.first_rows) < _FIRST:
            trial.first_rows.append({"session_id": session_id, **found, "converted": became.converted})
    trial.ranges = {name: _range(of) for name, of in values.items()}


def _range(values: list[Any]) -> FeatureRange:
    known = [value for value in values if value is not None]
    return FeatureRange(
        len(values) - len(known),
        len(set(known)),
        min(known, default=None),
        max(known, default=None),
    )
