"""The Kafka timestamp of an idle heartbeat."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clickstream.consumer.idle import record_time

MAX_AHEAD = 300_000


def test_it_is_event_time_where_that_lies_behind_the_clock() -> None:
    assert record_time(1_000, 5_000, MAX_AHEAD) == 1_000


def test_it_is_the_clock_where_event_time_is_ahead() -> None:
    assert record_time(5_000, 1_000, MAX_AHEAD) == 1_000


@given(ahead=st.integers(-(10**10), 2 * MAX_AHEAD), clock=st.integers(10**12, 2 * 10**12))
def test_the_rules_take_it_always_and_the_broker_as_long_as_it_took_the_click(ahead: int, clock: int) -> None:
    """A click is at most twice `max_ahead` before the clock: once by the broker, once by T8."""
    sent = record_time(clock + ahead, clock, MAX_AHEAD)
    assert clock + ahead - sent <= MAX_AHEAD
    assert sent - clock <= MAX_AHEAD
