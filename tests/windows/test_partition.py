"""Each rule of event time with numbers. Unless a test says otherwise the rules are the defaults: a gap of 30
minutes, an allowed lateness of 60 seconds, at most 5 minutes ahead of the record's Kafka timestamp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, permutations
from typing import cast

import msgspec
import pytest
from factory import STORED, click, heartbeat, session, step

from clickstream.records.click import Click, Forget, Heartbeat
from clickstream.windows.open_session import OpenSession, PendingClick
from clickstream.windows.partition import (
    EVERY_SESSION,
    NOTHING_SEEN,
    ClosedWindow,
    Partition,
    RebuildPoint,
    RefusedRecord,
)
from clickstream.windows.rules import Rules

S = 1_000
MIN = 60 * S
GAP = 30 * MIN
LATENESS = 60 * S
T0 = 1_000 * MIN
"""A time of day to start from, far from zero."""

ONLY_ONE_WAITS = Rules(max_pending=1)


class Log:
    """A partition and its log: offsets count from 0, Kafka timestamps are the event times."""

    def __init__(self, rules: Rules | None = None, partition: Partition | None = None) -> None:
        self.partition = partition or Partition(rules or Rules())
        self.offset = 0

    def read(self, *records: Click | Heartbeat | Forget, timestamp: int | None = None) -> list[ClosedWindow]:
        """The windows that these records close."""
        before = len(self.partition.closed)
        for record in records:
            at = timestamp
            if timestamp is None and not isinstance(record, Forget):
                at = record.event_time
            self.partition.advance(self.offset, at, record)
            self.offset += 1
        return self.partition.closed[before:]

    def time(self, watermark: int) -> list[ClosedWindow]:
        """The windows that close when the watermark gets to `watermark`."""
        return self.read(heartbeat(watermark + LATENESS))

    def flush(self) -> list[ClosedWindow]:
        return self.read(heartbeat(self.partition.newest, flush=True))

    @property
    def refused(self) -> list[RefusedRecord]:
        return self.partition.refused


def only(closed: list[ClosedWindow]) -> ClosedWindow:
    assert len(closed) == 1, f"{len(closed)} windows closed, not one"
    return closed[0]


def orders(closed: ClosedWindow) -> list[int]:
    """The orders that a window counted, holes excluded."""
    seen = closed.session.seen
    return [one for low, high in zip(seen[::2], seen[1::2], strict=True) for one in range(low, high + 1)]


# --- T1: the watermark ---


def test_the_watermark_is_the_largest_event_time_less_the_allowed_lateness() -> None:
    log = Log()
    log.read(click(T0, 1))
    assert log.partition.watermark == T0 - LATENESS


def test_the_watermark_never_goes_back() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 - 30 * S, 2), heartbeat(T0 - 10 * MIN))
    assert log.partition.newest == T0


def test_before_the_first_record_nothing_is_late() -> None:
    log = Log()
    assert log.partition.newest == NOTHING_SEEN
    log.read(click(0, 1))
    assert log.refused == []
    assert log.partition.open_sessions == 1


# --- T2: clicks settle in event-time order once the watermark has passed them ---


def test_clicks_that_arrive_out_of_order_within_the_lateness_settle_in_order() -> None:
    log = Log()
    log.read(
        click(T0 + 20 * S, 3, category="sale"),
        click(T0, 1, category="skirts"),
        click(T0 + 10 * S, 2, category="sale"),
    )
    window = only(log.time(T0 + GAP + 20 * S + 1)).session
    assert (window.opened_at, window.last.order) == (T0, 3)
    assert window.whole().category_changes == 1
    assert window.late == 0


def test_clicks_of_one_event_time_settle_by_their_order() -> None:
    log = Log()
    log.read(click(T0, 3), click(T0, 1), click(T0, 2))
    window = only(log.flush()).session
    assert window.whole().first == step(T0, 1)
    assert window.last == step(T0, 3)


def test_clicks_of_one_event_time_without_an_order_settle_the_same_way_however_they_arrive() -> None:
    one, other, third = click(T0, product="A1"), click(T0, product="B1"), click(T0, product="A1", page=2)
    windows = []
    for arrival in ((one, other, third), (third, other, one), (other, third, one)):
        log = Log()
        log.read(*arrival)
        windows.append(only(log.flush()).session)
    assert [window.last.product for window in windows] == ["B1", "B1", "B1"]
    assert all(window.whole() == windows[0].whole() for window in windows)


def test_a_click_at_the_watermark_is_neither_settled_nor_late() -> None:
    log = Log()
    log.read(click(T0, 2))
    log.time(T0)
    assert log.partition.sessions["visit"].window is None
    log.read(click(T0, 1))
    window = only(log.flush()).session
    assert (window.whole().first, window.late) == (step(T0, 1), 0)


def test_a_click_one_millisecond_before_the_watermark_is_settled() -> None:
    log = Log()
    log.read(click(T0, 2))
    log.time(T0 + 1)
    log.read(click(T0, 1))
    window = only(log.flush()).session
    assert (window.whole().first, window.late) == (step(T0, 2), 1)


# --- T3: what closes a window ---


def test_a_pause_of_exactly_the_gap_joins() -> None:
    log = Log()
    assert log.read(click(T0, 1), click(T0 + GAP, 2)) == []
    assert log.time(T0 + GAP + 1) == []
    assert only(log.flush()).session.clicks == 2


def test_a_pause_of_a_millisecond_more_than_the_gap_parts() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + GAP + 1, 2))
    first = only(log.time(T0 + GAP + 1))
    assert (first.closed_by, orders(first)) == ("gap", [1])
    second = only(log.flush())
    assert (second.closed_by, orders(second), second.session.opened_at) == ("flush", [2], T0 + GAP + 1)


def test_silence_closes_a_window_when_the_watermark_is_more_than_the_gap_beyond_its_last_click() -> None:
    log = Log()
    log.read(click(T0, 1))
    assert log.time(T0 + GAP) == []
    assert only(log.time(T0 + GAP + 1)).closed_by == "gap"
    assert log.partition.open_sessions == 0


def test_a_click_that_waits_within_the_gap_keeps_the_window_open() -> None:
    log = Log(Rules(allowed_lateness=40 * MIN))
    log.read(click(T0, 1), click(T0 + 20 * MIN, 2), heartbeat(T0 + GAP + 1 + 40 * MIN))
    assert log.partition.closed == []
    assert only(log.read(heartbeat(T0 + 20 * MIN + GAP + 1 + 40 * MIN))).session.clicks == 2


def test_the_gap_is_measured_between_clicks_in_event_time_not_in_order_of_arrival() -> None:
    log = Log(Rules(allowed_lateness=40 * MIN))
    log.read(click(T0, 1), click(T0 + 40 * MIN, 3), click(T0 + 20 * MIN, 2))
    assert only(log.flush()).session.clicks == 3


def test_a_click_of_another_session_moves_the_time_of_all() -> None:
    log = Log()
    closed = log.read(click(T0, 1), click(T0 + GAP + LATENESS + 1, 1, "other"))
    assert (only(closed).session_id, only(closed).offset) == ("visit", 1)


def test_a_click_with_end_closes_its_window_when_it_settles() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + S, 2, end=True))
    assert log.time(T0 + S) == []
    closed = only(log.time(T0 + S + 1))
    assert (closed.closed_by, orders(closed)) == ("end", [1, 2])


def test_an_end_that_overtook_earlier_clicks_waits_for_them() -> None:
    log = Log()
    log.read(click(T0 + 2 * S, 3, end=True), click(T0, 1), click(T0 + S, 2))
    assert orders(only(log.time(T0 + 10 * S))) == [1, 2, 3]


def test_clicks_after_an_end_open_the_next_window() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + S, 2, end=True), click(T0 + 2 * S, 3))
    assert orders(only(log.time(T0 + 3 * S))) == [1, 2]
    assert orders(only(log.flush())) == [3]


def test_a_window_closes_with_the_whole_moment_of_the_click_that_ends_it() -> None:
    log = Log()
    log.read(click(T0, 1, end=True), click(T0, 2), click(T0 + 1, 3))
    assert orders(only(log.time(T0 + 1))) == [1, 2]
    assert orders(only(log.flush())) == [3]


def test_the_last_of_max_clicks_closes_the_window_when_it_settles() -> None:
    log = Log(Rules(max_clicks=3))
    log.read(*(click(T0 + i * S, i + 1) for i in range(5)))
    assert log.time(T0 + 2 * S) == []
    closed = only(log.time(T0 + 2 * S + 1))
    assert (closed.closed_by, orders(closed)) == ("limit", [1, 2, 3])
    assert orders(only(log.flush())) == [4, 5]


def test_copies_do_not_count_towards_max_clicks() -> None:
    log = Log(Rules(max_clicks=3))
    log.read(click(T0, 1), click(T0, 1), click(T0 + S, 1), click(T0 + 2 * S, 2))
    assert log.time(T0 + GAP) == []
    assert only(log.flush()).session.duplicates == 2


def test_a_late_click_that_is_the_last_of_max_clicks_closes_the_window_at_once() -> None:
    log = Log(Rules(max_clicks=3))
    log.read(click(T0, 1), click(T0 + 2 * S, 3))
    log.time(T0 + 10 * S)
    closed = only(log.read(click(T0 + S, 2)))
    assert (closed.closed_by, closed.session.clicks, closed.session.late) == ("limit", 3, 1)


def test_a_window_of_max_clicks_with_end_on_the_last_ends() -> None:
    log = Log(Rules(max_clicks=2))
    log.read(click(T0, 1), click(T0 + S, 2, end=True))
    assert only(log.time(T0 + MIN)).closed_by == "end"


def test_a_flush_settles_and_closes_all() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + S, 2), click(T0, 1, "other"))
    closed = log.flush()
    assert [(one.session_id, one.closed_by, one.session.clicks) for one in closed] == [
        ("other", "flush", 1),
        ("visit", "flush", 2),
    ]
    assert log.partition.open_sessions == 0
    assert log.partition.sessions == {}


def test_a_flush_closes_what_had_another_reason_for_that_reason() -> None:
    log = Log(Rules(allowed_lateness=2 * GAP, max_clicks=2))
    log.read(
        click(T0, 1),
        click(T0 + GAP + 1, 2),
        click(T0 + GAP + 2, 3, end=True),
        click(T0 + GAP + 3, 4),
        click(T0 + GAP + 4, 5),
        click(T0 + GAP + 5, 6),
    )
    assert [(one.closed_by, orders(one)) for one in log.flush()] == [
        ("gap", [1]),
        ("end", [2, 3]),
        ("limit", [4, 5]),
        ("flush", [6]),
    ]


def test_windows_that_are_due_close_before_the_flush_closes_the_rest() -> None:
    log = Log()
    log.read(click(T0, 1, "a"), click(T0 + GAP, 1, "b"))
    closed = log.read(heartbeat(T0 + GAP + LATENESS + 1, flush=True))
    assert [(one.session_id, one.closed_by) for one in closed] == [("a", "gap"), ("b", "flush")]


def test_a_flush_of_nothing_closes_nothing() -> None:
    assert Log().read(heartbeat(T0, flush=True)) == []


def test_windows_close_in_order_of_due_time_then_session_id() -> None:
    log = Log()
    log.read(
        click(T0 + 2, 1, "c"),
        click(T0 + 1, 1, "d"),
        click(T0 + 1, 1, "b"),
        click(T0 + 1, 1, "é"),
        click(T0 + 9, 1, "a"),
        click(T0 + 9 + GAP, 1, "z", end=True),
    )
    closed = log.time(T0 + 2 * GAP)
    assert [one.session_id for one in closed] == ["b", "d", "é", "c", "a", "z"]
    assert {one.offset for one in closed} == {6}


def test_windows_of_one_session_take_their_turn_among_those_of_others() -> None:
    log = Log(Rules(allowed_lateness=2 * GAP))
    log.read(
        click(T0, 1, "a", end=True),
        click(T0 + 5, 2, "a", end=True),
        click(T0 + 3, 1, "b", end=True),
    )
    closed = log.read(heartbeat(T0 + 3 * GAP))
    assert [(one.session_id, one.session.opened_at - T0) for one in closed] == [("a", 0), ("b", 3), ("a", 5)]


def test_a_window_knows_the_record_that_closed_it() -> None:
    log = Log()
    log.read(click(T0, 1), heartbeat(T0), click(T0 + S, 2), heartbeat(T0 + S))
    closed = only(log.flush())
    assert (closed.session.first_offset, closed.session.last_offset, closed.offset) == (0, 2, 4)


# --- T4: late clicks ---


def test_a_late_click_counts_into_an_open_window_from_its_first_click_on() -> None:
    log = Log()
    log.read(click(T0, 2, price=10.0), click(T0 + 10 * S, 4, price=10.0))
    log.time(T0 + MIN)
    log.read(click(T0, 1, price=40.0), click(T0 + 5 * S, 3, price=40.0))
    window = only(log.flush()).session
    assert (window.clicks, window.late, window.evidence, window.missing) == (4, 2, 1, 0)
    assert window.whole().price_mean == 25.0
    assert window.last.order == 4
    assert log.refused == []


def test_a_late_click_before_the_first_of_the_window_is_refused() -> None:
    log = Log()
    log.read(click(T0, 2))
    log.time(T0 + MIN)
    log.read(click(T0 - 1, 1))
    assert [(one.offset, one.reason) for one in log.refused] == [(2, "late")]
    assert only(log.flush()).session.clicks == 1


def test_a_late_click_of_a_closed_session_is_refused_and_opens_nothing() -> None:
    log = Log()
    log.read(click(T0, 1))
    only(log.time(T0 + GAP + 1))
    log.read(click(T0 + 5 * S, 2))
    assert [one.reason for one in log.refused] == ["late"]
    assert log.partition.open_sessions == 0


def test_a_late_click_of_a_session_whose_clicks_all_wait_is_refused() -> None:
    log = Log()
    log.read(click(T0 + LATENESS, 2), click(T0 - 1, 1))
    assert [one.reason for one in log.refused] == ["late"]


def test_a_refused_late_click_says_how_far_behind_it_came() -> None:
    log = Log()
    log.read(heartbeat(T0 + LATENESS), click(T0 - 250, 1))
    assert log.refused == [RefusedRecord(1, "late", f"event_time is 250 ms behind the watermark {T0}")]


def test_a_late_click_after_the_last_counts_and_leaves_the_last_where_it_was() -> None:
    log = Log()
    log.read(click(T0, 1))
    log.time(T0 + 20 * MIN)
    log.read(click(T0 + 19 * MIN, 2, end=True))
    assert log.time(T0 + GAP) == []
    window = only(log.time(T0 + GAP + 1)).session
    assert (window.clicks, window.last.order) == (2, 1)


# --- T5: copies ---


def test_a_copy_of_a_click_that_waits_is_dropped_and_counted() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0, 1), click(T0, 1))
    window = only(log.flush()).session
    assert (window.clicks, window.duplicates) == (1, 2)
    assert (window.first_offset, window.last_offset) == (0, 0)


def test_a_copy_of_a_settled_click_is_dropped_not_late() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + S, 2))
    log.time(T0 + MIN)
    log.read(click(T0, 1))
    window = only(log.flush()).session
    assert (window.clicks, window.duplicates, window.late) == (2, 1, 0)


def test_a_copy_that_is_older_than_the_window_is_dropped_not_refused() -> None:
    log = Log()
    log.read(click(T0, 1))
    log.time(T0 + MIN)
    log.read(click(T0 - 10 * S, 1))
    assert log.refused == []
    assert only(log.flush()).session.duplicates == 1


def test_an_order_at_another_time_is_a_copy_and_the_earlier_click_stays() -> None:
    for arrival in ((click(T0, 1), click(T0 + S, 1)), (click(T0 + S, 1), click(T0, 1))):
        log = Log()
        log.read(*arrival)
        window = only(log.flush()).session
        assert (window.clicks, window.duplicates, window.last.event_time) == (1, 1, T0)


def test_a_late_click_with_the_order_of_one_that_waits_is_a_copy_of_it() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + MIN, 2))
    log.time(T0 + 10 * S)
    log.read(click(T0 + 5 * S, 2))
    window = only(log.flush()).session
    assert (window.clicks, window.duplicates, window.late) == (2, 1, 0)
    assert window.last.event_time == T0 + MIN


def test_clicks_that_wait_are_of_one_window_when_each_joins_the_one_before() -> None:
    log = Log(Rules(allowed_lateness=45 * MIN))
    log.read(click(T0, 1), click(T0 + 20 * MIN, 2), click(T0 + 40 * MIN, 3), heartbeat(T0 + 46 * MIN))
    log.read(click(T0 + S, 3))
    window = only(log.flush()).session
    assert (window.clicks, window.duplicates, window.late) == (3, 1, 0)


def test_a_late_click_with_the_order_of_one_that_waits_beyond_the_gap_is_no_copy() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + GAP + 1, 2))
    log.time(T0 + 10 * S)
    log.read(click(T0 + 5 * S, 2))
    first, second = log.flush()
    assert (orders(first), first.session.late, first.session.duplicates) == ([1, 2], 1, 0)
    assert (orders(second), second.session.duplicates) == ([2], 0)


def test_a_copy_of_a_click_of_a_closed_window_is_refused_also_when_the_next_visit_starts_at_its_order() -> (
    None
):
    log = Log()
    log.read(click(T0, 1))
    only(log.time(T0 + GAP + 1))
    log.read(click(T0 + 2 * GAP, 1), click(T0, 1))
    assert [one.reason for one in log.refused] == ["late"]
    assert only(log.flush()).session.duplicates == 0


def test_a_copy_does_not_prolong_the_window() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + 20 * MIN, 1))
    assert log.time(T0 + GAP) == []
    assert only(log.time(T0 + GAP + 1)).session.duplicates == 1


def test_a_copy_does_not_end_the_window() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + S, 1, end=True))
    log.time(T0 + MIN)
    assert only(log.flush()).closed_by == "flush"


def test_an_order_in_the_next_window_is_a_click_of_its_own() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + GAP + 1, 1))
    assert only(log.time(T0 + GAP + 1)).session.duplicates == 0
    assert only(log.flush()).session.clicks == 1


def test_without_an_order_time_product_and_page_tell_clicks_apart() -> None:
    log = Log()
    log.read(
        click(T0, product="A1", page=1),
        click(T0, product="A1", page=1, price=99.0),
        click(T0, product="A1", page=2),
        click(T0, product="A2", page=1),
        click(T0 + 1, product="A1", page=1),
    )
    window = only(log.flush()).session
    assert (window.clicks, window.duplicates, window.missing) == (4, 1, 0)


def test_a_click_with_an_order_is_no_copy_of_the_same_without() -> None:
    log = Log()
    log.read(click(T0), click(T0, 1))
    assert only(log.flush()).session.clicks == 2


def test_of_a_late_click_a_waiting_copy_with_end_hides_no_later_copy() -> None:
    """The copy of order 1 is dropped when it settles, so it ends nothing and order 2 is of the window."""
    log = Log()
    log.read(click(T0, 1), click(T0 + MIN, 1, end=True), click(T0 + MIN + S, 2))
    log.time(T0 + 10 * S)
    log.read(click(T0 + 5 * S, 2))
    window = only(log.flush()).session
    assert (window.clicks, window.late, window.duplicates) == (2, 0, 2)


def test_of_a_late_click_a_waiting_copy_does_not_bridge_a_gap_to_later_ones() -> None:
    log = Log(Rules(allowed_lateness=45 * MIN))
    log.read(click(T0, 1), click(T0 + 20 * MIN, 1), click(T0 + 40 * MIN, 2), heartbeat(T0 + 46 * MIN))
    log.read(click(T0 + S, 2))
    first, second = log.flush()
    assert (orders(first), first.session.late, first.session.duplicates) == ([1, 2], 1, 1)
    assert (orders(second), second.session.duplicates) == ([2], 0)


def test_a_late_click_is_no_copy_of_one_that_waits_beyond_max_clicks() -> None:
    log = Log(Rules(max_clicks=3))
    log.read(click(T0, 1), click(T0 + MIN, 2), click(T0 + MIN + S, 3), click(T0 + MIN + 2 * S, 4))
    log.time(T0 + 10 * S)
    log.read(click(T0 + 5 * S, 4))
    first, second = log.flush()
    assert (orders(first), first.session.late, first.closed_by) == ([1, 2, 4], 1, "limit")
    assert orders(second) == [3, 4]


def test_a_late_click_is_a_copy_of_one_that_waits_in_the_millisecond_of_the_last_of_max_clicks() -> None:
    log = Log(Rules(max_clicks=2))
    log.read(click(T0, 1), click(T0 + MIN, 2), click(T0 + MIN, 3))
    log.time(T0 + 10 * S)
    log.read(click(T0 + 5 * S, 3))
    assert (only(log.flush()).session.duplicates, log.refused) == (1, [])


@pytest.mark.parametrize(
    "variants",
    [
        [click(T0, 1, product=product) for product in ("A1", "B1", "C1")],
        [click(T0, 1, end=end) for end in (False, True)],
        [click(T0, 1, category=category) for category in ("sale", "skirts")],
        [click(T0, time_source=source) for source in (None, "recorded", "synthetic")],
    ],
    ids=["product", "end", "category", "time_source"],
)
def test_which_of_copies_that_differ_is_kept_does_not_depend_on_arrival(variants: list[Click]) -> None:
    kept = set()
    for arrival in permutations(variants):
        log = Log()
        log.read(*arrival)
        closed = only(log.flush())
        kept.add((closed.session.last, closed.closed_by, closed.session.duplicates))
    assert len(kept) == 1


def test_a_copy_that_differs_takes_no_place_among_the_waiting() -> None:
    log = Log(Rules(max_pending=2))
    log.read(click(T0, 1, product="A1"), click(T0, 1, product="B1"), click(T0 + S, 2))
    visit = log.partition.sessions["visit"]
    assert visit.window is None
    assert [waiting.copies for waiting in visit.pending] == [1, 0]


def test_an_order_belongs_to_its_session() -> None:
    log = Log()
    log.read(click(T0, 1, "a"), click(T0, 1, "b"))
    assert [one.session.duplicates for one in log.flush()] == [0, 0]


def test_missing_are_the_orders_between_the_smallest_and_the_largest() -> None:
    log = Log()
    log.read(click(T0, 3), click(T0 + S, 7), click(T0 + 2 * S, 5))
    assert only(log.flush()).session.missing == 2


# --- T7: the next window of a session ---


def test_a_click_of_a_closed_session_opens_a_window_of_its_own() -> None:
    log = Log()
    log.read(click(T0, 1))
    first = only(log.time(T0 + GAP + 1))
    log.read(click(T0 + GAP + 2, 2))
    second = only(log.flush())
    assert (first.session.opened_at, second.session.opened_at) == (T0, T0 + GAP + 2)
    assert orders(second) == [2]


# --- T8: clocks that are ahead ---


def test_a_record_too_far_ahead_of_its_timestamp_is_refused_and_moves_no_time() -> None:
    log = Log()
    log.read(click(T0, 1))
    ahead = 5 * MIN
    log.read(click(T0 + ahead + 1, 2), heartbeat(T0 + ahead + 1, flush=True), timestamp=T0)
    said = f"event_time is {ahead + 1} ms beyond the record's timestamp"
    assert log.refused == [RefusedRecord(1, "future", said), RefusedRecord(2, "future", said)]
    assert log.partition.newest == T0
    assert log.partition.closed == []


def test_a_record_just_as_far_ahead_as_allowed_counts() -> None:
    log = Log()
    log.read(click(T0 + 5 * MIN, 1), timestamp=T0)
    assert log.refused == []
    assert log.partition.newest == T0 + 5 * MIN


@pytest.mark.parametrize("none", [-1, None])
def test_a_record_without_a_kafka_timestamp_is_refused_and_closes_nobodys_session(none: int | None) -> None:
    """-1 is what a client of today reads, None what one of the first message format has."""
    partition = Partition(Rules())
    partition.advance(0, T0, click(T0, 1))
    for offset, record in enumerate((click(T0 + 5_000 * GAP, 2), heartbeat(T0 + 5_000 * GAP, flush=True)), 1):
        partition.advance(offset, none, cast(Click | Heartbeat, record))
    said = "the record has no Kafka timestamp to compare event_time with"
    assert partition.refused == [RefusedRecord(1, "invalid", said), RefusedRecord(2, "invalid", said)]
    assert (partition.newest, partition.closed) == (T0, [])


def test_without_a_bound_an_event_time_may_be_years_behind_its_timestamp() -> None:
    log = Log()
    log.read(click(T0, 1), timestamp=T0 + 1_000_000 * GAP)
    assert log.refused == []


def test_an_event_time_more_than_max_behind_before_its_timestamp_is_refused_and_moves_no_time() -> None:
    log = Log(Rules(max_behind=24 * 60 * MIN))
    bound = 24 * 60 * MIN
    log.read(click(T0 + 1, 1), timestamp=T0 + 1 + bound)
    log.read(click(T0, 2), heartbeat(T0, flush=True), timestamp=T0 + 1 + bound)
    said = f"event_time is {bound + 1} ms before the record's timestamp"
    assert log.refused == [RefusedRecord(1, "past", said), RefusedRecord(2, "past", said)]
    assert (log.partition.newest, log.partition.closed) == (T0 + 1, [])


# --- the bounds ---


def test_when_too_many_clicks_wait_the_oldest_settles_before_its_time() -> None:
    log = Log(Rules(max_pending=2))
    log.read(click(T0 + S, 2), click(T0 + 2 * S, 3), click(T0, 1))
    waiting = log.partition.sessions["visit"]
    assert waiting.window is not None
    assert waiting.window.last == step(T0, 1)
    assert len(waiting.pending) == 2


def test_a_click_that_belongs_before_one_settled_early_counts_as_late() -> None:
    log = Log(ONLY_ONE_WAITS)
    log.read(click(T0, 1), click(T0 + 2 * S, 3), click(T0 + 3 * S, 4), click(T0 + S, 2))
    window = only(log.flush()).session
    assert (window.clicks, window.late, window.last.order) == (4, 1, 4)


def test_a_click_refused_because_a_bound_settled_others_early_says_so() -> None:
    log = Log(ONLY_ONE_WAITS)
    log.read(click(T0, 1), click(T0 + S, 2), click(T0 - S, 3))
    assert [one.reason for one in log.refused] == ["late"]
    assert "settled early" in log.refused[0].detail


def test_settling_early_closes_a_window_at_an_end_a_limit_or_a_gap_as_ever() -> None:
    log = Log(replace(ONLY_ONE_WAITS, max_clicks=2))
    assert log.read(click(T0, 1, end=True)) == []
    assert only(log.read(click(T0 + 1, 2))).closed_by == "end"
    assert log.read(click(T0 + 2, 3)) == []
    assert only(log.read(click(T0 + 3, 4))).closed_by == "limit"
    assert log.read(click(T0 + 4 + GAP, 5), timestamp=T0 + GAP) == []
    assert only(log.time(T0 + 4 + GAP)).closed_by == "gap"


@pytest.mark.parametrize("start", [0, T0])
def test_a_window_filled_by_a_click_that_one_settled_early_overtook_closes_at_once(start: int) -> None:
    log = Log(replace(ONLY_ONE_WAITS, max_clicks=2))
    closed = log.read(click(start, 2), click(start + S, 3), click(start, 1))
    assert (only(closed).closed_by, only(closed).session.late) == ("limit", 1)
    assert orders(only(log.read(click(start + S, 4), click(start + 2 * S, 5)))) == [3, 4]


def test_copies_of_one_click_do_not_crowd_out_others() -> None:
    log = Log(Rules(max_pending=2))
    log.read(*[click(T0, 1)] * 5, click(T0 + S, 2))
    assert log.partition.sessions["visit"].window is None


def test_when_too_many_sessions_are_open_the_one_due_first_is_closed_whole() -> None:
    log = Log(Rules(max_open_sessions=2))
    log.read(click(T0 + S, 1, "b"), click(T0, 1, "a"), click(T0 + GAP, 2, "a"))
    closed = only(log.read(click(T0 + GAP, 1, "c")))
    assert (closed.session_id, closed.closed_by, closed.session.clicks) == ("b", "limit", 1)
    assert log.partition.open_sessions == 2


def test_of_sessions_due_together_the_smaller_id_makes_room() -> None:
    log = Log(Rules(max_open_sessions=2))
    log.read(click(T0, 1, "b"), click(T0, 1, "c"))
    assert only(log.read(click(T0, 1, "a"))).session_id == "a"


def test_a_session_that_makes_room_may_open_again() -> None:
    log = Log(Rules(max_open_sessions=1))
    log.read(click(T0, 1, "a"), click(T0 + S, 1, "b"))
    log.read(click(T0 + 2 * S, 2, "a"))
    assert [(one.session_id, orders(one)) for one in log.partition.closed] == [("a", [1]), ("b", [1])]
    assert orders(only(log.flush())) == [2]


# --- what is handed over between steps ---


def test_changes_name_what_to_store_with_its_due_time_and_what_to_delete() -> None:
    log = Log()
    log.read(click(T0, 1, "a"), click(T0, 1, "b", end=True))
    log.time(T0 + 1)
    kept, deleted = log.partition.changes()
    assert {name: due for name, (_, due) in kept.items()} == {"a": T0 + GAP + 1}
    assert deleted == ["b"]


def test_a_new_step_starts_with_no_changes_and_keeps_the_clock() -> None:
    log = Log()
    log.read(click(T0, 1), heartbeat(T0, flush=True), click(T0, 1))
    log.partition.clear()
    assert log.partition.changes() == ({}, [])
    assert (log.partition.closed, log.partition.refused) == ([], [])
    assert log.partition.newest == T0


def test_a_stored_session_goes_on_where_it_was() -> None:
    before = Log()
    before.read(click(T0, 1), click(T0 + 2 * S, 3))
    before.time(T0 + S)
    kept, _ = before.partition.changes()
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(kept["visit"][0]), type=STORED)

    after = Log(partition=Partition(Rules(), newest=before.partition.newest, open_sessions=1))
    after.partition.load({"visit": stored})
    assert after.read(click(T0 + S, 2)) == []
    window = only(after.time(T0 + 2 * S + GAP + 1)).session
    assert (window.clicks, window.late, window.last.order) == (3, 0, 3)
    assert after.partition.open_sessions == 0


def test_due_is_the_gap_after_the_last_click_that_will_join() -> None:
    waiting = [PendingClick(step(T0 + 20 * MIN, 2), 1), PendingClick(step(T0 + 51 * MIN, 3), 2)]
    assert OpenSession(session(step(T0, 1)), waiting).due(Rules()) == T0 + 50 * MIN + 1


def test_due_is_just_after_an_end_that_waits() -> None:
    waiting = [PendingClick(step(T0 + S, 2, end=True), 1), PendingClick(step(T0 + 2 * S, 3), 2)]
    assert OpenSession(session(step(T0, 1)), waiting).due(Rules()) == T0 + S + 1


def test_due_is_not_moved_by_a_copy_that_waits() -> None:
    waiting = [PendingClick(step(T0 + 20 * MIN, 1, end=True), 1)]
    assert OpenSession(session(step(T0, 1)), waiting).due(Rules()) == T0 + GAP + 1


def test_a_refused_record_that_could_not_be_parsed_is_noted_like_the_others() -> None:
    partition = Partition(Rules())
    partition.refuse(7, "not-json", "Invalid JSON")
    assert partition.refused == [RefusedRecord(7, "not-json", "Invalid JSON")]
    assert partition.newest == NOTHING_SEEN


# --- the place to rebuild from ---


def test_before_the_first_record_there_is_no_place_to_rebuild_from() -> None:
    assert Partition(Rules()).rebuild_from() is None


def test_a_young_partition_is_rebuilt_from_its_first_record() -> None:
    log = Log()
    log.read(click(T0, 1), heartbeat(T0 + 5 * MIN), heartbeat(T0 + 10 * MIN))
    assert log.partition.rebuild_from() == RebuildPoint(0, NOTHING_SEEN, 0)


def test_the_place_to_rebuild_from_is_the_last_noted_before_the_horizon() -> None:
    log = Log(partition=Partition(Rules(gap=10 * MIN), rebuild_point_every=5 * MIN, horizon=20 * MIN))
    for minute in range(60):
        log.read(heartbeat(T0 + minute * MIN))
    rebuild_point = log.partition.rebuild_from()
    assert rebuild_point is not None
    assert T0 + 59 * MIN - 25 * MIN <= rebuild_point.newest <= T0 + 59 * MIN - 20 * MIN
    # The time noted is that before the record at the offset.
    assert rebuild_point.newest == T0 + (rebuild_point.offset - 1) * MIN


def test_places_are_noted_no_closer_than_asked_and_only_as_far_back_as_needed() -> None:
    log = Log(partition=Partition(Rules(gap=10 * MIN), rebuild_point_every=5 * MIN, horizon=20 * MIN))
    for half_minute in range(400):
        log.read(heartbeat(T0 + half_minute * 30 * S))
    times = [rebuild_point.newest for rebuild_point in log.partition.rebuild_points]
    assert [later - earlier for earlier, later in pairwise(times)] == [5 * MIN] * 4


def test_the_place_to_rebuild_from_is_so_far_back_that_all_that_ended_before_it_has_closed() -> None:
    log = Log(partition=Partition(Rules(), rebuild_point_every=5 * MIN, horizon=5 * MIN))
    for minute in range(90):
        log.read(heartbeat(T0 + minute * MIN))
    rebuild_point = log.partition.rebuild_from()
    assert rebuild_point is not None
    assert rebuild_point.newest + GAP < log.partition.watermark


def test_a_record_from_the_future_is_no_place_to_rebuild_from() -> None:
    log = Log()
    log.read(click(T0 + 6 * MIN, 1), timestamp=T0)
    assert log.partition.rebuild_from() is None


def test_a_window_that_may_lack_clicks_from_before_a_rebuild_is_marked() -> None:
    log = Log(partition=Partition(Rules(), newest=T0, partial_before=T0 + GAP))
    log.read(click(T0 + GAP, 9, "reaches back"), click(T0 + GAP + 1, 1, "is whole"))
    assert {one.session_id: one.partial for one in log.flush()} == {"reaches back": True, "is whole": False}


def test_where_max_clicks_cut_a_window_that_may_lack_clicks_the_next_ones_are_marked_until_a_pause() -> None:
    rules = Rules(max_clicks=2)
    log = Log(rules, Partition(rules, newest=T0, partial_before=T0 + GAP))
    log.read(*(click(T0 + i * 20 * MIN, i + 1) for i in range(5)))
    log.read(click(T0 + 80 * MIN + GAP + LATENESS + 1, 6))
    log.flush()
    assert [(orders(one), one.partial) for one in log.partition.closed] == [
        ([1, 2], True),
        ([3, 4], True),
        ([5], True),
        ([6], False),
    ]


def test_a_session_that_was_in_doubt_and_is_forgotten_makes_no_other_doubtful() -> None:
    rules = Rules(max_open_sessions=1)
    log = Log(rules, Partition(rules, newest=T0, partial_before=T0 + GAP))
    log.read(click(T0 + GAP, 9, "in doubt"), Forget(session_id="in doubt"))
    after = T0 + GAP + LATENESS + 1
    closed = only(log.read(click(after, 1, "alone"), click(after + 1, 1, "one too many")))
    assert (closed.session_id, closed.closed_by, closed.partial) == ("alone", "limit", False)


@pytest.mark.parametrize(
    ("rules", "records"),
    [
        pytest.param(
            Rules(),
            [
                click(T0, 1, end=True),
                click(T0, 2),
                heartbeat(T0 + LATENESS + 1),
                heartbeat(T0 + GAP, flush=True),
            ],
            id="a click at the moment of the end",
        ),
        pytest.param(
            Rules(max_clicks=2),
            [click(T0, 1), click(T0, 2), click(T0, 3), heartbeat(T0, flush=True)],
            id="more than max_clicks at one moment",
        ),
    ],
)
def test_no_two_windows_have_one_score_id(rules: Rules, records: list[Click | Heartbeat]) -> None:
    log = Log(rules)
    ids = [(one.session_id, one.session.opened_at) for one in log.read(*records)]
    assert len(ids) == len(set(ids))


def test_after_a_flush_a_click_of_the_moment_that_it_closed_is_late_whatever_the_watermark_is() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + S, 2), click(T0 + S, 1, "other"))
    log.flush()
    log.read(click(T0 + S, 3), click(T0 + 500, 4), click(T0, 1), click(T0 + S + 1, 5))
    assert [(one.offset, one.reason) for one in log.refused] == [(4, "late"), (5, "late"), (6, "late")]
    assert "settled early" in log.refused[0].detail
    assert orders(only(log.flush())) == [5]


def test_a_click_of_a_session_that_the_flush_found_closed_is_not_late() -> None:
    log = Log()
    log.read(click(T0 + S, 1, "other"))
    log.flush()
    log.read(click(T0, 1))
    assert (log.refused, only(log.flush()).session_id) == ([], "visit")


def test_after_an_early_settling_ended_a_window_a_click_of_that_moment_is_late() -> None:
    log = Log(ONLY_ONE_WAITS)
    assert only(log.read(click(T0, 1, end=True), click(T0 + 1, 2), click(T0, 3))).closed_by == "end"
    assert [(one.offset, one.reason) for one in log.refused] == [(2, "late")]
    assert orders(only(log.flush())) == [2]


def test_a_window_that_a_late_click_fills_closes_with_the_whole_moment_of_its_last_click() -> None:
    log = Log(replace(ONLY_ONE_WAITS, max_clicks=3))
    closed = log.read(click(T0, 2), click(T0, 3), click(T0, 4), click(T0, 1))
    assert orders(only(closed)) == [1, 2, 3, 4]
    assert log.flush() == []


def test_after_a_session_made_room_a_click_of_the_moment_that_it_closed_is_late() -> None:
    log = Log(Rules(max_open_sessions=1))
    log.read(click(T0, 1, "a"), click(T0 + S, 1, "b"), click(T0, 2, "a"))
    assert [(one.offset, one.reason) for one in log.refused] == [(2, "late")]


def test_of_more_early_closings_than_sessions_may_be_open_the_first_count_for_all_sessions() -> None:
    log = Log(Rules(max_open_sessions=1))
    log.read(click(T0, 1, "a"), click(T0 + S, 1, "b"), click(T0 + 2 * S, 1, "c"))
    assert list(log.partition.early.values()) == [T0 + S]
    log.read(click(T0 + S, 1, "d"), click(T0 + S + 1, 1, "e"))
    assert [(one.offset, one.reason) for one in log.refused] == [(3, "late")]


def test_a_copy_that_is_late_because_of_the_closings_of_others_is_a_copy_of_the_click_that_waits() -> None:
    log = Log(Rules(max_open_sessions=2))
    log.read(click(T0, 1, "a"), click(T0 + 9 * S, session_id="b"), click(T0 + 9 * S, 2, "c", end=True))
    log.read(click(T0 + 9 * S, 1, "d", end=True), click(T0 + 9 * S, 1, "e", end=True))
    assert log.partition.early[EVERY_SESSION] == T0 + 9 * S
    before = len(log.refused)
    log.read(click(T0 + 9 * S, session_id="b"))
    visit = log.partition.sessions["b"]
    assert (len(log.refused), visit.pending[0].copies) == (before, 1)


def test_what_was_settled_early_is_forgotten_when_the_watermark_has_passed_it() -> None:
    log = Log()
    log.read(click(T0, 1))
    log.flush()
    assert log.partition.early == {"visit": T0}
    log.time(T0)
    log.partition.clear()
    assert log.partition.early == {"visit": T0}
    log.time(T0 + 1)
    log.partition.clear()
    assert log.partition.early == {}


def test_a_late_click_is_no_copy_of_one_that_waits_beyond_an_end() -> None:
    log = Log()
    log.read(click(T0, 1), click(T0 + MIN, 2, end=True), click(T0 + MIN + S, 3))
    log.time(T0 + 10 * S)
    log.read(click(T0 + 5 * S, 3))
    first, second = log.flush()
    assert (orders(first), first.session.late) == ([1, 2, 3], 1)
    assert second.session.duplicates == 0


@pytest.mark.parametrize("ordered", [True, False], ids=["with orders", "without"])
@pytest.mark.parametrize(
    "delay",
    [lambda _: 0, lambda i: i * 7_919 % 30 * S, lambda i: i % 2 * 70 * S],
    ids=["in order", "shuffled", "half of them late"],
)
def test_a_bot_of_thousands_of_waiting_clicks_is_not_looked_through_at_each(
    ordered: bool, delay: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0

    def counted(look: Callable[..., object]) -> Callable[..., object]:
        def count(*args: object) -> object:
            nonlocal looked
            looked += 1
            return look(*args)

        return count

    for name in ("due", "copy_of"):
        monkeypatch.setattr(OpenSession, name, counted(getattr(OpenSession, name)))
    times = [T0 + i * 10 for i in range(10_000)]
    log = Log()
    for i in sorted(range(10_000), key=lambda i: times[i] + delay(i)):
        log.read(click(times[i], i + 1 if ordered else None, product=f"p{i % 7}"))
    assert len(log.partition.sessions["visit"].pending) == 1_000
    assert looked < 1_000
