from __future__ import annotations

import math
import statistics
from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from factory import examples, session, step
from hypothesis import given
from hypothesis import strategies as st

from clickstream.features.session import Session, SessionStep
from clickstream.features.shop import UCI553

_session: Any = Session
STORED = _session[UCI553.step, UCI553.aggregate]

orders = st.lists(st.integers(1, 30), min_size=1, max_size=30, unique=True)
prices = st.floats(0, 1e9) | st.integers(0, 100).map(float)


@st.composite
def clicks(draw: st.DrawFn) -> list[SessionStep]:
    """Clicks as they settle: in order of event time, each of its own identity."""
    times = draw(st.lists(st.integers(0, 50), min_size=1, max_size=12).map(sorted))
    return [
        step(
            event_time,
            draw(st.sampled_from([None, 3 * place + 1, 3 * place + 2])),
            product=f"{draw(st.sampled_from('ABC'))}{place}",
            category=draw(st.sampled_from(["trousers", "skirts", "sale"])),
            price=draw(prices),
            price_2=draw(st.sampled_from([1, 2])),
            page=draw(st.integers(1, 5)),
        )
        for place, event_time in enumerate(times)
    ]


# --- what makes a click the one it is, and its place ---


def test_a_click_is_known_by_its_order_and_without_one_by_time_product_and_page() -> None:
    assert step(10, 4, product="A1", page=2).identity == 4
    assert step(10, product="A1", page=2).identity == (10, "A1", 2)


def test_clicks_settle_by_event_time_then_order_then_product_and_page() -> None:
    in_order = [
        step(1, 9, product="Z"),
        step(2, product="A", page=1),
        step(2, product="A", page=2),
        step(2, product="B", page=1),
        step(2, 1, product="Z"),
        step(2, 2, product="A"),
        step(2, 10, product="A"),
    ]
    scrambled = in_order[3:] + in_order[2::-1]
    assert sorted(scrambled, key=lambda one: one.sort_key) == in_order


# --- which orders were seen ---


@given(orders)
@examples(100)
def test_orders_seen_are_told_from_orders_not_seen(some: list[int]) -> None:
    window = session(*(step(0, order) for order in some))
    assert {order for order in range(32) if window.has(step(9, order or None))} == set(some)


@given(orders)
@examples(100)
def test_orders_seen_are_kept_as_disjoint_ranges_with_a_hole_between_any_two(some: list[int]) -> None:
    seen = session(*(step(0, order) for order in some)).seen
    ranges = list(zip(seen[::2], seen[1::2], strict=True))
    assert all(low <= high for low, high in ranges)
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(ranges))
    assert [order for low, high in ranges for order in range(low, high + 1)] == sorted(some)


@given(orders)
@examples(100)
def test_missing_are_the_holes_between_the_smallest_and_the_largest_order(some: list[int]) -> None:
    window = session(*(step(0, order) for order in some))
    assert window.missing == len(set(range(min(some), max(some) + 1)) - set(some))


def test_orders_in_a_row_take_two_numbers_however_many_they_are() -> None:
    assert session(*(step(order, order) for order in range(1, 1_001))).seen == [1, 1_000]


def test_orders_that_fill_a_hole_join_what_lies_on_both_sides() -> None:
    assert session(step(0, 1), step(1, 3), step(2, 2)).seen == [1, 3]
    assert session(step(0, 5), step(1, 3), step(2, 1)).seen == [1, 1, 3, 3, 5, 5]


def test_a_window_that_starts_in_the_middle_misses_nothing_before_it() -> None:
    assert session(step(0, 7), step(1, 8)).missing == 0
    assert session(step(0, 7), step(1, 10)).missing == 2


def test_without_orders_nothing_is_missing_and_a_click_is_known_by_time_product_and_page() -> None:
    window = session(step(10, product="A1", page=2))
    assert window.missing == 0
    assert window.has(step(10, product="A1", page=2, price=99.0))
    assert not window.has(step(11, product="A1", page=2))
    assert not window.has(step(10, product="A2", page=2))
    assert not window.has(step(10, product="A1", page=3))


def test_a_click_with_an_order_is_never_a_copy_of_one_without() -> None:
    assert not session(step(10)).has(step(10, 1))
    assert not session(step(10, 1)).has(step(10))


def test_an_order_is_known_whatever_else_the_click_says() -> None:
    assert session(step(10, 4)).has(step(99, 4, product="P60", page=5))


# --- what is counted ---


@given(clicks())
@examples(100)
def test_the_whole_counts_every_click_and_the_body_all_but_the_last(some: list[SessionStep]) -> None:
    window = session(*some)
    assert window.clicks == len(some)
    for aggregate, expected in ((window.whole(), some), (window.body, some[:-1])):
        assert aggregate.clicks == len(expected)
        assert aggregate.product_values == {one.product for one in expected}
        assert aggregate.category_counts == Counter(one.category for one in expected)
        assert aggregate.price_max == max((one.price for one in expected), default=None)
        assert aggregate.price_min == min((one.price for one in expected), default=None)
        assert aggregate.num_high_price_views__count == sum(one.price_2 == 1 for one in expected)
        assert aggregate.page_max == max((one.page for one in expected), default=None)
        assert aggregate.category_changes == sum(a.category != b.category for a, b in pairwise(expected))
        assert aggregate.first == (expected[0] if expected else None)
        assert aggregate.last == (expected[-1] if expected else None)


