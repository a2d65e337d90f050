"""Decision points as a table: features of the evidence, weights, and nothing of what comes later."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from clickstream.features import interpreter
from clickstream.features.definition import ShopDefinition
from clickstream.features.fold import compile_fold
from clickstream.infra.errors import InputError
from clickstream.models.shop.examples import FeatureTable, ShopWindow
from clickstream.training.shop import points as module
from clickstream.training.shop.points import Points, points_of, with_futures


def row(click: Any) -> dict[str, Any]:
    return {name: getattr(click, name) for name in click.__struct_fields__}


def equal(one: FeatureTable, other: FeatureTable) -> bool:
    return np.array_equal(one.values, other.values, equal_nan=True) and all(
        one.texts[name].tolist() == other.texts[name].tolist() for name in one.texts
    )


def before_the_purchase(windows: list[ShopWindow]) -> list[ShopWindow]:
    """Sessions that end with the purchase: the thank-you page was never shown."""
    return [
        ShopWindow(one.session_id, [click for click in one.clicks if click.event != "thank_you"])
        for one in windows
    ]


def test_the_features_at_a_point_are_those_of_the_clicks_seen(
    shop: ShopDefinition, windows: list[ShopWindow]
) -> None:
    some = windows[:60]
    points = points_of(shop, some)
    for place in range(len(points)):
        window = some[points.window[place]]
        seen = [row(click) for click in window.clicks[: points.seen[place]]]
        expected = interpreter.features(shop, interpreter.WindowClicks(seen))
        assert points.table.row(place) == pytest.approx(expected)
        assert all(click["event"] != "purchase" for click in seen)


def test_a_point_weighs_less_the_more_was_seen_and_a_session_one_on_the_average(
    shop: ShopDefinition, windows: list[ShopWindow]
) -> None:
    points = points_of(shop, windows, also=(1, 2, 5), most=3)
    assert points.weight.sum() == pytest.approx(len(windows))
    every = points_of(shop, windows)
    assert np.ptp(every.weight * every.seen) < 1e-12
    # A sample stands for all points of its session.
    stands_for = np.maximum(np.bincount(every.window)[points.window] / 3, 1.0)
    assert np.ptp((points.weight * points.seen / stands_for)[points.weight > 0]) < 1e-12
    assert max(Counter(points.weighing().window.tolist()).values()) == 3
    # Points that are asked for, and the last one, are there in any case.
    longest = {number: len(window.clicks) for number, window in enumerate(windows)}
    assert {1, 2, 5} <= set(points.seen.tolist())
    assert points.last.sum() == points.windows
    assert all(seen <= longest[number] for number, seen in zip(points.window, points.seen, strict=True))


def test_an_event_after_the_purchase_changes_no_training_example(
    shop: ShopDefinition, windows: list[ShopWindow]
) -> None:
    without = before_the_purchase(windows)
    assert sum(len(one.clicks) for one in without) < sum(len(one.clicks) for one in windows)
    one, other = points_of(shop, windows, also=(1,)), points_of(shop, without, also=(1,))
    assert equal(one.table, other.table)
    for name in ("window", "seen", "weight", "last", "converted", "revenue"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert not one.table.column("thanks").any()


def test_of_a_long_session_a_sample_is_taken(shop: ShopDefinition) -> None:
    step = compile_fold(shop).step
    clicks = [
        step(event_time=at, order=at + 1, event="search", visitor="new", price=None) for at in range(5_000)
    ]
    points = points_of(shop, [ShopWindow("robot", clicks)], also=(1, 2))
    assert len(points.weighing()) == module.MOST_A_SESSION
    assert len(points) <= module.MOST_A_SESSION + 4


def test_less_is_taken_of_each_session_where_memory_is_short(
    shop: ShopDefinition, windows: list[ShopWindow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CELLS", 2 * len(windows) * len(shop.features))
    few = points_of(shop, windows).weighing()
    assert len(few) <= 2 * len(windows)
    assert few.weight.sum() == pytest.approx(len(windows))
    monkeypatch.setattr(module, "MOST_CELLS", len(shop.features))
    with pytest.raises(InputError, match="more than training holds in memory"):
        points_of(shop, windows)


def test_a_future_of_another_session_leaves_the_evidence_as_it_is(
    shop: ShopDefinition, windows: list[ShopWindow]
) -> None:
    some = windows[:200]
    turned = [*range(100, 200), *range(100)]
    moved = points_of(shop, with_futures(shop, some, turned))
    own = points_of(shop, some)
    assert equal(moved.table, own.table)

    def labels(points: Points) -> list[float]:
        return [float(points.converted[points.window == number][0]) for number in range(200)]

    assert labels(moved) == [labels(own)[donor] for donor in turned]
