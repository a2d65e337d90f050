"""The language of `--where`: what it lets through, what it calls unknown, what it refuses and where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored_log import ScoredLog

from clickstream.terminal.scores import ScoreConditionError, parse_condition


def one_score() -> dict[str, Any]:
    """Three clicks: batch 0.33, online 1.00, reference 0.25, of cluster exploratory."""
    log = ScoredLog()
    for order in (1, 2, 3):
        log.click("alice", order, order, category="sale")
    log.heartbeat(60)
    log.publish()
    return log.contents(log.scores)[0]


SCORE = one_score()
WITHOUT = SCORE | {"error": "prediction failed", "predictions": dict.fromkeys(SCORE["predictions"])}


@pytest.mark.parametrize(
    "condition",
    [
        "conversion > 0.3",
        "conversion > 0.3 and cluster == 'exploratory'",
        "0.3 < conversion <= 0.34",
        "predictions.batch.cluster == 1",
        "online.conversion - batch.conversion > 0.6",
        "not conversion > 0.5",
        "clicks == 3 or clicks == 99",
        "last_category in ['sale', 'skirts']",
        "last_category not in ('skirts',)",
        '"sal" in last_category',
        "clicks in [1, 2, 3]",
        "converted == converted",
        "outcome.converted or not converted",
        "error == null and error is None",
        "conversion != null",
        "closed_by != 'end'",
        "-1 < late < 1",
        "session_length % 2 == 1 and session_length / 2 == 1.5 and session_length * 2 + 1 == 7",
        "true",
        "false or\n clicks > 2",
        'session_id == "alice" and "é" != session_id',
    ],
)
def test_a_score_passes_what_is_true_of_it(condition: str) -> None:
    assert parse_condition(condition)(SCORE)
    assert not parse_condition(f"not ({condition})")(SCORE)


def test_the_short_names_are_those_of_the_scorer() -> None:
    assert parse_condition("conversion == 1 and cluster == 'long'", "online")(SCORE)
    assert parse_condition("conversion == 0.25 and batch.conversion < 0.34", "reference")(SCORE)


@pytest.mark.parametrize(
    "condition",
    [
        "conversion > 0",
        "not conversion > 0",
        "conversion <= 1 or conversion > 1",
        "cluster == 'long'",
        "cluster != 'long'",
        "cluster in ['long']",
        "cluster not in ['long']",
        "conversion + 1 > 0",
        "-conversion < 1",
        "clicks / (clicks - 3) > 0",
        "clicks == 3 and conversion > 0",
        "not (clicks == 3 and conversion > 0)",
    ],
)
def test_where_a_value_is_unknown_nothing_passes(condition: str) -> None:
    assert not parse_condition(condition)(WITHOUT)


def test_what_is_known_decides_where_it_can() -> None:
    assert parse_condition("clicks == 3 or conversion > 0")(WITHOUT)
    assert parse_condition("not (clicks == 4 and conversion > 0)")(WITHOUT)
    assert parse_condition("predictions.batch == null and conversion == null and error != null")(WITHOUT)


@pytest.mark.parametrize(
    ("condition", "problem", "marked"),
    [
        ("conversoin > 0.8", "no field `conversoin`", "conversoin"),
        ("clicks > 3 and predictions.batch.x == 1", "no field `predictions.batch.x`", "predictions.batch.x"),
        ('"é" == session_id and clicks > "3"', "a number is compared with a text", 'clicks > "3"'),
        ("cluster in [1]", "a number is compared with a text", "1"),
        ("cluster in 3", "a text or a list", "3"),
        ("conversion", "this is a number, not true or false", "conversion"),
        ("clicks and late > 0", "not true or false", "clicks"),
        ("cluster + 'x' == 'longx'", "not a number", "cluster"),
        ("source == 'clicks'", "several values", "source"),
        ("clicks > null", "neither more nor less", "clicks > null"),
        ("clicks is 3", "before null only", "clicks is 3"),
        ("converted > false", "neither more nor less", "converted > false"),
        ("__import__('os').system('true') == 0", "not known here", "__import__('os').system('true')"),
        ("(1).real > 0", "a dot follows what is no field", "(1).real"),
        ("len(session_id) > 3", "not known here", "len(session_id)"),
        ("features['mean_price'] > 3", "not known here", "features['mean_price']"),
        ("clicks ** 9 > 3", "not known here", "clicks ** 9"),
        ("(lambda: true)()", "not known here", None),
        ("[x for x in (1,)] == 1", "not known here", None),
        ("session_id == f'{clicks}'", "not known here", "f'{clicks}'"),
        ("(clicks := 3) == 3", "not known here", None),
        ("b'x' in session_id", "not known here", "b'x'"),
        ("1j == clicks", "not known here", "1j"),
        ("clicks >", "no condition", None),
        ("clicks > 3; true", "no condition", None),
        ("", "no condition", None),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    condition: str, problem: str, marked: str | None
) -> None:
    with pytest.raises(ScoreConditionError) as caught:
        parse_condition(condition)
    told, shown, marks = caught.value.what.splitlines()
    assert problem in told
    assert shown == f"  {condition}"
    if marked is not None:
        begin = marks.index("^")
        assert shown[begin : begin + marks.count("^")] == marked
        assert f"at character {begin - 1} " in told


@pytest.mark.parametrize(
    "condition", ["x" * 1_001, "-" * 990 + "1 > 0", "(" * 450 + "1" + ")" * 450, "clicks\0 > 3"]
)
def test_nothing_that_is_too_long_or_too_deep_gets_through(condition: str) -> None:
    with pytest.raises(ScoreConditionError):
        parse_condition(condition)


def test_the_deepest_that_is_taken_can_be_asked() -> None:
    assert parse_condition("not " * 160 + "true")(SCORE)


@given(st.text(alphabet=" ()[]<>=!+-*/%.,'\"0123456789abceilnorstuv_\n\0é"))
def test_any_text_is_a_condition_or_is_refused(text: str) -> None:
    try:
        passes = parse_condition(text)
    except ScoreConditionError:
        return
    assert passes(SCORE) in (True, False)
    assert passes({"score_id": 3, "clicks": "three", "predictions": []}) in (True, False)


NUMBERS = st.sampled_from(["clicks", "conversion", "mean_price", "late", "0.25", "3", "7"])
ARITHMETIC = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda x: f"-{x}"),
    ),
    max_leaves=4,
)
COMPARED = st.tuples(ARITHMETIC, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), ARITHMETIC).map(
    " ".join
)
TRUTHS = st.recursive(
    COMPARED,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda x: f"not {x}"),
    ),
    max_leaves=5,
)


@given(TRUTHS)
def test_where_all_is_known_it_means_what_python_means(text: str) -> None:
    known = {
        "clicks": SCORE["clicks"],
        "late": SCORE["late"],
        "mean_price": SCORE["features"]["mean_price"],
        "conversion": SCORE["predictions"]["batch"]["conversion"],
    }
    assert parse_condition(text)(SCORE) is eval(text, {}, known)
