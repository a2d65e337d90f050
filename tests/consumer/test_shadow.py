"""A candidate that rides along: figures of its own, and nothing that it does reaches the stream."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

import numpy as np
import pytest
from scored_log import Oracle
from structlog.testing import capture_logs

from clickstream.bundles.bundle import Bundle, Case, ScorerOutput
from clickstream.consumer.scoring import UnscoredWindow
from clickstream.consumer.shadow import Shadow
from clickstream.features.goal import points_weight
from clickstream.features.shop import UCI553, shop_of
from clickstream.features.shop_file import built_in
from clickstream.models.figures import conversion_figures
from clickstream.models.online import OnlineModels
from clickstream.monitoring.metrics import Distribution
from clickstream.records.shop_click import click_model
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules

STORE = shop_of(built_in("online-store"))
MINUTE = 60_000


def windows(count: int, partition: int = 0) -> list[UnscoredWindow]:
    """Sessions of one to four clicks; every second ends with a purchase."""
    click_of = click_model(STORE.definition)
    logic = Partition(Rules(shop=STORE))
    at = offset = 0
    for number in range(count):
        events = ["home", *["search"] * (number % 3), *["purchase"] * (number % 2)]
        for event in events:
            at += MINUTE
            click = click_of(session_id=f"s{partition}-{number}", event_time=at, event=event)
            logic.advance(offset, at, click)
            offset += 1
    at += 100 * MINUTE
    logic.advance(offset, at, click_of(session_id="end", event_time=at, event="home"))
    assert len(logic.closed) == count
    champion = cast(OnlineModels, Untouched())
    return [UnscoredWindow(partition, closed, champion, learn=False) for closed in logic.closed]


class Untouched:
    """The online models of the bundle in use: a shadow has no business with them."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the shadow asked the models in use for {name}")


class Faulty(Oracle):
    """Answers, until it meets a session with so many clicks; then it raises."""

    id = "faulty"

    def __init__(self, at: int, error: Exception) -> None:
        self._at, self._error = at, error

    def predict(
        self, cases: Sequence[Case], only: Collection[str] | None = None
    ) -> list[dict[str, ScorerOutput]]:
        if any(case.whole["clicks"] == self._at for case in cases):
            raise self._error
        return super().predict(cases, only)


def shadow(bundle: Oracle) -> Shadow:
    return Shadow(cast(Bundle, bundle), STORE)


def values(mine: Shadow) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("clickstream_shadow_"), *sample.labels): sample.value
        for sample in mine.samples()
        if not isinstance(sample.value, Distribution)
    }


def test_its_figures_are_those_of_its_answers_at_the_moments_that_are_drawn() -> None:
    mine = shadow(Oracle())
    all_windows = windows(60)
    mine.published(all_windows[:20])
    mine.published(all_windows[20:])
    found = values(mine)
    sessions = [window.closed.session for window in all_windows]
    expected = conversion_figures(
        [session.goal is not None and session.goal.reached_at is not None for session in sessions],
        [1 / (1 + (session.drawn.clicks if session.drawn else session.evidence)) for session in sessions],
        np.array([points_weight(session.evidence) for session in sessions]),
    )
    assert found["info", "oracle"] == 1
    assert found["failures_total",] == 0
    for window in ("since_start", "rolling"):
        assert found["sessions", window] == 60
        assert found["log_loss", "batch", window] == pytest.approx(expected["log_loss"])
        assert found["auc", "batch", window] == pytest.approx(expected["auc"])
        assert ("revenue_mae", "batch", window) not in found


def test_its_online_models_learn_by_partition_and_those_in_use_do_not() -> None:
    mine = shadow(Oracle())
    for partition, count in ((0, 5), (3, 2), (0, 4)):
        mine.published(windows(count, partition))
    assert {partition: models.lessons for partition, models in mine._online.items()} == {0: 9, 3: 2}


def test_a_session_that_it_cannot_score_is_counted_and_the_others_are_scored() -> None:
    mine = shadow(Faulty(4, ValueError("no such product")))
    with capture_logs() as lines:
        mine.published(windows(60))
        mine.published(windows(60))
    found = values(mine)
    assert found["failures_total",] == 20
    assert found["sessions", "since_start"] == 100
    assert found["info", "faulty"] == 1
    assert [line["log_level"] for line in lines] == ["warning"]
    assert "no such product" in lines[0]["error"]


@pytest.mark.parametrize("error", [RuntimeError("cannot"), MemoryError(), AttributeError("gone")])
def test_one_that_fails_rides_no_further_and_raises_nothing(error: Exception) -> None:
    mine = shadow(Faulty(4, error))
    with capture_logs() as lines:
        mine.published(windows(60))
        mine.published(windows(60))
    assert not mine.rides
    found = values(mine)
    assert found["info", "faulty"] == 0
    assert found["failures_total",] == 60
    (line,) = (line for line in lines if line["log_level"] == "error")
    assert line["bundle"] == "faulty"
    assert type(error).__name__ in line["error"]


def test_a_shop_whose_goal_is_a_rule_is_ridden_along_too() -> None:
    click_of = click_model(UCI553.definition)
    logic = Partition(Rules())
    for offset, (name, at) in enumerate([("a", 0), ("a", MINUTE), ("b", 100 * MINUTE)]):
        click = click_of(
            session_id=name, event_time=at, product="A1", category="sale", price=9.0, price_2=2, page=1
        )
        logic.advance(offset, at, click)
    mine = Shadow(cast(Bundle, Oracle()), UCI553)
    mine.published([UnscoredWindow(0, closed, cast(OnlineModels, Untouched())) for closed in logic.closed])
    found = values(mine)
    assert found["sessions", "since_start"] == 1
    assert found["revenue_mae", "reference", "since_start"] == 11.0
