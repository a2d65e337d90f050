"""The audit of a shop whose goal is an event: it reads the definition, not the fold it audits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from small_logs import a_day, a_store, put

from clickstream.audit.report import AuditReport
from clickstream.features import session
from clickstream.features.session import GoalState
from clickstream.features.shop import Shop


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
    drawn = [score for score in scores if score["drawn"] is not None]
    assert len(drawn) == 5
    for score in drawn:
        clicks, said = score["drawn"]["clicks"], score["drawn"]["predictions"]
        assert clicks < score["evidence"]
        assert said["batch"]["conversion"] == round(1 / (1 + clicks), 10)
        assert said["online"]["conversion"] == score["predictions"]["online"]["conversion"]


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

    log.edit(log.scores, 0, put(path, value))
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


def _another_point_is_drawn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session, "is_drawn", lambda *_: True)


def _the_lesson_is_always_the_last_point(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Shop, "lesson", Shop.evidence)


@pytest.mark.parametrize(
    "bug",
    [
        _evidence_holds_the_goal,
        _what_comes_after_is_evidence,
        _the_last_goal_is_when_it_happened,
        _another_point_is_drawn,
        _the_lesson_is_always_the_last_point,
    ],
)
def test_a_bug_in_the_code_that_scores_is_found(bug: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    report = a_store().audit()
    assert report.verdict == "not clean"
    assert any("plain reading" in finding.detail for finding in report.findings)


def test_a_moment_of_a_shop_without_such_a_goal_is_wrong() -> None:
    log = a_day()
    log.edit(log.scores, 0, put("drawn", None))
    report = log.audit()
    assert (report.wrong, fields(report)) == (1, {"drawn"})


def test_a_moment_that_is_left_out_is_wrong() -> None:
    log = a_store()
    log.edit(log.scores, 0, lambda score: score.pop("drawn"))
    report = log.audit()
    assert report.wrong == 1
    assert "drawn" in fields(report)


def test_the_scores_of_another_shop_are_under_other_settings() -> None:
    log = a_store()
    log.settings = log.settings.model_copy(update={"shop": "uci553"})
    report = log.audit()
    assert report.other_settings == 12
    assert report.verdict != "exactly once"
