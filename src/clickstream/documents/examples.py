"""One record of each kind, as an example: a visit of three clicks, folded and closed by the code."""

from __future__ import annotations

import base64
from itertools import cycle
from math import ceil
from typing import Any

import orjson

from clickstream.consumer.open_scores import open_facts
from clickstream.features.definition import Field, FieldType
from clickstream.features.shop import UCI553, Shop
from clickstream.features.shop_file import UCI553_NAME
from clickstream.infra.settings import Settings
from clickstream.models.scorers import scorers_of
from clickstream.records.click import Click, Heartbeat, InvalidRecordError
from clickstream.records.score import (
    DeadLetter,
    DrawnPoint,
    Models,
    OpenPredictions,
    OpenScore,
    Prediction,
    Predictions,
    Score,
    ScoredOutcome,
    ScoredShop,
    Source,
)
from clickstream.records.scorers import SCORERS
from clickstream.records.shop_click import parser_of
from clickstream.records.shops import load_shop
from clickstream.windows.fingerprint import fingerprint, rules_of
from clickstream.windows.open_points import OpenPoint
from clickstream.windows.partition import Partition
from clickstream.windows.so_far import so_far

_ANSWERS = ((0.59, 44.21), (0.61, 43.87), (0.99, 51.3))
_START = 1_218_679_933_268
_SEEN: tuple[dict[str, Any], ...] = (
    {"product": "A7", "category": "trousers", "price": 28, "price_2": 2, "page": 1},
    {"product": "A13", "category": "trousers", "price": 52, "price_2": 1, "page": 2},
    {"product": "B4", "category": "skirts", "price": 61, "price_2": 1, "page": 1},
)


def record_examples(named: str = UCI553_NAME) -> dict[str, dict[str, Any]]:
    """One record of each kind as it travels, by the name of the kind; `named` is the name or file of a shop.

    Raises:
        ConfigurationError: the shop cannot be used.
    """
    shop = load_shop(named)
    heartbeat = {"type": "heartbeat", "event_time": _START + 2_000_000}
    return {
        "click": _click(shop, 1),
        "heartbeat": heartbeat,
        "forget": {"type": "forget", "session_id": "16249"},
        "score": _score(named, heartbeat),
        "open-score": _open_score(named).model_dump(),
        "dead-letter": _dead_letter(shop).model_dump(),
    }


def _click(shop: Shop, order: int) -> dict[str, Any]:
    when = {"session_id": "16249", "event_time": _START + order * 40_000, "order": order}
    seen = _SEEN[order - 1] if shop is UCI553 else {f.name: _value(f) for f in shop.definition.fields}
    return {"type": "click"} | when | seen


def _value(field: Field) -> str | bool | float:
    """One that the field may hold."""
    low, high = field.at_least, field.at_most
    match field.type:
        case FieldType.TEXT:
            return field.name[: int(high or 0)].ljust(int(low or 0), "-")
        case FieldType.BOOLEAN:
            return True
    value = max(1.0, low) if low is not None else 1.0
    value = min(value, high) if high is not None else value
    return ceil(value) if field.type is FieldType.INTEGER else value


def _score(named: str, heartbeat: dict[str, Any]) -> dict[str, Any]:
    """Of the three clicks. What the models say is made up; what the session is, is not."""
    shop, settings = load_shop(named), _defaults(named)
    partition = Partition(rules_of(settings))
    parser = parser_of(shop.definition)
    clicks = [parser.click_of(_click(shop, order)) for order in (1, 2, 3)]
    records: list[Click | Heartbeat] = [*clicks, Heartbeat(**heartbeat)]
    for offset, record in enumerate(records):
        partition.advance(offset, record.event_time, record)
    (closed,) = partition.closed
    window = closed.session
    drawn = window.drawn
    score = Score(
        score_id=f"{closed.session_id}/{window.opened_at}",
        session_id=closed.session_id,
        opened_at=window.opened_at,
        last_click_at=clicks[-1].event_time,
        closed_by=closed.closed_by,
        clicks=window.clicks,
        duplicates=window.duplicates,
        late=window.late,
        missing=window.missing,
        features=shop.features(window),
        predictions=Predictions.model_validate(
            {
                name: _prediction(shop, conversion, revenue) if name in scorers_of(shop) else None
                for name, (conversion, revenue) in zip(SCORERS, cycle(_ANSWERS), strict=False)
            }
        ),
        evidence=window.evidence,
        drawn=drawn and DrawnPoint(clicks=drawn.clicks, predictions=_open_predictions(shop)),
        outcome=ScoredOutcome(**shop.outcome(window).as_dict()),
        models=Models(
            bundle="20261124T024349Z-c9b48c2f",
            feature_sets=shop.feature_sets,
            lessons=2_962,
        ),
        shop=ScoredShop(**shop.as_dict()),
        settings=fingerprint(settings),
        source=Source(
            topic=settings.clicks_topic,
            partition=3,
            first_offset=0,
            last_offset=2,
            closing_offset=closed.offset,
        ),
        time_source=None,
        scored_at=_START + 2_000_500,
        error=None,
    )
    return score.model_dump(exclude=None if shop.is_event_goal else {"drawn"})


def _open_score(named: str) -> OpenScore:
    """At the second of the three clicks."""
    shop, settings = load_shop(named), _defaults(named)
    rules = rules_of(settings)
    partition = Partition(rules)
    clicks = [parser_of(shop.definition).click_of(_click(shop, order)) for order in (1, 2)]
    for offset, click in enumerate(clicks):
        partition.advance(offset, click.event_time, click)
    ((session_id, state),) = partition.sessions.items()
    session = so_far(session_id, state, rules).session
    point = OpenPoint(session_id, session, session.last.event_time, None, 1, False, state)
    return OpenScore.model_validate(
        open_facts(shop, point, settings.clicks_topic, 3, fingerprint(settings))
        | {
            "conditions": ("leaving",),
            "predictions": _open_predictions(shop),
            "models": {"bundle": "20261124T024349Z-c9b48c2f", "lessons": 2_962},
            "error": None,
        }
    )


def _open_predictions(shop: Shop) -> OpenPredictions:
    return OpenPredictions(batch=_prediction(shop, 0.18, 11.2), online=_prediction(shop, 0.21, 12.7))


def _prediction(shop: Shop, conversion: float, revenue: float) -> Prediction:
    worth = revenue if shop.definition.goal.value is not None else None
    name = "short_premium" if shop is UCI553 else "few clicks"
    return Prediction(conversion=conversion, revenue=worth, cluster=2, cluster_name=name)


def _dead_letter(shop: Shop) -> DeadLetter:
    """A click whose order is a text."""
    value = orjson.dumps(_click(shop, 3) | {"order": "3"})
    key = b"16249"
    try:
        parser_of(shop.definition).parse(value, key)
    except InvalidRecordError as error:
        return DeadLetter(
            reason=error.reason,
            detail=error.detail,
            topic=_defaults(UCI553_NAME).clicks_topic,
            partition=3,
            offset=2,
            key=base64.b64encode(key).decode(),
            value=base64.b64encode(value).decode(),
            size=len(value),
        )
    raise ValueError("the example of a refused record was taken")


def _defaults(shop: str) -> Settings:
    """The settings of no environment, but the shop."""
    return Settings.model_construct(shop=shop)
