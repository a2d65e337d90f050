"""Leaks through the stream: what only happens after the goal changes no answer, and teaches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from clickstream.bundles.bundle import Bundle
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.producer.synthetic_shop import known_sessions
from clickstream.records.click import Heartbeat
from clickstream.records.shop_click import parser_of
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules

SESSIONS = 300


def clicks_of(sessions: Mapping[str, Sequence[Any]], planted: bool) -> list[dict[str, Any]]:
    """As they travel. `planted`: a page of thanks a millisecond after each purchase; else none at all."""
    found = []
    for session_id, clicks in sessions.items():
        shown: list[dict[str, Any]] = []
        for click in clicks:
            if click.event == "thank_you":
                continue
            values = {"visitor": click.visitor, "price": click.price, "event": click.event}
            shown.append({"event_time": click.event_time, **values})
            if planted and click.event == "purchase":
                shown.append({"event_time": click.event_time + 1, **values, "event": "thank_you"})
        found += [{"session_id": session_id, "order": n, **one} for n, one in enumerate(shown, 1)]
    return sorted(found, key=lambda one: (one["event_time"], one["session_id"], one["order"]))


def scored(bundle: Bundle, shop: ShopDefinition, clicks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The scores of a stream of these clicks by session id; the online models learn from each."""
    partition = Partition(Rules(shop=shop_of(shop)))
    parser, online = parser_of(shop), bundle.online()
    for offset, fields in enumerate(clicks):
        partition.advance(offset, fields["event_time"], parser.click_of(fields))
    end = clicks[-1]["event_time"] + 86_400_000
    partition.advance(len(clicks), end, Heartbeat(event_time=end, flush=True))
    assert not partition.refused
    scorer = WindowScorer(bundle, "clicks", "", shop_of(shop))
    windows = [UnscoredWindow(0, closed, online) for closed in partition.closed]
    scores = [orjson.loads(score) for score in scorer.score(windows) if score is not None]
    assert len(scores) == len(partition.closed) >= SESSIONS
    return {score["score_id"]: score for score in scores}


def test_a_page_that_only_buyers_see_changes_no_prediction(bundle: Bundle, shop: ShopDefinition) -> None:
    """Of either scorer; online has learned from all sessions before. Clusters see whole sessions."""
    sessions = known_sessions(SESSIONS, seed=11).sessions
    without, planted = (scored(bundle, shop, clicks_of(sessions, one)) for one in (False, True))
    assert without.keys() == planted.keys()
    bought = [name for name, score in planted.items() if score["outcome"]["converted"]]
    assert len(bought) > 20
    assert all(planted[name]["features"]["thanks"] > 0 for name in bought)
    for name, score in planted.items():
        other = without[name]
        assert (score["evidence"], score["outcome"]) == (other["evidence"], other["outcome"])
        for scorer in ("batch", "online"):
            for answer in ("conversion", "revenue"):
                assert score["predictions"][scorer][answer] == other["predictions"][scorer][answer]
