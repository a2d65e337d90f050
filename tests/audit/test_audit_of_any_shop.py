"""The audit of a shop whose goal is an event: it reads the definition, not the fold it audits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from scored_log import ScoredLog

from clickstream.audit.report import AuditReport
from clickstream.features.session import GoalState
from clickstream.features.shop import Shop
from clickstream.infra.settings import Settings


def a_store() -> ScoredLog:
    """Visits that buy, that do not, that begin with an order, and an order that comes too late."""
    log = ScoredLog(Settings(clicks_topic="clicks", group="group", shop="online-store"))
    for number in range(12):
        name, start = f"visit-{number}", number * 2.0
        events = ["home", "product_view", "add_to_cart", "purchase", "account_page"][: 2 + number % 4]
        for order, event in enumerate(["purchase"] * (number % 6 == 5) + events, 1):
            log.click(name, start + order, order, event=event, platform="mobile" if number % 2 else None)
    log.click("visit-11", 23.5, 9, event="search")
    log.click("visit-11", 23.2, 8, event="purchase")
    log.click("visit-10", 23.1, 1, event=7)
    log.heartbeat(90)
    log.publish()
    return log


def fields(report: AuditReport) -> set[str]:
    return {one.field for finding in report.findings for one in finding.differences}


def test_a_run_that_is_right_is_clean_read_twice_and_recomputed() -> None:
    log = a_store()
    report = log.audit()
    assert report.verdict == "exactly once", report.findings
    assert report.read_twice == report.windows == 12
    assert (report.predictions_checked, report.online_checked) == (12, 12)
    assert {letter["reason"] for letter in log.contents(log.letters)} == {"late", "invalid"}
    scores = log.contents(log.scores)
    assert {score["shop"]["name"] for score in scores} == {"online-store"}
    assert Counter(score["outcome"]["converted"] for score in scores) == {True: 7, False: 5}
    assert all(score["predictions"]["reference"] is None for score in scores)
    assert all(score["predictions"]["batch"]["revenue"] is None for score in scores)
    assert all(score["evidence"] < score["clicks"] for score in scores if score["outcome"]["converted"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("outcome.converted", True),
        ("outcome.at", 5),
        ("outcome.revenue", 1.0),
        ("evidence", 9),
        ("shop.name", "uci553"),
        ("features.carts", 3),
        ("features.pause", None),
        ("predictions.batch.revenue", 2.0),
    ],
)
def test_a_field_that_is_changed_is_found(path: str, value: Any) -> None:
    log = a_store()

    def change(score: dict[str, Any]) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            score = score[parent]
        assert score[name] != value
        score[name] = value

    log.edit(log.scores, 0, change)
    report = log.audit()
    assert report.verdict == "not clean"
    assert any(path.startswith(one) for one in fields(report))


def _evidence_holds_the_goal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Shop, "evidence", Shop.features)


def _what_comes_after_is_evidence(patch: pytest.MonkeyPatch) -> None:
    right = GoalState.settle

    def settle(self: GoalState, body: Any, click: Any) -> None:
        reached = self.reached_at
        right(self, body, click)
        if reached is not None:
            self.evidence = body.copied()
            self.points += 1

    patch.setattr(GoalState, "settle", settle)


def _the_last_goal_is_when_it_happened(patch: pytest.MonkeyPatch) -> None:
    right = GoalState.settle

    def settle(self: GoalState, body: Any, click: Any) -> None:
        right(self, body, click)
        if not click.meets_goal and self.reached_at is not None:
            self.reached_at = click.event_time

    patch.setattr(GoalState, "settle", settle)


@pytest.mark.parametrize(
    "bug",
    [_evidence_holds_the_goal, _what_comes_after_is_evidence, _the_last_goal_is_when_it_happened],
)
def test_a_bug_in_the_code_that_scores_is_found(bug: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    report = a_store().audit()
    assert report.verdict == "not clean"
    assert any("plain reading" in finding.detail for finding in report.findings)


def test_the_scores_of_another_shop_are_under_other_settings() -> None:
    log = a_store()
    log.settings = log.settings.model_copy(update={"shop": "uci553"})
    report = log.audit()
    assert report.other_settings == 12
    assert report.verdict != "exactly once"
