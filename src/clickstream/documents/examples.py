"""One record of each kind, as an example: a visit of three clicks, folded and closed by the code."""

from __future__ import annotations

import base64
from itertools import cycle
from typing import Any

import orjson

from clickstream.features.shop import UCI553
from clickstream.infra.settings import Settings
from clickstream.records.click import Click, Heartbeat, InvalidRecordError
from clickstream.records.score import (
    DeadLetter,
    Models,
    Prediction,
    Predictions,
    Score,
    ScoredOutcome,
    ScoredShop,
    Source,
)
from clickstream.records.scorers import SCORERS
from clickstream.records.shop_click import parser_of
from clickstream.windows.fingerprint import fingerprint, rules_of
from clickstream.windows.partition import Partition

_ANSWERS = ((0.59, 44.21), (0.61, 43.87), (0.99, 51.3))
_PARSER = parser_of(UCI553.definition)
_START = 1_218_679_933_268
_SEEN: tuple[dict[str, Any], ...] = (
    {"product": "A7", "category": "trousers", "price": 28, "price_2": 2, "page": 1},
    {"product": "A13", "category": "trousers", "price": 52, "price_2": 1, "page": 2},
    {"product": "B4", "category": "skirts", "price": 61, "price_2": 1, "page": 1},
)


def record_examples() -> dict[str, dict[str, Any]]:
    """One record of each kind as it travels, by the name of the kind."""
    heartbeat = {"type": "heartbeat", "event_time": _START + 2_000_000}
    return {
        "click": _click(1),
        "heartbeat": heartbeat,
        "score": _score(heartbeat).model_dump(),
        "dead-letter": _dead_letter().model_dump(),
    }


def _click(order: int) -> dict[str, Any]:
    when = {"session_id": "16249", "event_time": _START + order * 40_000, "order": order}
    return {"type": "click"} | when | _SEEN[order - 1]


def _score(heartbeat: dict[str, Any]) -> Score:
    """Of the three clicks. What the models say is made up; what the session is, is not."""
    settings = _defaults()
    partition = Partition(rules_of(settings))
    clicks = [_PARSER.click_of(_click(order)) for order in (1, 2, 3)]
    records: list[Click | Heartbeat] = [*clicks, Heartbeat(**heartbeat)]
    for offset, record in enumerate(records):
        partition.advance(offset, record.event_time, record)
    (closed,) = partition.closed
    window = closed.session
    return Score(
        score_id=f"{closed.session_id}/{window.opened_at}",
        session_id=closed.session_id,
        opened_at=window.opened_at,
        last_click_at=clicks[-1].event_time,
        closed_by=closed.closed_by,
        clicks=window.clicks,
        duplicates=window.duplicates,
        late=window.late,
        missing=window.missing,
        features=UCI553.features(window),
        predictions=Predictions.model_validate(
            {
                name: Prediction(
                    conversion=conversion, revenue=revenue, cluster=2, cluster_name="short_premium"
                )
                for name, (conversion, revenue) in zip(SCORERS, cycle(_ANSWERS), strict=False)
            }
        ),
        evidence=window.evidence,
        outcome=ScoredOutcome(**UCI553.outcome(window)._asdict()),
        models=Models(
            bundle="20261124T024349Z-c9b48c2f",
            feature_sets=UCI553.feature_sets,
            lessons=2_962,
        ),
        shop=ScoredShop(**UCI553.as_dict()),
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


def _dead_letter() -> DeadLetter:
    """A click whose order is a text."""
    value = orjson.dumps(_click(3) | {"order": "3"})
    key = b"16249"
    try:
        _PARSER.parse(value, key)
    except InvalidRecordError as error:
        return DeadLetter(
            reason=error.reason,
            detail=error.detail,
            topic=_defaults().clicks_topic,
            partition=3,
            offset=2,
            key=base64.b64encode(key).decode(),
            value=base64.b64encode(value).decode(),
            size=len(value),
        )
    raise ValueError("the example of a refused record was taken")


def _defaults() -> Settings:
    """The settings of no environment."""
    return Settings.model_construct()
