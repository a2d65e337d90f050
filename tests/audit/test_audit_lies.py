"""A field of a score that is changed is wrong or unchecked: the audit passes over none of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from factory import examples
from hypothesis import given
from hypothesis import strategies as st
from scored_log import START, Oracle, ScoredLog
from small_logs import (
    ALICE,
    ALICE_REBUILT,
    NO_PREDICTIONS,
    VISITS,
    a_day,
    a_store,
    put,
    rebuilt_day,
    shop_log,
)

from clickstream.audit.verdict import unchecked_parts
from clickstream.models.clusters import NAMES
from clickstream.records.score import Score

UNDECIDED = {"scored_at"}
"""The wall clock: no log decides it."""


def leaves(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each field by its path; a null one, and what has fields of its own, too."""
    for name, value in content.items():
        yield prefix + name, value
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")


PATHS = sorted(path for path, _ in leaves(a_day().contents(a_day().scores)[ALICE]) if path not in UNDECIDED)


STORE = a_store().contents(a_store().scores)
DRAWN = next(at for at, score in enumerate(STORE) if score["drawn"] is not None)
DRAWN_PATHS = sorted(path for path, _ in leaves(STORE[DRAWN]) if path.startswith("drawn"))


def test_the_sweep_knows_every_field_of_the_schema() -> None:
    known = {path.partition(".")[0] for path in (*PATHS, *DRAWN_PATHS)}
    assert known | UNDECIDED == set(Score.model_fields)


def others(value: object) -> st.SearchStrategy[object]:
    """Values that a liar may put in place of one: near it, far from it, of another type."""
    near: st.SearchStrategy[object] = st.nothing()
    if isinstance(value, bool):
        near = st.just(not value)
    elif isinstance(value, int):
        near = st.sampled_from([value - 1, value + 1, 0, -1, value * 1_000, 1 << 40])
    elif isinstance(value, float):
        near = st.sampled_from(
            [math.nextafter(value, 0), value + 1e-6, value / 2, 0.0, 1.0, -value, value + 1, 1e9]
        )
    elif isinstance(value, str):
        near = st.sampled_from(["", value + "x", "end", "limit", "flush", *NAMES, "elsewhere"])
    return near | st.sampled_from([None, 0, 1.0, "x", {}])


@pytest.mark.parametrize("path", PATHS)
@given(data=st.data())
@examples(12)
def test_a_field_that_is_changed_is_wrong_or_unchecked(path: str, data: st.DataObject) -> None:
    log = a_day()
    at = data.draw(st.integers(0, len(log.scores) - 1))
    before = dict(leaves(log.contents(log.scores)[at]))[path]
    after = data.draw(others(before).filter(lambda value: not same(value, before)))
    log.edit(log.scores, at, put(path, after))
    report = log.audit(bundles={"oracle": Oracle()})
    assert report.verdict != "exactly once", (path, before, after)


@pytest.mark.parametrize("path", DRAWN_PATHS)
@given(data=st.data())
@examples(12)
def test_a_field_of_the_moment_that_is_drawn_is_changed_and_found(path: str, data: st.DataObject) -> None:
    log = a_store()
    before = dict(leaves(STORE[DRAWN]))[path]
    after = data.draw(others(before).filter(lambda value: not same(value, before)))
    log.edit(log.scores, DRAWN, put(path, after))
    assert log.audit().verdict == "not clean", (path, before, after)


def same(one: object, other: object) -> bool:
    return orjson.dumps(one) == orjson.dumps(other)


@given(VISITS.filter(lambda visits: len(visits) > 10), st.data())
@examples(100)
def test_no_field_of_any_score_of_a_run_is_changed_unseen(visits: list[Any], data: st.DataObject) -> None:
    log = shop_log(visits)
    if not log.scores:
        return
    at = data.draw(st.integers(0, len(log.scores) - 1))
    fields = dict(leaves(log.contents(log.scores)[at]))
    path = data.draw(st.sampled_from([path for path in sorted(fields) if path not in UNDECIDED]))
    after = data.draw(others(fields[path]).filter(lambda value: not same(value, fields[path])))
    log.edit(log.scores, at, put(path, after))
    assert log.audit().verdict != "exactly once", (path, fields[path], after)


