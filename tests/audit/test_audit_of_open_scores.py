"""The audit of scores of open sessions: whatever is false is found, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from factory import examples
from hypothesis import given
from hypothesis import strategies as st
from scored_log import OnlineOracle, Oracle, ScoredLog

from clickstream.bundles.bundle import Case, ScorerOutput
from clickstream.infra.settings import Settings

EACH = Settings(clicks_topic="clicks", group="group", open_scores="each")


def log_of(settings: Settings = EACH) -> ScoredLog:
    """Two visitors, a late click, a copy, clicks out of order, an end."""
    log = ScoredLog(settings)
    for minute, order in ((0, 1), (1, 2), (0.5, 3), (1, 2), (4, 4), (2, 5), (6, 6)):
        log.click("alice", minute, order)
        log.click("bob", minute + 0.2, order)
    log.click("alice", 7, 7, end=True)
    log.heartbeat(60)
    log.click("carol", 61, 1)
    log.publish()
    return log


def test_a_right_log_is_clean_and_says_how_many_there_are() -> None:
    log = log_of()
    report = log.audit()
    assert report.clean, report.findings
    opened = report.opened
    # Of each visitor's seven, the copy and the late one have none.
    assert opened.found == opened.expected == len(log.opened) == 2 * 5 + 1 + 1
    assert opened.predictions_checked == opened.found
    assert opened.online_unchecked == 0


def change(part: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def changed(score: dict[str, Any]) -> None:
        *path, last = part.split(".")
        inner = score
        for name in path:
            inner = inner[name]
        inner[last] = value

    return changed


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("clicks", 9),
        ("opened_at", 5),
        ("event_time", 5),
        ("predictions.batch.conversion", 0.123),
        ("predictions.online.conversion", 0.123),
        ("predictions.batch.cluster", 7),
        ("predictions.batch", None),
        ("models.lessons", 3),
        ("conditions", ["made_up"]),
        ("error", "prediction failed: ValueError: no"),
        ("open_score_id", "made/up/1"),
        ("session_id", "mallory"),
        ("shop.name", "another"),
        ("time_source", "synthetic"),
    ],
)
@pytest.mark.parametrize("at", [0, 5])
def test_a_field_that_is_not_as_the_log_makes_it_is_found(part: str, value: Any, at: int) -> None:
    log = log_of()
    log.edit(log.opened, at, change(part, value))
    report = log.audit()
    assert report.opened.wrong >= 1
    assert report.verdict == "not clean"
    assert any(finding.what == "open score" and finding.kind == "wrong" for finding in report.findings)
    assert report.wrong == report.missing == report.duplicate == 0


def test_one_that_is_missing_there_twice_or_made_up_is_counted_as_such() -> None:
    log = log_of()
    gone = log.opened.pop(4)
    log.put(log.opened, gone.topic, 0, log.opened[2].key, log.opened[2].value)
    log.put(log.opened, gone.topic, 0, gone.key, gone.value)
    log.edit(log.opened, -1, change("source.offset", 6))  # a copy's
    opened = log.audit().opened
    assert (opened.missing, opened.duplicate, opened.unexpected, opened.wrong) == (1, 1, 1, 0)


def test_what_is_not_committed_yet_is_pending_and_what_the_topic_has_lost_is_unchecked() -> None:
    log = log_of()
    log.opened.pop()
    report = log.audit(committed=len(log.clicks) - 1)
    assert report.opened.pending == 1
    assert not report.flawed
    log = log_of()
    report = log.audit(opened_from=3)
    assert (report.opened.unchecked, report.opened.missing) == (3, 0)
    assert report.verdict == "unchecked"


def test_numbers_of_clicks() -> None:
    log = log_of(EACH.model_copy(update={"open_scores": "2,4"}))
    assert sorted({score["clicks"] for score in log.contents(log.opened)}) == [2, 4]
    assert log.audit().clean
    del log.opened[1]
    assert log.audit().opened.missing == 1


CONDITIONS = "few: batch.conversion < 0.4; four: clicks >= 4; never: clicks > 100"


@pytest.mark.parametrize("asked", ["off", "each", "1"])
def test_a_condition_is_named_once_a_session(asked: str) -> None:
    log = log_of(EACH.model_copy(update={"open_scores": asked, "open_conditions": CONDITIONS}))
    named = [(s["session_id"], name) for s in log.contents(log.opened) for name in s["conditions"]]
    assert sorted(named) == [("alice", "few"), ("alice", "four"), ("bob", "few"), ("bob", "four")]
    report = log.audit()
    assert report.clean, report.findings
    at = next(at for at, one in enumerate(log.contents(log.opened)) if one["conditions"] == ["four"])
    log.edit(log.opened, at, change("conditions", []))
    report = log.audit()
    assert report.opened.wrong + report.opened.unexpected == 1
    log.opened.pop(at)
    assert log.audit().opened.missing == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.integers(0, 80),
            st.one_of(st.none(), st.integers(1, 4)),
            st.booleans(),
        ),
        max_size=25,
    ),
    st.sampled_from([1, 3, 1_000]),
    st.sampled_from([2, 1_000]),
)
@examples(150)
def test_the_audits_own_reading_finds_the_same_clicks_open(
    clicks: list[tuple[str, int, int | None, bool]], max_pending: int, max_clicks: int
) -> None:
    log = ScoredLog(EACH.model_copy(update={"max_pending": max_pending, "max_clicks": max_clicks}))
    for session_id, half_minutes, order, end in clicks:
        log.click(session_id, half_minutes / 2, order, end=end)
    log.publish()
    report = log.audit()
    assert report.clean or not report.scored, report.findings
    assert report.opened.wrong == report.opened.missing == report.opened.unexpected == 0, report.findings


class Unable(OnlineOracle):
    """Online models that cannot answer for a visit of three clicks."""

    def predict(self, case: Case) -> ScorerOutput:
        if case.whole["session_length"] == 3:
            raise ValueError("three")
        return super().predict(case)


class Bundled(Oracle):
    """A bundle with these."""

    def online(self) -> OnlineOracle:
        return Unable()


def test_an_error_is_right_where_the_models_fail_again_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scored_log.OnlineOracle", Unable)
    log = log_of()
    failed = [score for score in log.contents(log.opened) if score["error"]]
    assert {score["clicks"] for score in failed} == {3}
    assert failed[0]["predictions"] == {"batch": None, "online": None}
    monkeypatch.undo()
    assert log.audit(bundles={"oracle": Bundled()}).clean
    assert log.audit(bundles={"oracle": Oracle()}).opened.wrong == len(failed)
