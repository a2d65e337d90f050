"""What a consumer tells of itself: each published score once, the models' quality, and drift by name."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from scored_log import ScoredLog
from structlog.testing import capture_logs

from clickstream.consumer.model_metrics import WINDOW, ModelMetrics
from clickstream.consumer.score_evaluation import ObservedScore, ScoreEvaluation, score_observer, score_reader
from clickstream.features.shop import UCI553
from clickstream.models.drift import ERRORS, FEATURES
from clickstream.monitoring.metrics import Distribution
from clickstream.records.scorers import SCORERS


def score(bundle: str = "one", price: float = 44.0, evidence: int = 3, **changes: Any) -> ObservedScore:
    """What is observed of a score on its way to the topic."""
    seen: list[ObservedScore] = []
    score_observer(UCI553)(seen, content_of(bundle, price, evidence) | changes)
    (one,) = seen
    return one


def content_of(bundle: str = "one", price: float = 44.0, evidence: int = 3) -> dict[str, Any]:
    """A score, as far as a monitor looks at it."""
    answer = {"conversion": 0.75, "revenue": 40.0, "cluster": 1, "cluster_name": "long"}
    return {
        "session_id": "s",
        "last_click_at": 1_200_000_000_000,
        "features": dict.fromkeys(FEATURES, 2) | {"mean_price": price, "first_category": "sale"},
        "predictions": dict.fromkeys(SCORERS, answer) | {"online": answer | {"cluster": 2}},
        "evidence": evidence,
        "outcome": {"converted": True, "revenue": 50.0, "source": "proxy", "at": None},
        "models": {"bundle": bundle, "feature_sets": {}, "lessons": 0},
        "shop": UCI553.as_dict(),
        "error": None,
    }


def monitor() -> ModelMetrics:
    return ModelMetrics("one")


def values(monitor: ModelMetrics) -> dict[tuple[str, ...], float]:
    """Name and labels -> value, without the prefix of the name."""
    return {
        (sample.name.removeprefix("clickstream_"), *sample.labels): sample.value
        for sample in monitor.samples()
        if not isinstance(sample.value, Distribution)
    }


def priced(count: int, mean: float, seed: int) -> Sequence[ObservedScore]:
    rng = random.Random(seed)
    return [score(price=rng.gauss(mean, 8)) for _ in range(count)]


def test_a_bundle_that_was_taken_is_told_before_it_has_scored() -> None:
    """One that waits for a partition would else seem to have missed the promotion."""
    mine = monitor()
    mine.published([score()])
    mine.took("two")
    found = values(mine)
    assert found["bundle_info", "two"] == 1
    assert ("bundle_info", "one") not in found
    assert found["model_sessions", "since_start"] == 0


def test_a_monitor_that_saw_nothing_tells_the_bundle_and_no_quality() -> None:
    found = values(monitor())
    assert found["bundle_info", "one"] == 1
    assert found["model_sessions", "rolling"] == 0
    assert {feature: found["drift_total", feature] for feature in (*FEATURES, *ERRORS)} == dict.fromkeys(
        (*FEATURES, *ERRORS), 0
    )
    assert not any(name[0] == "model_log_loss" for name in found)


def test_what_was_published_is_judged_over_both_windows() -> None:
    mine = monitor()
    mine.published([score(), score(), score()])
    found = values(mine)
    for window in ("since_start", "rolling"):
        assert found["model_sessions", window] == 3
        assert found["model_log_loss", "batch", window] == pytest.approx(0.28768, abs=1e-5)
        assert found["model_revenue_mae", "reference", window] == 10.0
        assert found["model_same_cluster", window] == 0.0
        assert ("model_auc", "online", window) not in found


def test_the_rolling_figures_forget_and_those_since_the_start_do_not() -> None:
    mine = monitor()
    mine.published([score(outcome={"converted": True, "revenue": 90.0, "source": "proxy"})] * 10)
    mine.published([score()] * WINDOW)
    found = values(mine)
    assert found["model_sessions", "rolling"] == WINDOW
    assert found["model_sessions", "since_start"] == WINDOW + 10
    assert found["model_revenue_mae", "batch", "rolling"] == 10.0
    assert found["model_revenue_mae", "batch", "since_start"] > 10.0


def test_what_cannot_be_compared_is_not_counted() -> None:
    mine = monitor()
    none = dict.fromkeys(SCORERS)
    mine.published([score(evidence=0), score(predictions=none, error="rebuilt-partly")])
    assert values(mine)["model_sessions", "since_start"] == 0


def test_another_bundle_is_judged_by_its_own_sessions() -> None:
    mine = monitor()
    mine.published([score()] * 5 + [score("two")] * 3)
    found = values(mine)
    assert found["model_sessions", "since_start"] == found["model_sessions", "rolling"] == 3
    assert found["bundle_info", "two"] == 1
    assert ("bundle_info", "one") not in found


def test_prices_that_rise_raise_the_counter_and_a_log_line_that_names_the_feature() -> None:
    mine = monitor()
    with capture_logs() as lines:
        mine.published(priced(2_000, 44, 1))
        assert lines == []
        mine.published(priced(200, 66, 2))
    (line,) = lines
    assert line["log_level"] == "warning"
    assert line["event"] == "drift"
    assert line["feature"] == "mean_price"
    assert line["before"] == pytest.approx(44, abs=1)
    assert line["after"] == pytest.approx(66, abs=3)
    assert 0 < line["sessions"] <= 200
    found = values(mine)
    assert {name[1] for name, value in found.items() if name[0] == "drift_total" and value} == {"mean_price"}


def test_errors_that_rise_are_named_too() -> None:
    mine = monitor()
    rng = random.Random(3)
    with capture_logs() as lines:
        for worse in (0, 25):
            revenues = [rng.gauss(50 + worse, 4) for _ in range(1_000)]
            outcomes = [{"converted": True, "revenue": one, "source": "proxy"} for one in revenues]
            mine.published([score(outcome=outcome) for outcome in outcomes])
    assert [line["feature"] for line in lines] == ["batch_revenue_error"]


def test_a_real_score_is_understood_and_anything_else_is_none() -> None:
    log = ScoredLog()
    log.click("a", 0, 1)
    log.click("a", 1, 2)
    log.heartbeat(60)
    log.publish()
    read = score_reader(UCI553)
    found = read(log.scores[0].value)
    assert isinstance(found, ObservedScore)
    assert found.evidence == 1
    assert len(ScoreEvaluation(2).table([found]).rows) == 1
    for other in (b"", b"{", b"[]", b'{"score_id": 1}', b"\xff", None):
        assert read(other) is None
