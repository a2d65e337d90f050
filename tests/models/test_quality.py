"""Quality in the stream: bounded sums and counts that say what scikit-learn says of all sessions."""

from __future__ import annotations

import random

import pytest
from sklearn.metrics import log_loss, mean_absolute_error, roc_auc_score

from clickstream.models.quality import BINS, EvaluatedSession, Rolling, SinceStart, measure, rows
from clickstream.records.scorers import SCORERS


def of_scorers(batch: float, online: float, reference: float, others: float) -> tuple[float, ...]:
    """In the order of SCORERS."""
    known = {"batch": batch, "online": online, "reference": reference}
    return tuple(known.get(name, others) for name in SCORERS)


def sessions(count: int, seed: int = 1) -> list[EvaluatedSession]:
    """Sessions of which batch knows something, online less, and reference all."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        chance, revenue = rng.random(), rng.uniform(18, 82)
        converted = rng.random() < chance
        guess = min(1.0, max(0.0, chance + rng.uniform(-0.3, 0.3)))
        found.append(
            EvaluatedSession(
                converted,
                revenue,
                rng.random() < 0.9,
                1.0,
                of_scorers(chance, round(guess, 10), float(converted), others=0.5),
                of_scorers(43.0, 40.0, revenue, others=42.0),
            )
        )
    return found


def test_since_the_start_is_what_all_sessions_together_say() -> None:
    judged = sessions(5_000)
    since = SinceStart()
    for start in (0, 1, 100, 2_000):
        end = {0: 1, 1: 100, 100: 2_000, 2_000: 5_000}[start]
        since.add(rows(judged[start:end]))
    quality = since.quality()
    assert quality is not None
    assert quality.sessions == 5_000
    assert quality.same_cluster == pytest.approx(sum(one.same_cluster for one in judged) / 5_000)
    converted, revenue = [one.converted for one in judged], [one.revenue for one in judged]
    for at, name in enumerate(SCORERS):
        forecast = [one.conversions[at] for one in judged]
        merit = quality.scorers[name]
        assert merit.log_loss == pytest.approx(log_loss(converted, forecast), rel=1e-12)
        assert merit.mae == pytest.approx(mean_absolute_error(revenue, [one.revenues[at] for one in judged]))
        assert merit.auc == pytest.approx(roc_auc_score(converted, forecast), abs=1e-4)


def test_measuring_is_exact() -> None:
    judged = sessions(700)
    quality = measure(rows(judged))
    assert quality is not None
    converted = [one.converted for one in judged]
    assert quality.scorers["batch"].auc == roc_auc_score(converted, [one.conversions[0] for one in judged])
    assert quality.scorers["reference"].auc == 1.0
    assert quality.scorers["reference"].mae == 0.0


def test_a_session_counts_as_it_weighs() -> None:
    """As if it had come so many times: at both ways to measure."""
    each = sessions(300)
    weighed = [one._replace(weight=1.0 + at % 3) for at, one in enumerate(each)]
    repeated = [one for at, one in enumerate(each) for _ in range(1 + at % 3)]
    since, among = SinceStart(), SinceStart()
    since.add(rows(weighed))
    among.add(rows(repeated))
    for found, expected in (
        (since.quality(), among.quality()),
        (measure(rows(weighed)), measure(rows(repeated))),
    ):
        assert found is not None
        assert expected is not None
        assert found.sessions == 300
        for name, merit in found.scorers.items():
            assert tuple(merit) == pytest.approx(tuple(expected.scorers[name]), rel=1e-12)


def test_forecasts_in_one_bin_count_as_equal() -> None:
    since = SinceStart()
    near = 0.5 + 0.1 / BINS
    since.add(
        rows(
            [
                sessions(1)[0]._replace(converted=c, conversions=of_scorers(p, p, p, p))
                for c, p in ((False, 0.5), (True, near))
            ]
        )
    )
    quality = since.quality()
    assert quality is not None
    assert quality.scorers["batch"].auc == 0.5


@pytest.mark.parametrize("cuts", [[100], [1, 2, 30, 31, 99], [7, 14, 80], []])
def test_the_last_sessions_are_the_last_however_they_came(cuts: list[int]) -> None:
    judged = sessions(100)
    rolling = Rolling(30)
    for start, end in zip([0, *cuts], [*cuts, 100], strict=True):
        rolling.add(rows(judged[start:end]))
    assert sorted(rolling.table().tolist()) == sorted(rows(judged[-30:]).tolist())


def test_before_it_is_full_the_last_sessions_are_all() -> None:
    rolling = Rolling(30)
    rolling.add(rows(sessions(7)))
    assert rolling.table().tolist() == rows(sessions(7)).tolist()


def test_no_session_has_no_quality_and_one_outcome_has_no_auc() -> None:
    since = SinceStart()
    assert since.quality() is None
    assert measure(rows([])) is None
    table = rows([one._replace(converted=True) for one in sessions(10)])
    since.add(table)
    for quality in (since.quality(), measure(table)):
        assert quality is not None
        assert quality.scorers["batch"].auc is None
        assert quality.scorers["batch"].log_loss > 0


def test_a_certain_forecast_that_fails_costs_much_but_not_for_ever() -> None:
    wrong = sessions(1)[0]._replace(converted=True, conversions=of_scorers(0.5, 0.5, 0.0, 0.5))
    since = SinceStart()
    since.add(rows([wrong]))
    quality, exact = since.quality(), measure(rows([wrong]))
    assert quality is not None
    assert exact is not None
    assert quality.scorers["reference"].log_loss == pytest.approx(exact.scorers["reference"].log_loss)
    assert 30 < quality.scorers["reference"].log_loss < 40
