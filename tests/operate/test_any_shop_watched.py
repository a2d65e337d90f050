"""What is read of the scores topic follows the shop that is set."""

from __future__ import annotations

import io
from typing import Any, cast

import orjson
import pytest
from rich.console import Console
from scored_log import ScoredLog

from clickstream.consumer.score_evaluation import ObservedScore, ScoreShop, score_reader
from clickstream.features.shop import UCI553, shop_of
from clickstream.features.shop_file import built_in, from_source
from clickstream.infra.kafka import Record
from clickstream.infra.settings import Settings
from clickstream.models.drift import MOST_FEATURES, watched_features
from clickstream.operate.quality import RecordedScores, WatchedScores
from clickstream.terminal.watch_view import final_table, render_watched

STORE = shop_of(built_in("online-store"))


def scored(shop: str, sessions: int = 40, **changes: Any) -> list[Record]:
    """The scores of sessions of two to four clicks, of which every second ends with a purchase."""
    log = ScoredLog(Settings(clicks_topic="clicks", group="group", shop=shop))
    for number in range(sessions):
        events = ["home", *["product_view"] * (number % 3), "purchase" if number % 2 else "cart"]
        for order, event in enumerate(events, 1):
            log.click(f"s{number}", 10 * number + order, order, event=event, **changes)
    log.heartbeat(10 * sessions + 90)
    log.publish()
    return cast(list[Record], log.scores)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return scored("online-store")


def shown(what: Any) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(what)
    return cast(io.StringIO, console.file).getvalue()


def test_a_shop_without_a_value_is_evaluated_by_its_two_scorers(records: list[Record]) -> None:
    watched, recorded = WatchedScores(10, shop=STORE), RecordedScores(shop=STORE)
    watched.add(records)
    recorded.add(records)
    since = watched.since_start()
    assert since is not None
    assert since.sessions == watched.sessions == 40
    assert list(since.scorers) == list(recorded.summary()["figures"]) == ["batch", "online"]
    assert {merit.mae for merit in since.scorers.values()} == {None}
    assert since.scorers["batch"].log_loss == pytest.approx(
        recorded.summary()["figures"]["batch"]["log_loss"]
    )
    for text in (shown(render_watched(watched, "")), shown(final_table(recorded.summary()))):
        assert "reference" not in text
        assert "40 of them" in text


def test_scores_of_another_shop_are_counted_by_its_name(records: list[Record]) -> None:
    watched, recorded = WatchedScores(10), RecordedScores()
    for one in (watched, recorded):
        one.add(records)
    for summary in (watched.summary(), recorded.summary()):
        assert summary["sessions"] == 0
        assert summary["other_shops"] == {STORE.label: 40}
        assert summary["shop"] == UCI553.as_dict()
    for text in (shown(render_watched(watched, "")), shown(final_table(recorded.summary()))):
        assert f"not of shop {UCI553.label}: {STORE.label} (40)" in text


def test_a_definition_that_was_changed_is_another_shop(records: list[Record]) -> None:
    """The features of the former one could still be read, and be something else."""
    source = orjson.loads(STORE.definition.source)
    del source["features"]["homes"]
    changed = shop_of(from_source(orjson.dumps(source), "shop.json"))
    assert score_reader(changed)(records[0].value) == ScoreShop(*STORE.as_dict().values())
    assert isinstance(score_reader(STORE)(records[0].value), ObservedScore)


def test_goals_that_no_click_came_before_are_counted() -> None:
    log = ScoredLog(Settings(clicks_topic="clicks", group="group", shop="online-store"))
    log.click("visitor", 0, 1, event="home")
    log.click("visitor", 1, 2, event="purchase")
    log.click("reported later", 2, 1, event="purchase")
    log.click("looks only", 3, 1, event="home")
    log.heartbeat(90)
    log.publish()
    watched = WatchedScores(10, shop=STORE)
    watched.add(cast(list[Record], log.scores))
    assert watched.summary()["goals_without_visit"] == 1
    assert "goals without a visit: 1" in shown(render_watched(watched, ""))


def test_a_proxy_is_no_goal_without_a_visit() -> None:
    log = ScoredLog()
    log.click("alone", 0, 1, page=5)
    log.heartbeat(90)
    log.publish()
    watched = WatchedScores(10)
    watched.add(cast(list[Record], log.scores))
    assert watched.sessions == 1
    assert watched.goals_without_visit == 0


def test_drift_is_found_in_texts_and_names_the_value() -> None:
    watched = WatchedScores(10, shop=STORE)
    watched.add(scored("online-store", 600, platform="desktop"))
    watched.add(scored("online-store", 400, platform="mobile"))
    found = {(alarm.feature, alarm.value) for alarm in watched.alarms}
    assert found == {("on_platform", "desktop"), ("on_platform", "any other")}
    assert watched.summary()["drift"]["on_platform"] == 2
    assert "drift: on_platform, share of desktop, was 1, is 0" in shown(render_watched(watched, ""))


def test_a_field_that_is_no_longer_sent_is_drift() -> None:
    watched = WatchedScores(10, shop=STORE)
    watched.add(scored("online-store", 600, platform="desktop"))
    watched.add(scored("online-store", 400))
    assert {alarm.value for alarm in watched.alarms} == {"desktop", "any other"}


def test_of_a_shop_with_very_many_features_the_first_are_watched() -> None:
    source = orjson.loads(STORE.definition.source)
    source["features"] |= {f"more{at}": {"count": True} for at in range(100)}
    source["features"]["homes"]["in_scores"] = False
    watched = watched_features(shop_of(from_source(orjson.dumps(source), "shop.json")))
    assert len(watched.names) == MOST_FEATURES
    assert "homes" not in watched.names
    assert {"first_event", "on_platform"} <= set(watched.texts)
