"""What the page *Live* takes from the scores topic, and what it leaves there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from clickstream.dashboard.arrived import score_reader
from clickstream.features.shop import UCI553, shop_of
from clickstream.features.shop_file import built_in
from clickstream.operate.summary import Summary
from clickstream.records.scorers import SCORERS

PREDICTION = {"conversion": 0.5, "revenue": 40.0, "cluster": 1, "cluster_name": "exploratory"}
SCORE: dict[str, Any] = {
    "score_id": "7/1",
    "session_id": "7",
    "clicks": 3,
    "closed_by": "gap",
    "features": {"session_length": 3},
    "predictions": dict.fromkeys(SCORERS, PREDICTION),
    "outcome": {"converted": True, "revenue": 48.0, "source": "proxy", "at": None},
    "shop": UCI553.as_dict(),
    "scored_at": 1_795_476_857_106,
    "error": None,
}
arrived = score_reader(UCI553)
NOTHING_SAID = dict.fromkeys(SCORERS)


def test_a_score_is_taken_with_what_the_page_shows_and_no_more() -> None:
    taken = arrived(orjson.dumps(SCORE))
    assert isinstance(taken, dict)
    assert "features" not in taken
    summary = Summary()
    summary.add(taken, SCORE["scored_at"] + 5)
    assert summary.mean_conversion("online") == 0.5
    assert summary.delays_ms == [5]


def test_a_score_without_predictions_is_taken_where_it_says_why() -> None:
    assert arrived(orjson.dumps(SCORE | {"predictions": NOTHING_SAID, "error": "rebuilt-partly"})) is not None
    assert arrived(orjson.dumps(SCORE | {"predictions": NOTHING_SAID})) is None


@pytest.mark.parametrize(
    "change",
    [
        {"scored_at": "yesterday"},
        {"scored_at": 10**18},
        {"scored_at": -1},
        {"outcome": None},
        {"predictions": {}},
        {"predictions": dict.fromkeys(SCORERS, PREDICTION | {"conversion": 2})},
        {"predictions": dict.fromkeys(SCORERS, PREDICTION | {"revenue": 1e300})},
        {"session_id": "x" * 1_000_000},
        {"clicks": 1.5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_cannot_be_a_score_is_left_out(change: dict[str, Any]) -> None:
    assert arrived(orjson.dumps(SCORE | change)) is None


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"[1]", b"null", b"{}", b'{"scored_at": NaN}'])
def test_neither_is_what_is_no_json_or_another_record(value: bytes | None) -> None:
    assert arrived(value) is None


def test_a_score_of_another_shop_is_named_and_no_more() -> None:
    other = {"name": "corner-shop", "hash": "0123456789abcdef"}
    assert arrived(orjson.dumps(SCORE | {"shop": other})) == "corner-shop/0123456789abcdef"


def test_where_a_conversion_has_no_value_a_score_says_nothing_of_revenue() -> None:
    shop = shop_of(built_in("online-store"))
    said = PREDICTION | {"revenue": None}
    score = SCORE | {
        "shop": shop.as_dict(),
        "predictions": {"batch": said, "online": said, "reference": None},
        "outcome": {"converted": False, "revenue": None},
    }
    taken = score_reader(shop)(orjson.dumps(score))
    assert isinstance(taken, dict)
    summary = Summary()
    summary.add(taken, SCORE["scored_at"])
    assert summary.mean_conversion("batch") == 0.5
    assert arrived(orjson.dumps(score | {"shop": UCI553.as_dict()})) is None
