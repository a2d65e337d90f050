"""A change of a feature is found and named; a stream without one raises no alarm."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from factory import reference

from clickstream.models.case import Floats
from clickstream.models.drift import (
    BLOCK,
    FEATURES,
    SETTLING,
    Alarm,
    Drift,
    FeatureDrift,
    WatchedFeatures,
)
from clickstream.models.examples import TrainingSession

NAMES = ("price", "length")


def stream(count: int, seed: int = 1) -> Floats:
    """Prices about 44 with a deviation of 8; lengths with a long tail."""
    rng = random.Random(seed)
    return np.array([(rng.gauss(44, 8), 1 + int(rng.expovariate(0.2))) for _ in range(count)])


def watch(table: Floats, step: int = 100, names: tuple[str, ...] = NAMES) -> tuple[list[Alarm], list[int]]:
    """The alarms, and how many sessions had been seen at each."""
    drift, found, at = Drift(names), [], []
    for start in range(0, len(table), step):
        alarms = drift.add(table[start : start + step])
        found += alarms
        at += [min(start + step, len(table))] * len(alarms)
    return found, at


@pytest.mark.parametrize("seed", range(5))
def test_an_undisturbed_stream_raises_no_alarm(seed: int) -> None:
    assert watch(stream(20_000, seed)) == ([], [])


def test_a_change_is_found_soon_and_named_with_its_means() -> None:
    table = stream(6_000)
    table[3_000:, 0] *= 1.5
    (alarm,), (seen,) = watch(table, step=BLOCK)
    assert alarm.feature == "price"
    assert alarm.before == pytest.approx(44, abs=1)
    assert alarm.after == pytest.approx(66, abs=4)
    assert 3_000 < seen < 3_200
    assert alarm.sessions == pytest.approx(seen - 3_000, abs=2 * BLOCK)


def test_each_change_is_one_alarm() -> None:
    table = stream(9_000)
    table[3_000:6_000, 0] += 10
    table[:, 1] += np.where(np.arange(9_000) < 6_000, 0, 5)
    found, _ = watch(table)
    assert [alarm.feature for alarm in found] == ["price", "price", "length"]
    assert found[1].before > found[1].after


def test_alarms_do_not_depend_on_how_the_stream_was_cut() -> None:
    table = stream(4_000)
    table[2_000:, 1] *= 2
    expected, _ = watch(table, 4_000)
    assert expected
    for step in (1, 7, 500):
        assert watch(table, step)[0] == expected


def test_the_unit_does_not_matter() -> None:
    table = stream(4_000)
    table[2_000:, 0] *= 1.2
    (euros,), _ = watch(table)
    (cents,), _ = watch(table * 100)
    assert cents.sessions == euros.sessions
    assert cents.after == pytest.approx(100 * euros.after)


def test_what_never_varied_is_noticed_when_it_does() -> None:
    table = np.ones((2_000, 2))
    table[1_000:, 1] = 0
    (alarm,), _ = watch(table)
    assert (alarm.feature, alarm.before, alarm.after) == ("length", 1.0, 0.0)


def test_while_it_settles_nothing_is_an_alarm() -> None:
    table = stream(SETTLING)
    table[SETTLING // 2 :] *= 3
    assert watch(table) == ([], [])


def test_real_sessions_raise_an_alarm_only_when_their_prices_rise(
    real_sessions: list[TrainingSession],
) -> None:
    table = np.array(
        [[reference(one.session)[name] for name in FEATURES] for one in real_sessions], dtype=float
    )
    shuffled = np.random.default_rng(1).permutation(table)
    assert watch(shuffled, 300, FEATURES) == ([], [])
    shuffled[12_000:, FEATURES.index("mean_price")] *= 1.5
    (alarm,), _ = watch(shuffled, 300, FEATURES)
    assert alarm.feature == "mean_price"
    assert alarm.after / alarm.before == pytest.approx(1.5, abs=0.05)


def test_sessions_that_lack_a_value_leave_the_mean_to_the_others() -> None:
    """However many there are: a block without any is no observation."""
    table = stream(6_000)
    table[:, 0] = np.where(np.random.default_rng(5).random(6_000) < 0.7, np.nan, table[:, 0])
    table[:64, 0] = np.nan
    assert watch(table) == ([], [])
    table[3_000:, 0] *= 1.5
    (alarm,), _ = watch(table)
    assert alarm.feature == "price"
    assert 1.3 < alarm.after / alarm.before < 1.6


def text_alarms(values: Sequence[str | None], step: int) -> list[Alarm]:
    drift = FeatureDrift(WatchedFeatures((), ("event",)))
    return [
        alarm
        for start in range(0, len(values), step)
        for part in (values[start : start + step],)
        for alarm in drift.add(np.empty((len(part), 0)), [part])
    ]


def texts(count: int, weights: tuple[int, ...], seed: int = 1) -> list[str | None]:
    return random.Random(seed).choices(["home", "cart", None, "buy", "chat", "help"], weights, k=count)


@pytest.mark.parametrize("seed", range(5))
def test_shares_of_texts_that_stay_raise_no_alarm(seed: int) -> None:
    assert text_alarms(texts(20_000, (40, 30, 10, 10, 5, 5), seed), 100) == []


@pytest.mark.parametrize("step", [1, 7, 300, 10_000])
def test_shares_of_texts_that_change_are_named_however_the_stream_was_cut(step: int) -> None:
    values = texts(3_000, (40, 30, 10, 10, 5, 5)) + texts(2_000, (40, 30, 10, 10, 5, 45), 2)
    found = text_alarms(values, step)
    assert {alarm.feature for alarm in found} == {"event"}
    rest = next(alarm for alarm in found if alarm.value == "any other")
    assert rest.before == pytest.approx(0.10, abs=0.03)
    assert rest.after == pytest.approx(0.36, abs=0.1)


def test_a_text_that_never_varied_is_noticed_when_it_does() -> None:
    found = text_alarms(["home"] * 1_000 + ["thank_you"] * 300, 50)
    assert {(alarm.value, alarm.before, alarm.after) for alarm in found} == {
        ("home", 1.0, 0.0),
        ("any other", 0.0, 1.0),
    }


def test_what_never_was_and_then_happens_now_and_then_is_found_soon() -> None:
    """An error of the payment, say: none in a thousand sessions, then one in every fourth."""
    rng = np.random.default_rng(4)
    table = np.column_stack((np.zeros(3_000), (rng.random(3_000) < 0.001).astype(float)))
    table[:SETTLING] = 0
    assert watch(table) == ([], [])
    table[1_000:, 0] = rng.poisson(0.25, 2_000)
    (alarm,), (seen,) = watch(table, step=BLOCK)
    assert (alarm.feature, alarm.before) == ("price", 0.0)
    assert seen < 1_300