@given(st.lists(prices, min_size=1, max_size=40))
@examples(100)
def test_mean_and_deviation_of_the_price_are_those_of_the_statistics_module(some: list[float]) -> None:
    whole = session(*(step(i, i + 1, price=price) for i, price in enumerate(some))).whole()
    assert whole.price_mean == pytest.approx(statistics.fmean(some), rel=1e-12)
    deviation = math.sqrt(whole.price_squares / len(some))
    # Squares of prices below 1e-154 are below the smallest float.
    assert deviation == pytest.approx(statistics.pstdev(some), rel=1e-9, abs=1e-12 * max(some) + 1e-150)


def test_small_differences_of_large_prices_survive() -> None:
    some = [999_999_999.25, 999_999_999.75] * 500
    whole = session(*(step(i, i + 1, price=price) for i, price in enumerate(some))).whole()
    assert math.sqrt(whole.price_squares / 1_000) == pytest.approx(0.25, abs=1e-7)


@given(st.floats(0, 1e9), st.integers(1, 50))
@examples(100)
def test_one_price_over_and_over_has_no_deviation(price: float, times: int) -> None:
    whole = session(*(step(i, i + 1, price=price) for i in range(times))).whole()
    assert (whole.price_mean, whole.price_squares) == (price, 0.0)


def test_looking_at_the_whole_changes_nothing() -> None:
    window = session(step(1, 1), step(2, 2, product="C4", category="blouses"))
    before = msgspec.msgpack.encode(window)
    assert window.whole() == window.whole()
    assert msgspec.msgpack.encode(window) == before


def test_two_sessions_share_nothing() -> None:
    one, other = session(step(1), step(2, product="B1")), session(step(1))
    one.add(step(3, 9, product="B2"), 5)
    assert other == session(step(1))
    assert UCI553.aggregate() == UCI553.aggregate(0, set(), {})


# --- late clicks ---


def test_a_late_click_counts_into_what_does_not_depend_on_order() -> None:
    window = session(
        step(10, 1, product="A1", category="trousers", price=10.0, price_2=2, page=1),
        step(30, 3, product="A3", category="trousers", price=30.0, price_2=2, page=2),
    )
    window.add_late(step(20, 2, product="B2", category="skirts", price=80.0, price_2=1, page=5), 7)
    whole = window.whole()
    assert (window.clicks, window.late, window.missing) == (3, 1, 0)
    assert whole.product_values == {"A1", "A3", "B2"}
    assert whole.category_counts == {"trousers": 2, "skirts": 1}
    assert (whole.price_mean, whole.price_max, whole.price_min) == (40.0, 80.0, 10.0)
    assert (whole.num_high_price_views__count, whole.page_max) == (1, 5)
    assert whole.category_changes == 0
    assert (whole.first, whole.last) == (window.body.first, window.last)


def test_a_late_click_is_in_the_body_also_when_the_window_has_one_click_in_order() -> None:
    window = session(step(10, 1, price=10.0))
    window.add_late(step(10, 2, price=50.0), 1)
    assert window.body.clicks == 1
    assert (window.body.first, window.body.last) == (None, None)
    assert window.whole().price_mean == 30.0
    assert window.whole().first == window.last


@given(clicks(), st.lists(st.integers(100, 120), max_size=6, unique=True))
@examples(100)
def test_evidence_is_the_clicks_in_order_before_the_last(some: list[SessionStep], late: list[int]) -> None:
    window = session(*some)
    for order in late:
        window.add_late(step(some[0].event_time, order), 99)
    assert window.evidence == len(some) - 1
    assert window.clicks == len(some) + len(late)
    assert window.late == len(late)


# --- where the clicks were read, and what is stored ---


@given(st.permutations(range(6)), st.sets(st.integers(1, 5)))
@examples(100)
def test_a_window_spans_the_offsets_of_the_clicks_it_counts(offsets: list[int], late: set[int]) -> None:
    window = UCI553.open(step(0, 1), offsets[0])
    for place, offset in enumerate(offsets[1:], 1):
        (window.add_late if place in late else window.add)(step(0, place + 1), offset)
        assert (window.first_offset, window.last_offset) == (
            min(offsets[: place + 1]),
            max(offsets[: place + 1]),
        )


@given(clicks(), clicks(), st.lists(st.integers(100, 120), max_size=3, unique=True))
@examples(100)
def test_a_session_goes_on_from_its_stored_bytes_as_if_it_had_never_left(
    before: list[SessionStep], after: list[SessionStep], late: list[int]
) -> None:
    kept = session(*before)
    for order in late:
        kept.add_late(step(before[0].event_time, order), order)
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=STORED)
    assert stored == kept
    for offset, one in enumerate(after, 200):
        assert stored.has(one) == kept.has(one)
        if not kept.has(one):
            kept.add(one, offset)
            stored.add(one, offset)
    assert stored == kept
    assert stored.whole() == kept.whole()