def every_score(log: ScoredLog, path: str, value: object) -> None:
    for at in range(len(log.scores)):
        log.edit(log.scores, at, put(path, value))


def test_null_predictions_with_an_error_in_all_scores_are_wrong() -> None:
    log = a_day()
    every_score(log, "predictions", NO_PREDICTIONS)
    every_score(log, "error", "prediction failed: ValueError: could not")
    report = log.audit()
    assert (report.verdict, report.wrong) == ("not clean", 5)


def test_scores_under_another_fingerprint_are_unchecked_and_said_to_be_so() -> None:
    log = a_day()
    every_score(log, "settings", "0123456789ab")
    every_score(log, "clicks", 77)
    every_score(log, "outcome", {"converted": False, "revenue": 0.0, "source": "proxy", "at": None})
    report = log.audit()
    assert report.verdict == "unchecked"
    assert unchecked_parts(report)["scores under other settings"] == 5


def test_rebuilt_partly_without_a_loss_is_wrong() -> None:
    log = a_day()
    log.edit(log.scores, ALICE, put("predictions", NO_PREDICTIONS))
    log.edit(log.scores, ALICE, put("error", "rebuilt-partly"))
    report = log.audit()
    assert report.verdict == "not clean"
    assert {d.field for finding in report.findings for d in finding.differences} == {"error"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("last_click_at", START),
        ("closed_by", "end"),
        ("clicks", 9),
        ("late", 3),
        ("evidence", 7),
        ("missing", 50),
        ("duplicates", 9),
        ("source.closing_offset", 6),
        ("source.last_offset", 99),
        ("features.last_price", 1.0),
        ("features.mean_price", 900.0),
        ("features.category_transitions", 40),
        ("features.session_length", 40),
        ("outcome.converted", False),
        ("outcome.revenue", 1.0),
        ("time_source", "synthetic"),
        ("models.feature_sets.prefix", "0"),
        ("predictions.batch", {"conversion": 0.5, "revenue": 1.0, "cluster": 0, "cluster_name": NAMES[0]}),
    ],
)
def test_what_a_score_that_was_rebuilt_partly_cannot_hold_is_wrong(path: str, value: object) -> None:
    log = rebuilt_day()
    log.edit(log.scores, ALICE_REBUILT, put(path, value))
    report = log.audit()
    assert report.verdict == "not clean"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("predictions.batch.conversion", 0.7),
        ("predictions.online.revenue", 11.0),
        ("predictions.batch.cluster", 7),
        ("predictions.reference.cluster_name", "kind 1"),
    ],
)
def test_without_the_bundle_base_rates_and_clusters_are_checked(path: str, value: object) -> None:
    log = a_day()
    single = 1
    assert log.contents(log.scores)[single]["evidence"] == 0
    log.edit(log.scores, single, put(path, value))
    report = log.audit(bundles={})
    assert (report.verdict, report.wrong) == ("not clean", 1)


def test_without_the_bundle_facts_are_checked() -> None:
    log = a_day()
    log.edit(log.scores, ALICE, put("features.mean_price", 7.0))
    assert log.audit(bundles={}).wrong == 1


@pytest.mark.parametrize("lessons", [1, 4, 77])
def test_lessons_that_the_windows_before_do_not_make_are_wrong_or_unchecked(lessons: int) -> None:
    log = a_day()
    log.edit(log.scores, ALICE, put("models.lessons", lessons))
    report = log.audit()
    assert report.verdict == ("not clean" if lessons > ALICE else "unchecked")
    assert report.online_checked == 4


def test_online_models_that_begin_again_are_checked_from_there_and_told() -> None:
    log = a_day()
    log.lose_lessons()
    for minute in range(130, 190, 10):
        log.click("frank", minute)
    log.heartbeat(300)
    log.publish()
    report = log.audit()
    assert not report.findings
    assert (report.online_restarts, report.online_checked) == (1, report.scored)
    assert unchecked_parts(report) == {"online models that began again": 1}


def test_a_run_of_another_group_name_that_scored_nothing_is_unchecked() -> None:
    log = a_day()
    log.scores.clear()
    assert log.audit(committed=None).verdict == "unchecked"
