"""The audit sees each way in which a score can be missing, repeated, made up or wrong; and nothing else."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from random import Random
from typing import Any

import orjson
import pytest
from factory import click_json, examples
from hypothesis import given
from hypothesis import strategies as st
from scored_log import MINUTE, START, Oracle, ScoredLog
from small_logs import (
    ALICE,
    ALICE_REBUILT,
    NO_PREDICTIONS,
    SHOP,
    VISITS,
    Edit,
    a_day,
    put,
    rebuilt_day,
    refused_day,
    shop_log,
)

from clickstream.audit.online import UNKNOWN
from clickstream.audit.report import AuditReport, Finding
from clickstream.audit.verdict import unchecked_parts
from clickstream.infra.settings import Settings
from clickstream.models.case import Case, ScorerOutput


def only(report: AuditReport) -> Finding:
    """The one thing that was found."""
    assert not report.clean
    (finding,) = report.findings
    return finding


def test_a_run_without_a_flaw_is_clean_and_counted() -> None:
    log = a_day()
    report = log.audit()
    assert report.clean
    assert (report.clicks, report.heartbeats) == (10, 2)
    assert (report.windows, report.scored, report.open, report.pending) == (5, 5, 1, 0)
    assert report.predictions_checked == 5
    assert report.findings == ()
    alice = log.contents(log.scores)[ALICE]
    assert (alice["late"], alice["duplicates"], alice["missing"]) == (1, 1, 1)


def test_the_report_is_json() -> None:
    report = a_day().audit()
    told = orjson.loads(orjson.dumps(report.as_dict()))
    assert (told["verdict"], told["clean"]) == ("exactly once", True)
    assert told["scored"] == 5
    assert set(told["digests"]) == {"same-log", "across-logs"}


def test_a_score_that_was_not_published_is_missing() -> None:
    log = a_day()
    gone = orjson.loads(log.scores.pop(1).value or b"")
    report = log.audit()
    finding = only(report)
    assert (report.missing, report.scored) == (1, 4)
    assert (finding.kind, finding.id) == ("missing", gone["score_id"])
    assert finding.cause is not None
    assert finding.cause.offset == gone["source"]["closing_offset"]
    assert "T3" in finding.detail


def test_a_window_whose_closing_record_is_not_committed_is_pending_and_not_missing() -> None:
    log = a_day()
    gone = orjson.loads(log.scores.pop().value or b"")
    closing = gone["source"]["closing_offset"]
    report = log.audit(committed=closing)
    assert report.clean
    assert (report.pending, report.missing) == (1, 0)
    assert log.audit(committed=closing + 1).missing == 1


def test_what_was_published_tells_how_far_the_group_came_when_its_offsets_are_gone() -> None:
    log = a_day()
    del log.scores[1]
    assert log.audit(committed=None).missing == 1


def test_the_same_score_twice_is_a_duplicate() -> None:
    log = a_day()
    again = log.scores[2]
    log.put(log.scores, "scores", 0, again.key, again.value)
    report = log.audit()
    assert report.duplicate == 1
    assert only(report).kind == "duplicate"


def test_a_copy_after_a_flush_is_a_dead_letter_and_no_window_of_the_same_name() -> None:
    log = ScoredLog()
    log.click("alice", 1)
    log.heartbeat(1.5, flush=True)
    log.click("alice", 1)
    log.heartbeat(60)
    log.publish()
    assert [score["score_id"] for score in log.contents(log.scores)] == [f"alice/{START + MINUTE}"]
    assert [letter["reason"] for letter in log.contents(log.letters)] == ["late"]
    assert log.audit().clean

    log.put(log.scores, "scores", 0, b"alice", log.scores[0].value)
    assert log.audit().duplicate == 1
    log.scores.clear()
    assert log.audit().missing == 1


def test_a_score_of_a_window_that_the_log_never_opened_is_unexpected() -> None:
    log = a_day()
    log.put(log.scores, "scores", 0, b"alice", log.scores[ALICE].value)
    log.edit(log.scores, -1, put("score_id", "alice/1199999999999"))
    log.edit(log.scores, -1, put("opened_at", 1_199_999_999_999))
    report = log.audit()
    assert (report.unexpected, report.duplicate) == (1, 0)
    assert only(report).id == "alice/1199999999999"


FACTS = {
    "last_click_at": START,
    "closed_by": "limit",
    "clicks": 9,
    "duplicates": 2,
    "late": 0,
    "missing": 3,
    "evidence": 1,
    "time_source": "synthetic",
    "features.session_length": 5,
    "features.mean_price": 41.375000000000007,
    "features.first_category": "sale",
    "features.last_price_2": 1.0,
    "outcome.converted": False,
    "outcome.revenue": 38.00000000000001,
    "source.first_offset": 1,
    "source.last_offset": 9,
    "source.closing_offset": 7,
}


@pytest.mark.parametrize("path", FACTS)
def test_a_field_that_differs_in_the_last_digit_is_wrong_and_named(path: str) -> None:
    log = a_day()
    log.edit(log.scores, ALICE, put(path, FACTS[path]))
    report = log.audit()
    finding = only(report)
    assert (report.wrong, report.scored, finding.kind) == (1, 5, "wrong")
    (difference,) = finding.differences
    assert difference.field == path
    assert difference.found == FACTS[path]
    assert difference.rule


def test_a_feature_is_compared_to_the_last_bit() -> None:
    log = a_day()
    mean = log.contents(log.scores)[ALICE]["features"]["mean_price"]
    log.edit(log.scores, ALICE, put("features.mean_price", math.nextafter(mean, 0)))
    assert only(log.audit()).differences[0].field == "features.mean_price"


def test_a_feature_that_is_missing_or_too_much_is_wrong() -> None:
    log = a_day()
    log.edit(log.scores, 0, lambda score: score["features"].pop("max_price"))
    log.edit(log.scores, 1, put("features.mood", 1))
    report = log.audit()
    assert report.wrong == 2
    assert {f.differences[0].field for f in report.findings} == {"features.max_price", "features.mood"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("batch.conversion", 0.25 + 1e-8),
        ("batch.revenue", 13.1),
        ("reference.conversion", 0.3),
        ("reference.revenue", 0.0),
        ("online.conversion", 0.3),
        ("online.revenue", 2.5),
    ],
)
def test_a_prediction_other_than_the_bundles_is_wrong(path: str, value: object) -> None:
    log = a_day()
    assert log.contents(log.scores)[ALICE]["predictions"]["batch"]["conversion"] == 0.25
    log.edit(log.scores, ALICE, put(f"predictions.{path}", value))
    report = log.audit()
    assert report.wrong == 1
    (difference,) = only(report).differences
    assert (difference.field, difference.found) == (f"predictions.{path}", value)


def test_predictions_are_not_checked_without_their_bundle_and_the_report_says_so() -> None:
    log = a_day()
    log.edit(log.scores, ALICE, put("predictions.batch.conversion", 0.9))
    report = log.audit(bundles={})
    assert report.verdict == "unchecked"
    assert not report.findings
    assert report.predictions_checked == 0
    assert report.predictions_unchecked == {"bundle oracle is not here": 5}


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (put("predictions.online", None), "predictions.online"),
        (put("predictions.batch", None), "predictions.batch"),
        (put("predictions.online.revenue", -1.0), "predictions.online"),
        (put("error", "prediction failed: ValueError: x"), "predictions.batch"),
    ],
)
def test_predictions_are_all_there_or_none_with_an_error(edit: Edit, field: str) -> None:
    log = a_day()
    log.edit(log.scores, 0, edit)
    report = log.audit()
    assert report.wrong == 1
    assert only(report).differences[0].field == field


@pytest.mark.parametrize(
    "edit",
    [
        put("predictions.online.conversion", 1.5),
        put("features", None),
        put("extra", 1),
        lambda score: score.pop("scored_at"),
    ],
)
def test_a_record_that_is_no_valid_score_is_wrong(edit: Edit) -> None:
    log = a_day()
    log.edit(log.scores, 0, edit)
    report = log.audit()
    assert (report.wrong, report.missing) == (1, 1)
    assert any("not a score" in finding.detail for finding in report.findings)


@pytest.mark.parametrize("value", [b"not json", None, b"[]"])
def test_a_record_that_is_no_json_object_is_wrong(value: bytes | None) -> None:
    log = a_day()
    log.put(log.scores, "scores", 0, b"alice", value)
    assert log.audit().wrong == 1


@pytest.mark.parametrize("score_id", ["alice", "alice/x", "bob/1200000000000"])
def test_a_score_id_that_is_not_session_and_opening_is_wrong(score_id: str) -> None:
    log = a_day()
    log.edit(log.scores, ALICE, put("score_id", score_id))
    report = log.audit()
    assert (report.wrong, report.missing, report.duplicate) == (1, 1, 0)
    assert {f.differences[0].field for f in report.findings if f.kind == "wrong"} == {"score_id"}


def test_a_score_under_another_key_or_in_another_partition_is_wrong() -> None:
    log = a_day()
    log.scores[ALICE].key = b"bob"
    log.scores[1].partition = 3
    report = log.audit()
    assert report.wrong == 2
    assert {f.differences[0].field for f in report.findings} == {"key", "partition"}


class Failing(Oracle):
    """A bundle that cannot answer for a visit of four clicks."""

    def predict(
        self, cases: Sequence[Case], only: Collection[str] | None = None
    ) -> list[dict[str, ScorerOutput]]:
        if any(case.whole["session_length"] == 4 for case in cases):
            raise ValueError("four")
        return super().predict(cases, only)


def test_an_error_that_the_bundle_gives_again_is_counted_and_not_wrong() -> None:
    log = a_day(Failing())
    report = log.audit(bundles={"oracle": Failing()})
    assert report.verdict == "exactly once", report.findings
    assert report.errors == {"prediction failed: ValueError": 1}
    assert (report.predictions_checked, report.online_checked) == (5, 4)


@pytest.mark.parametrize(
    "error",
    [
        "prediction failed: ValueError: a price of 1e9",
        "prediction failed: KeyError: 'x'",
        "prediction failed",
        "the model was busy",
        "",
        "rebuilt-partly, or so",
    ],
)
def test_an_error_that_nothing_explains_is_wrong(error: str) -> None:
    log = a_day()
    for at in range(5):
        log.edit(log.scores, at, put("error", error))
        log.edit(log.scores, at, put("predictions", NO_PREDICTIONS))
    report = log.audit()
    assert report.verdict == "not clean"
    assert report.wrong == 5


def test_errors_that_cannot_be_looked_into_are_unchecked() -> None:
    log = a_day()
    log.edit(log.scores, ALICE, put("error", "prediction failed: ValueError: x"))
    log.edit(log.scores, ALICE, put("predictions", NO_PREDICTIONS))
    report = log.audit(bundles={})
    assert report.verdict == "unchecked"
    assert report.predictions_unchecked == {"bundle oracle is not here": 5}


class Mute(Oracle):
    """A bundle that can answer for no visit."""

    def predict(
        self, cases: Sequence[Case], only: Collection[str] | None = None
    ) -> list[dict[str, ScorerOutput]]:
        raise ArithmeticError(f"{len(cases)} are too many for {only or 'all'}")


def test_a_run_in_which_no_score_has_predictions_is_no_success() -> None:
    report = a_day(Mute()).audit(bundles={"oracle": Mute()})
    assert report.verdict == "unchecked"
    assert not report.findings
    assert "all predictions: each score has an error" in unchecked_parts(report)


def test_a_score_rebuilt_partly_stands_for_its_window_although_clicks_are_missing() -> None:
    log = rebuilt_day()
    partly = log.scores[ALICE_REBUILT]
    assert orjson.loads(partly.value or b"")["error"] == "rebuilt-partly"
    report = log.audit()
    assert report.verdict == "unchecked", report.findings
    assert not report.findings
    assert (report.rebuilt_partly, report.scored, report.errors) == (1, 4, {"rebuilt-partly": 1})

    whole = a_day().scores[ALICE]
    log.put(log.scores, "scores", 0, whole.key, whole.value)
    report = log.audit()
    assert report.duplicate == 1

    log.edit(log.scores, ALICE_REBUILT, put("session_id", "zoe"))
    log.edit(
        log.scores, ALICE_REBUILT, put("score_id", f"zoe/{orjson.loads(partly.value or b'')['opened_at']}")
    )
    log.scores[ALICE_REBUILT].key = b"zoe"
    report = log.audit()
    assert (report.duplicate, report.unexpected) == (0, 1)


def test_scores_about_another_clicks_topic_are_left_out() -> None:
    log = a_day()
    log.put(log.scores, "scores", 0, log.scores[0].key, log.scores[0].value)
    log.edit(log.scores, -1, put("source.topic", "elsewhere"))
    report = log.audit()
    assert report.clean
    assert report.other_topics == 1


def test_dead_letters_are_expected_by_reason() -> None:
    report = refused_day().audit()
    assert report.clean
    assert {r: (c.expected, c.found) for r, c in report.dead_letters.items()} == {
        "future": (1, 1),
        "invalid": (1, 1),
        "late": (1, 1),
        "not-json": (1, 1),
    }


def test_the_audit_expects_what_max_behind_and_a_missing_timestamp_refuse() -> None:
    log = ScoredLog(Settings(clicks_topic="clicks", max_behind=60 * MINUTE))
    for timestamp in (START + 60 * MINUTE, START + 60 * MINUTE + 1, -1):
        log.send(b"alice", click_json(session_id="alice", event_time=START), timestamp)
    log.heartbeat(100)
    log.publish()
    report = log.audit()
    assert report.clean
    assert {r: (c.expected, c.found) for r, c in report.dead_letters.items()} == {
        "invalid": (1, 1),
        "past": (1, 1),
    }


@pytest.mark.parametrize("at", range(4))
def test_a_dead_letter_that_was_not_published_is_missing(at: int) -> None:
    log = refused_day()
    gone = orjson.loads(log.letters.pop(at).value or b"")
    report = log.audit()
    assert report.dead_letters[gone["reason"]].missing == 1
    assert only(report).kind == "missing"


def test_a_dead_letter_of_a_record_that_is_not_committed_is_pending() -> None:
    log = ScoredLog()
    log.send(b"alice", b"{", START)
    report = log.audit(committed=0)
    assert report.clean
    assert report.dead_letters["not-json"].pending == 1
    assert log.audit(committed=1).dead_letters["not-json"].missing == 1


def test_a_dead_letter_twice_is_a_duplicate() -> None:
    log = refused_day()
    log.put(log.letters, "clicks.dead-letter", 0, None, log.letters[0].value)
    report = log.audit()
    assert report.dead_letters["not-json"].duplicate == 1
    assert only(report).kind == "duplicate"


@pytest.mark.parametrize("offset", [0, 99])
def test_a_dead_letter_of_a_record_that_is_not_refused_is_unexpected(offset: int) -> None:
    log = refused_day()
    log.put(log.letters, "clicks.dead-letter", 0, None, log.letters[0].value)
    log.edit(log.letters, -1, put("offset", offset))
    report = log.audit()
    assert report.dead_letters["not-json"].unexpected == 1
    assert only(report).kind == "unexpected"


@pytest.mark.parametrize(
    ("field", "value"),
    [("detail", "?"), ("key", "Ym9i"), ("value", None), ("size", 7), ("reason", "key-mismatch")],
)
def test_a_dead_letter_that_says_something_else_is_wrong(field: str, value: object) -> None:
    log = refused_day()
    log.edit(log.letters, 0, put(field, value))
    report = log.audit()
    assert report.dead_letters["not-json"].wrong == 1
    (difference,) = only(report).differences
    assert (difference.field, difference.found) == (field, value)


def test_a_record_that_is_no_dead_letter_is_wrong() -> None:
    log = refused_day()
    log.put(log.letters, "clicks.dead-letter", 0, None, b"{}")
    assert log.audit().dead_letters["unreadable"].wrong == 1


def test_all_are_counted_and_ten_of_a_kind_are_told() -> None:
    log = ScoredLog()
    for session in range(30):
        log.click(f"s{session}", session, end=True)
    log.heartbeat(100)
    log.publish()
    for at in range(15):
        log.edit(log.scores, at, put("clicks", 7))
    del log.scores[15:30]
    report = log.audit()
    assert (report.wrong, report.missing) == (15, 15)
    assert sum(finding.kind == "wrong" for finding in report.findings) == 10
    assert sum(finding.kind == "missing" for finding in report.findings) == 10
    assert all(finding.differences for finding in report.findings if finding.kind == "wrong")


def test_what_was_scored_under_other_settings_is_not_comparable_and_not_missing() -> None:
    log = ScoredLog()
    for minute in range(0, 60, 20):
        log.click("alice", minute)
        log.click("bob", minute + 5)
    log.heartbeat(61, flush=True)
    log.publish()
    log.under(gap=10 * MINUTE)
    for minute in range(70, 200, 20):
        log.click("alice", minute)
        log.click("carol", minute + 7)
    log.heartbeat(300)
    log.publish()
    report = log.audit()
    assert report.verdict == "unchecked"
    assert not report.findings
    assert report.other_settings == 2
    assert report.scored == 14

    log.edit(log.scores, -1, put("clicks", 7))
    assert log.audit().wrong == 1


def test_a_run_under_other_settings_beside_ours_hides_nothing_of_it() -> None:
    log, other = a_day(), ScoredLog(Settings(clicks_topic="clicks", gap=20 * MINUTE))
    other.clicks = log.clicks
    other.publish()
    for line in other.scores:
        log.put(log.scores, "scores", 0, line.key, line.value)
    assert log.audit().verdict == "unchecked"
    assert not log.audit().findings
    del log.scores[3]
    report = log.audit()
    assert (report.other_settings, report.missing) == (len(other.scores), 1)
    assert "beside" in report.notes[0]


def test_scores_that_their_topic_has_deleted_are_not_missing_and_later_ones_are() -> None:
    log = a_day()
    report = log.audit(scores_from=2)
    assert report.verdict == "unchecked"
    assert report.unchecked == 2
    del log.scores[3]
    assert log.audit(scores_from=2).missing == 1


@given(VISITS, st.integers(0, 60))
@examples(150)
def test_a_true_run_has_no_flaw_wherever_retention_has_cut_its_log(visits: list[Any], begin: int) -> None:
    log = shop_log(visits)
    assert not log.audit().flawed
    report = log.audit(begin=min(begin, len(log.clicks)))
    assert not report.flawed, report.findings


def long_log(seed: int) -> ScoredLog:
    """Some thousand visits of a few people who hardly leave, so that windows end by their limit."""
    random = Random(seed)
    log = ScoredLog(SHOP.model_copy(update={"max_open_sessions": 100}))
    now = 100
    for _ in range(2_000):
        now += random.choice((0, 1, 3, 8)) if random.random() < 0.98 else 100
        behind = random.choice((0, 0, 2, 9)) if random.random() < 0.97 else 30
        log.click(random.choice("abcdef"), (now - behind) / 10, random.choice((None, 1, 2, 3, 4, 5)))
    log.publish()
    return log


@given(st.integers(0, 1 << 32), st.integers(1, 600))
@examples(5)
def test_beyond_the_cut_of_a_log_every_loss_is_seen_again(seed: int, begin: int) -> None:
    log = long_log(seed)
    report = log.audit(begin=begin)
    assert not report.flawed, report.findings
    assert report.unchecked < report.windows
    before = report.unchecked
    del log.scores[-20:]
    report = log.audit(begin=begin)
    assert report.missing > 0
    assert report.missing + report.unchecked - before == 20


@given(VISITS.filter(lambda visits: len(visits) > 10), st.data())
@examples(150)
def test_no_loss_copy_or_change_of_a_record_goes_unseen(visits: list[Any], data: st.DataObject) -> None:
    log = shop_log(visits)
    lines = data.draw(st.sampled_from([lines for lines in (log.scores, log.letters) if lines] or [[]]))
    if not lines:
        return
    at = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["lose", "repeat", "change"]))
    if how == "lose":
        del lines[at]
    elif how == "repeat":
        log.put(lines, lines[at].topic, lines[at].partition, lines[at].key, lines[at].value)
    elif lines is log.scores:
        log.edit(lines, at, lambda score: score.update(missing=score["missing"] + 1))
    else:
        log.edit(lines, at, lambda letter: letter.update(size=letter["size"] + 1))
    assert not log.audit().clean


class Doubter(Oracle):
    """Another bundle: it halves every probability of `batch`."""

    def predict(
        self, cases: Sequence[Case], only: Collection[str] | None = None
    ) -> list[dict[str, ScorerOutput]]:
        return [
            answer | {"batch": answer["batch"]._replace(conversion=answer["batch"].conversion / 2)}
            for answer in super().predict(cases, only)
        ]


def test_each_score_is_checked_with_the_bundle_that_it_names() -> None:
    log = a_day()
    log.edit(log.scores, ALICE, put("models.bundle", "doubter"))
    alice = only(log.audit(bundles={"oracle": Oracle(), "doubter": Doubter()}))
    assert [(one.field, one.expected) for one in alice.differences] == [
        (
            "predictions.batch.conversion",
            log.contents(log.scores)[ALICE]["predictions"]["batch"]["conversion"] / 2,
        )
    ]
    log.edit(log.scores, ALICE, put("predictions.batch.conversion", alice.differences[0].expected))
    report = log.audit(bundles={"oracle": Oracle(), "doubter": Doubter()})
    assert not report.flawed
    assert report.bundles == {"doubter": 1, "oracle": 4}
    assert report.predictions_checked == 5


def test_scores_of_a_bundle_that_is_gone_are_counted_and_named() -> None:
    log = a_day()
    log.edit(log.scores, ALICE, put("models.bundle", "gone"))
    report = log.audit(bundles={"oracle": Oracle()})
    assert report.verdict == "unchecked"
    assert not report.findings
    assert report.predictions_checked == 4
    assert report.predictions_unchecked == {"bundle gone is not here": 1, UNKNOWN: 2}
    assert report.bundles == {"gone": 1, "oracle": 4}


def torn_day(second: float) -> ScoredLog:
    """A visit whose clicks lie on two partitions, on one at 0 and on the other at `second` minutes."""
    log = ScoredLog()
    log.click("alice", 0, 1, partition=0)
    log.click("alice", second, 2, partition=1)
    log.click("bob", 3, 1, partition=1)
    for partition in (0, 1):
        log.heartbeat(200, partition=partition)
    log.publish()
    return log


def test_a_visit_whose_clicks_lie_on_two_partitions_is_torn() -> None:
    report = torn_day(2).audit()
    assert (report.verdict, report.torn, report.duplicate) == ("not clean", 1, 0)
    assert only(report).kind == "torn"
    assert "partitions 0 and 1" in only(report).detail


def test_one_score_id_from_two_partitions_is_a_duplicate() -> None:
    report = torn_day(0).audit()
    assert (report.torn, report.duplicate, report.scored) == (1, 1, 3)
    assert {finding.kind for finding in report.findings} == {"torn", "duplicate"}


def test_a_session_that_comes_back_to_another_partition_after_a_pause_is_not_torn() -> None:
    """As after partitions were added."""
    assert torn_day(100).audit().verdict == "exactly once"


def test_scores_that_are_all_there_twice_are_those_of_two_groups() -> None:
    log = a_day()
    for line in log.scores[:]:
        log.put(log.scores, "scores", 0, line.key, line.value)
        log.edit(log.scores, -1, put("scored_at", 1))
    report = log.audit()
    assert report.duplicate == 5
    assert "two groups" in report.notes[0]
