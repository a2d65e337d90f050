"""What is held out."""

from __future__ import annotations

import datetime

from clickstream.training.split import first_day_held_out, held_out
from clickstream.training.training import TrainingSession


def days(*counts: tuple[str, int]) -> list[datetime.date]:
    return [datetime.date.fromisoformat(day) for day, count in counts for _ in range(count)]


def test_the_dataset_is_divided_at_the_first_of_july(real_sessions: list[TrainingSession]) -> None:
    found = [session.day for session in real_sessions]
    assert first_day_held_out(found) == datetime.date(2008, 7, 1)
    assert sum(held_out(found, "time", 42)) == 6_995


def test_a_month_begins_with_its_first_day_of_sale() -> None:
    found = days(("2024-01-10", 30), ("2024-01-20", 30), ("2024-02-03", 20), ("2024-02-04", 20))
    assert first_day_held_out(found) == datetime.date(2024, 2, 3)


def test_within_a_month_the_day_nearest_to_seventy_in_a_hundred_is_taken() -> None:
    found = days(*((f"2024-01-{day:02}", 10) for day in range(1, 11)))
    assert first_day_held_out(found) == datetime.date(2024, 1, 8)


def test_a_month_too_small_or_too_large_is_not_taken() -> None:
    found = days(("2024-01-31", 5), ("2024-02-01", 60), ("2024-02-02", 35))
    assert first_day_held_out(found) == datetime.date(2024, 2, 2)


def test_at_random_a_fifth_is_held_out_the_same_for_the_same_seed() -> None:
    found = days(("2024-01-01", 1000))
    first = held_out(found, "random", 1)
    assert sum(first) == 200
    assert first == held_out(found, "random", 1)
    assert first != held_out(found, "random", 2)
