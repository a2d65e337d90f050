"""Sessions as Arrow: the columns of a Score under their names, without what only a stream can say."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from clickstream.bundles.bundle import Bundle
from clickstream.features.definition import Feature
from clickstream.features.shop import Shop
from clickstream.files.history.buckets import schema_of
from clickstream.history.clicks import step_names
from clickstream.offline.sessions import type_of

_KINDS: dict[type, Any] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}

PREDICTION = pa.struct(
    [
        ("conversion", pa.float64()),
        ("revenue", pa.float64()),
        ("cluster", pa.int64()),
        ("cluster_name", pa.string()),
    ]
)
"""What one scorer says of a session."""


CLICKS = "clicks_in_order"
"""The column of the clicks of a session."""


def session_schema(shop: Shop, bundle: Bundle | None, with_clicks: bool = False) -> pa.Schema:
    """The columns of folded sessions; those of predictions only where there is a bundle to ask.

    With clicks there is one of them, too: the distinct clicks in order, with what the shop's features and
    goal look at.

    They are those of a Score, and `evidence_features`: what the predictions of a closed session may look at,
    null where there is nothing. Times are ms since the epoch. Of the scorers those that are fitted are here:
    online models learn in the order of a stream, and are no part.
    """
    features = shop.definition.features
    columns = [
        ("score_id", pa.string()),
        ("session_id", pa.string()),
        ("opened_at", pa.int64()),
        ("last_click_at", pa.int64()),
        ("closed_by", pa.string()),
        ("clicks", pa.int64()),
        ("duplicates", pa.int64()),
        ("missing", pa.int64()),
        ("features", _struct(shop, [one for one in features if one.in_scores])),
        ("evidence", pa.int64()),
        ("evidence_features", _struct(shop, features)),
        (
            "outcome",
            pa.struct(
                [
                    ("converted", pa.bool_()),
                    ("revenue", pa.float64()),
                    ("source", pa.string()),
                    ("at", pa.int64()),
                ]
            ),
        ),
    ]
    if with_clicks:
        columns.append((CLICKS, clicks_type(shop)))
    if bundle is not None:
        columns.append(("predictions", pa.struct([(name, PREDICTION) for name in bundle.fitted])))
        if shop.is_event_goal:
            said = pa.struct([("batch", PREDICTION)])
            columns.append(("drawn", pa.struct([("clicks", pa.int64()), ("predictions", said)])))
        columns.append(("error", pa.string()))
    return pa.schema(columns)


def clicks_type(shop: Shop) -> pa.ListType:
    """Of the column of clicks."""
    clicks = schema_of(shop.definition)
    return pa.list_(pa.struct([clicks.field(name) for name in step_names(shop)]))


def _struct(shop: Shop, features: list[Feature] | tuple[Feature, ...]) -> Any:
    return pa.struct([(one.name, _KINDS[type_of(shop, one)]) for one in features])
