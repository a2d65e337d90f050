"""Open scores: when one is due, and what it says.

Setting `open_scores` asks for one at each click, or at some numbers of clicks; `open_conditions` for one when
a condition begins to hold, once a session. A late click, a copy and a refused record bring none; nor does the
click that meets a goal that is an event, and those after it: what the models foretell has happened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from clickstream.features.condition import ConditionError, Name, ValueKind, holds, parse_expression
from clickstream.features.shop import Shop
from clickstream.infra.errors import ConfigurationError
from clickstream.infra.settings import Settings
from clickstream.models.case import Case
from clickstream.models.online import OnlineModels
from clickstream.records.score import SCHEMA_VERSION
from clickstream.windows.fingerprint import fingerprint, rules_of
from clickstream.windows.open_points import OpenPoint

OPEN_SCORERS = ("batch", "online")
"""Those asked about an open session: the reference sees the click that decides, and there is none yet."""

_ANSWERS = {"conversion": ValueKind.number, "revenue": ValueKind.number, "cluster": ValueKind.text}

_NAME = r"[a-z][a-z0-9_-]{0,63}"

OpenCondition = Callable[[Mapping[str, Any]], bool]
"""Whether it holds for `clicks`, `predictions` and `features` of a session."""

Predictions = Mapping[str, Mapping[str, Any] | None]


class UnscoredPoint(NamedTuple):
    """A session at a click, the partition it comes from, and that partition's online models."""

    partition: int
    point: OpenPoint
    case: Case
    online: OnlineModels
    publish: bool = True


@dataclass(frozen=True, slots=True)
class OpenTrigger:
    """When an open score is due: at which numbers of clicks, at `each`, and by which conditions."""

    each: bool
    numbers: frozenset[int]
    conditions: Mapping[str, OpenCondition]

    def counts(self, clicks: int) -> bool:
        """Whether one is due for the number of clicks alone."""
        return self.each or clicks in self.numbers

    def fires(self, point: OpenPoint, features: Mapping[str, Any], predictions: Predictions) -> list[str]:
        """The conditions that begin to hold; notes them, so that each does so once a session.

        Of a session that may have lost clicks nothing is known for sure, and none holds.
        """
        begun: list[str] = []
        if point.partial:
            return begun
        row = {"clicks": point.session.clicks, "features": features, "predictions": predictions}
        fired = point.state.fired
        for name, condition in self.conditions.items():
            # What held with a click of an earlier visit of the session id counts no more.
            if fired.get(name, -1) < point.session.opened_at and condition(row):
                fired[name] = point.event_time
                begun.append(name)
        return begun


def trigger_of(settings: Settings, shop: Shop) -> OpenTrigger:
    """What the settings ask for.

    Raises:
        ConfigurationError: a condition cannot be read; says which, and where.
    """
    asked = settings.open_scores
    numbers = frozenset() if asked in ("off", "each") else frozenset(map(int, asked.split(",")))
    return OpenTrigger(asked == "each", numbers, _conditions(settings.open_conditions, shop))


class OpenScores:
    """Open scores of one group's partitions, as JSON values."""

    def __init__(self, settings: Settings) -> None:
        rules = rules_of(settings)
        self.shop = rules.shop
        self.trigger = trigger_of(settings, self.shop)
        self._topic = settings.clicks_topic
        self._settings = fingerprint(settings)

    def unscored(
        self, partition: int, point: OpenPoint, online: OnlineModels, publish: bool
    ) -> UnscoredPoint | None:
        """The case to ask the models about; None where no answer could matter.

        A point that is not published, as it was before, still matters to conditions: what has held is state.
        """
        trigger = self.trigger
        if not (trigger.conditions or (publish and trigger.counts(point.session.clicks))):
            return None
        return UnscoredPoint(partition, point, case_at(self.shop, point), online, publish)

    def score(
        self, unscored: UnscoredPoint, predictions: Predictions, bundle: str, error: str | None
    ) -> dict[str, Any] | None:
        """The open score; None where none is due."""
        point, trigger = unscored.point, self.trigger
        begun = trigger.fires(point, unscored.case.whole, predictions)
        if not (unscored.publish and (begun or trigger.counts(point.session.clicks))):
            return None
        return open_facts(self.shop, point, self._topic, unscored.partition, self._settings) | {
            "conditions": begun,
            "predictions": predictions,
            "models": {"bundle": bundle, "lessons": unscored.online.lessons},
            "error": error,
        }


def case_at(shop: Shop, point: OpenPoint) -> Case:
    """The case that the models are asked about: of an open session all clicks are evidence."""
    whole = shop.whole(point.session)
    return Case(whole, whole)


def open_facts(shop: Shop, point: OpenPoint, topic: str, partition: int, settings: str) -> dict[str, Any]:
    """The fields of an open score that the log and the settings decide."""
    session = point.session
    return {
        "schema_version": SCHEMA_VERSION,
        "open_score_id": point.open_score_id,
        "session_id": point.session_id,
        "opened_at": session.opened_at,
        "event_time": point.event_time,
        "clicks": session.clicks,
        "shop": shop.as_dict(),
        "settings": settings,
        "source": {"topic": topic, "partition": partition, "offset": point.offset},
        "time_source": point.time_source,
    }


def _conditions(text: str, shop: Shop) -> dict[str, OpenCondition]:
    found: dict[str, OpenCondition] = {}
    for entry in re.split(rf";\s*(?={_NAME}\s*:|$)", text.strip()):
        if not entry:
            continue
        name, colon, expression = (part.strip() for part in entry.partition(":"))
        if not (colon and re.fullmatch(_NAME, name)) or name in found:
            raise ConfigurationError(
                f"CLICKSTREAM_OPEN_CONDITIONS: {entry[:80]!r} has no name of its own and a colon before it",
                "Write `leaving: conversion < 0.2 and clicks >= 3; likely: conversion > 0.5`.",
            )
        try:
            found[name] = holds(parse_expression(expression, lambda one: _field(one, shop)), _value_at)
        except ConditionError as error:
            raise ConfigurationError(
                f"CLICKSTREAM_OPEN_CONDITIONS: {name}: {error.what}", error.remedy
            ) from None
    return found


def _field(name: str, shop: Shop) -> Name:
    """What a name in a condition means: `clicks`, an answer of `batch` or of the scorer named, a feature."""
    definition = shop.definition
    *of, last = name.removeprefix("predictions.").split(".")
    scorer = of[0] if of else OPEN_SCORERS[0]
    if name == "clicks":
        return Name(("clicks",), ValueKind.number, nullable=False)
    absent = {"revenue"} if definition.goal.value is None else set()
    if len(of) < 2 and scorer in OPEN_SCORERS and last in _ANSWERS.keys() - absent:
        field = "cluster_name" if last == "cluster" else last
        return Name(("predictions", scorer, field), _ANSWERS[last])
    feature = name.removeprefix("features.")
    kinds = {one.name: definition.kind(one) for one in definition.features}
    if feature in kinds:
        return Name(("features", feature), kinds[feature])
    raise ConditionError(
        f"an open session of shop {definition.name} has no field `{name}`",
        f"It has: clicks, {', '.join(sorted(_ANSWERS.keys() - absent))},"
        " the same of a scorer as online.conversion,"
        f" {', '.join(kinds)}",
    )


def _value_at(row: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = row
    for part in path:
        value = None if value is None else value[part]
    return value
