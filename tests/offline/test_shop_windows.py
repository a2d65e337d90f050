"""Windows of a shop's log: cut as the stream cuts them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clickstream.features.fold import compile_fold
from clickstream.features.session import SessionStep
from clickstream.features.shop import UCI553
from clickstream.features.shop_file import define
from clickstream.offline.shop_windows import cut_visits, shop_windows
from clickstream.windows.listing import ListedOpenSession, clicks_of
from clickstream.windows.open_session import PendingClick
from clickstream.windows.rules import Rules

RULES = Rules(gap=10, max_clicks=4)

_clicks = st.builds(
    UCI553.step,
    event_time=st.integers(0, 60),
    order=st.none() | st.integers(1, 6),
    product=st.sampled_from("AB"),
    category=st.just("sale"),
    price=st.just(1.0),
    price_2=st.just(1),
    page=st.integers(1, 2),
    end=st.booleans(),
)


def by_the_stream(clicks: list[SessionStep]) -> list[list[tuple[Any, ...]]]:
    """What the partition's own logic settles, once the watermark is past all of them."""
    waiting = ListedOpenSession(None, [PendingClick(click, at) for at, click in enumerate(clicks)])
    windows = []
    while waiting.pending:
        assert waiting.settle("", 1 << 60, RULES) is not None
        assert waiting.window is not None
        windows.append([key(click) for click in clicks_of(waiting.window)])
        waiting.window = None
    return windows


def key(click: Any) -> tuple[Any, ...]:
    return click.event_time, click.order, click.product, click.page


@given(st.lists(_clicks, min_size=1, max_size=14))
def test_a_session_is_cut_as_the_stream_cuts_it(clicks: list[SessionStep]) -> None:
    # Copies are told apart by their content; of a window, one of each identity counts.
    ordered = sorted(clicks, key=lambda click: (click.sort_key, click.content))
    found = [[key(click) for click in window] for window in cut_visits(ordered, RULES)]
    assert found == by_the_stream(ordered)


def test_windows_stand_in_the_order_in_which_they_open() -> None:
    shop = define(
        {
            "name": "s",
            "fields": {"event": "text"},
            "goal": {"when": 'event == "buy"'},
            "features": {"clicks": {"count": True}},
        },
        "s",
    )
    step = compile_fold(shop).step

    def at(*times: int) -> list[Any]:
        return [step(event_time=time, order=None, event="look") for time in times]

    windows = shop_windows({"b": at(5, 100), "a": at(5), "c": at(1, 2)}, RULES)
    assert [(window.session_id, window.opened_at, len(window.clicks)) for window in windows] == [
        ("c", 1, 2),
        ("a", 5, 1),
        ("b", 5, 1),
        ("b", 100, 1),
    ]
