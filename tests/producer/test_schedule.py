"""Event times: the same on every run, within their bounds, on their days."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pytest
from factory import examples
from hypothesis import given
from hypothesis import strategies as st

from clickstream.files.dataset import Dataset
from clickstream.files.rows import PageView
from clickstream.infra.days import DAY_MS, midnight
from clickstream.infra.errors import UsageError
from clickstream.producer.schedule import (
    BUSY_DAY,
    HOURS,
    LONGEST_MS,
    SHORTEST_MS,
    Calendar,
    Schedule,
    ScheduleOptions,
    make_schedule,
)
from clickstream.producer.synthetic import synthetic_dataset

CALENDARS: tuple[Calendar, ...] = ("dated", "busy-day")
datasets = st.builds(synthetic_dataset, st.integers(1, 40), st.integers(0, 5))
calendars = st.sampled_from(CALENDARS)


def of_lengths(*lengths: int, day: date = date(2008, 4, 1)) -> Dataset:
    """Sessions of so many clicks, all alike."""
    return Dataset(
        name="test",
        path=None,
        sha256="0" * 64,
        views=(PageView(29, "A1", "trousers", 1, 1, 1, 30.0, 2, 1),),
        view_of=np.zeros(sum(lengths), np.int32),
        session_ids=tuple(f"{number}" for number in range(len(lengths))),
        days=(day,) * len(lengths),
        starts=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
    )


def by_click(schedule: Schedule) -> dict[int, int]:
    return {entry.click: entry.event_time for entry in schedule}


@examples(30)
@given(datasets, calendars, st.integers(0, 3))
def test_a_schedule_is_a_pure_function(dataset: Dataset, calendar: Calendar, seed: int) -> None:
    options = ScheduleOptions(calendar, seed)
    assert list(make_schedule(dataset, options)) == list(make_schedule(dataset, options))
    assert make_schedule(dataset, options).fingerprint == make_schedule(dataset, options).fingerprint


def test_another_seed_or_file_gives_other_times_and_another_fingerprint() -> None:
    ours = make_schedule(synthetic_dataset(50, 1), ScheduleOptions())
    for other in (
        make_schedule(synthetic_dataset(50, 1), ScheduleOptions(seed=43)),
        make_schedule(synthetic_dataset(50, 2), ScheduleOptions()),
    ):
        assert list(other.times) != list(ours.times)
        assert other.fingerprint != ours.fingerprint


def test_these_times_are_the_same_on_every_machine() -> None:
    schedule = make_schedule(of_lengths(3, 2), ScheduleOptions())
    assert [(e.session_id, e.event_time - midnight(BUSY_DAY)) for e in schedule] == [
        ("0", 66_873_650),
        ("0", 66_945_086),
        ("0", 66_947_967),
        ("1", 67_165_324),
        ("1", 67_185_183),
    ]


@examples(40)
@given(datasets, calendars)
def test_distances_are_clipped_and_sessions_stay_on_their_day(dataset: Dataset, calendar: Calendar) -> None:
    times = by_click(make_schedule(dataset, ScheduleOptions(calendar)))
    starts = dataset.starts.tolist()
    for session, day in enumerate(dataset.days):
        mine = [times[click] for click in range(starts[session], starts[session + 1])]
        distances = np.diff(mine)
        assert ((distances >= SHORTEST_MS) & (distances <= LONGEST_MS)).all()
        begins = midnight(day if calendar == "dated" else BUSY_DAY)
        assert begins <= mine[0] <= mine[-1] < begins + DAY_MS


@examples(40)
@given(datasets, calendars)
def test_entries_are_in_order_and_every_click_is_there_once(dataset: Dataset, calendar: Calendar) -> None:
    schedule = make_schedule(dataset, ScheduleOptions(calendar))
    entries = list(schedule)
    assert entries == sorted(entries)
    assert sorted(entry.click for entry in entries) == list(range(len(dataset)))


@examples(25)
@given(datasets, st.integers(1, 20))
def test_a_choice_of_sessions_or_calendar_changes_no_time_of_day(dataset: Dataset, sessions: int) -> None:
    whole = {
        click: time % DAY_MS for click, time in by_click(make_schedule(dataset, ScheduleOptions())).items()
    }
    dated = by_click(make_schedule(dataset, ScheduleOptions("dated")))
    assert {click: time % DAY_MS for click, time in dated.items()} == whole
    some = by_click(make_schedule(dataset, ScheduleOptions(sessions=sessions)))
    assert len(some) == dataset.starts[min(sessions, len(dataset.session_ids))]
    assert all(whole[click] == time % DAY_MS for click, time in some.items())


def test_dates_choose_days_both_included(made: Dataset) -> None:
    first, last = date(2008, 5, 3), date(2008, 5, 5)
    schedule = make_schedule(made, ScheduleOptions("dated", first=first, last=last, sessions=100_000))
    days = {made.days[session] for session in schedule.sessions.tolist()}
    assert days == {date(2008, 5, 3), date(2008, 5, 4), date(2008, 5, 5)}
    assert midnight(first) <= schedule.times[0]
    assert schedule.times[-1] < midnight(last) + DAY_MS


def test_no_session_left_is_refused_with_the_days_that_there_are(made: Dataset) -> None:
    with pytest.raises(UsageError, match=re.escape("--from 2009-01-01")) as refused:
        make_schedule(made, ScheduleOptions(first=date(2009, 1, 1)))
    assert f"{min(made.days)} to {max(made.days)}" in refused.value.remedy


def test_a_session_longer_than_a_day_begins_at_midnight() -> None:
    times = make_schedule(of_lengths(5_000), ScheduleOptions("dated")).times
    assert times[0] == midnight(date(2008, 4, 1))
    assert times[-1] > times[0] + DAY_MS


def test_ties_are_ordered_by_session_and_order() -> None:
    schedule = make_schedule(of_lengths(*[1] * 20_000), ScheduleOptions())
    entries = list(schedule)
    assert len({entry.event_time for entry in entries}) < len(entries)
    assert entries == sorted(entries)


def test_sessions_begin_by_the_hours_of_the_day() -> None:
    schedule = make_schedule(of_lengths(*[1] * 50_000), ScheduleOptions())
    hours = np.bincount((schedule.times % DAY_MS) // 3_600_000, minlength=24) / 50_000
    assert hours == pytest.approx(np.array(HOURS) / sum(HOURS), abs=0.005)


def test_distances_follow_the_weibull_distribution() -> None:
    times = by_click(make_schedule(of_lengths(*[200] * 200), ScheduleOptions()))
    sessions = np.array([times[click] for click in range(40_000)]).reshape(200, 200)
    distances = np.diff(sessions, axis=1) / 1_000
    # Its quantiles are scale (-ln(1 - q)) ** (1 / shape).
    for share in (0.25, 0.5, 0.9, 0.99):
        assert np.quantile(distances, share) == pytest.approx(
            35 * (-np.log(1 - share)) ** (1 / 0.7), rel=0.05
        )


def test_a_moved_schedule_keeps_its_clicks_and_its_fingerprint() -> None:
    schedule = make_schedule(synthetic_dataset(20, 1), ScheduleOptions())
    moved = schedule.moved(2, 3)
    assert [(e.event_time + 3 * DAY_MS, "r2-" + e.session_id, e.click) for e in schedule] == list(moved)
    assert moved.fingerprint == schedule.fingerprint
    assert list(moved.moved(1, 0)) == list(schedule)


def test_open_sessions_are_counted() -> None:
    schedule = make_schedule(of_lengths(1, 1, 1), ScheduleOptions())
    first, second, third = schedule.times.tolist()
    assert schedule.load(0).peak == 1
    assert schedule.load(second - first).peak == 2
    gap = 600_000
    assert schedule.load(gap).mean == pytest.approx(3 * gap / (third + gap - first))


def test_a_busy_day_holds_hundreds_of_open_sessions(uci: Dataset) -> None:
    busy = make_schedule(uci, ScheduleOptions("busy-day")).load(1_800_000)
    dated = make_schedule(uci, ScheduleOptions("dated"))
    assert busy.mean > 400
    assert busy.peak > 1_000
    assert dated.load(0).mean == pytest.approx(0.5, abs=0.1)
    assert dated.load(1_800_000).mean < 6
