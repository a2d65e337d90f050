"""What page *Live* says is missing, and what is at stake in an open session."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clickstream.dashboard.feed import FeedSnapshot, GroupTotals
from clickstream.dashboard.missing import missing
from clickstream.dashboard.open_feed import OpenSnapshot, at_stake
from clickstream.features.shop import UCI553, Shop, shop_of
from clickstream.features.shop_file import built_in
from clickstream.infra.errors import ClickstreamError, UnavailableError
from clickstream.infra.kafka import MissingError
from clickstream.infra.settings import Settings
from clickstream.operate.summary import Summary

FLOWING = FeedSnapshot(
    shop=UCI553,
    state="following",
    problem=None,
    where="scores at here:9092",
    silent_s=1.0,
    quiet_s=1.0,
    live=10,
    rate=1.0,
    history=(),
    delay_ms=(1, 2),
    group=GroupTotals(open_sessions=3, lag=0, dead_letters=0, written=100, consumers=2),
    last=(),
    window=Summary(),
    rolling=None,
    since_start=None,
    alarms=(),
    others={},
)
EMPTY = GroupTotals(open_sessions=None, lag=1_200, dead_letters=0, written=1_200, consumers=0)
UNWRITTEN = GroupTotals(open_sessions=0, lag=0, dead_letters=0, written=0, consumers=1)
AWAY = UnavailableError("Kafka at here:9092 does not answer", "Is it running?")
NO_TOPIC = MissingError("there is no topic 'scores' at here:9092", "Check the name.")
NO_REDIS = UnavailableError("Redis at here:6379 does not answer", "Is it running?")


@pytest.mark.parametrize(
    ("changed", "redis", "said"),
    [
        ({}, None, []),
        ({"group": EMPTY}, None, ["no consumer: group mine is empty, and 1,200 records wait"]),
        ({"group": UNWRITTEN}, None, ["no clicks: topic clicks is empty"]),
        ({"quiet_s": 40.4}, None, ["no clicks for 40 s on topic clicks"]),
        ({}, NO_REDIS, ["open sessions cannot be seen: Redis at here:6379 does not answer"]),
        ({"state": "away", "problem": NO_TOPIC}, None, ["no topic: there is no topic 'scores' at here:9092"]),
        ({"state": "away", "problem": AWAY}, NO_REDIS, ["Kafka at here:9092 does not answer"]),
        (
            {"group": EMPTY, "quiet_s": 20.0},
            None,
            [
                "no consumer: group mine is empty, and 1,200 records wait",
                "no clicks for 20 s on topic clicks",
            ],
        ),
    ],
)
def test_what_keeps_scores_from_arriving_is_said_with_what_to_do(
    changed: dict[str, Any], redis: ClickstreamError | None, said: list[str]
) -> None:
    found = list(missing(replace(FLOWING, **changed), OpenSnapshot(problem=redis), Settings(group="mine")))
    assert [one.what for one in found] == said
    assert all(one.remedy for one in found)


def view(converted_at: int | None = None, revenue: float | None = 8.0) -> dict[str, Any]:
    batch = {"conversion": 0.25, "revenue": revenue, "cluster": 0, "cluster_name": "few clicks"}
    return {"predictions": {"batch": batch}, "converted_at": converted_at}


@pytest.mark.parametrize(
    ("shop", "found", "stake"),
    [
        # The expected revenue of such a shop has the chance in it.
        (shop_of(built_in("synthetic")), view(), 8.0),
        # That of a rule over the last click is what the click is worth, whether or not it meets the rule.
        (UCI553, view(), 2.0),
        (shop_of(built_in("synthetic")), view(converted_at=5), None),
        (shop_of(built_in("online-store")), view(revenue=None), None),
        (UCI553, {"predictions": None, "converted_at": None}, None),
    ],
)
def test_at_stake_is_what_may_still_be_won(shop: Shop, found: dict[str, Any], stake: float | None) -> None:
    assert at_stake(found, "batch", shop) == stake
