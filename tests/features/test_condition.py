"""Conditions: the line of Python that is written of one holds exactly where the condition does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.features.condition import (
    ConditionError,
    Constant,
    Name,
    ValueKind,
    code,
    holds,
    parse_expression,
)

FIELDS = {
    "price": Name(("price",), ValueKind.number),
    "page": Name(("page",), ValueKind.number, nullable=False),
    "event": Name(("event",), ValueKind.text),
    "kind": Name(("kind",), ValueKind.text, nullable=False),
    "member": Name(("member",), ValueKind.truth),
    "mobile": Name(("mobile",), ValueKind.truth, nullable=False),
}


def lookup(name: str) -> Name:
    if name not in FIELDS:
        raise ConditionError(f"a click has no field `{name}`", "Fields: ...")
    return FIELDS[name]


def value_of(row: dict[str, Any], path: tuple[str, ...]) -> Any:
    return row[path[0]]


numbers = st.sampled_from(
    ["price", "page", "0", "1", "2.5", "-1", "(price + 1)", "(page * price)", "(1 / page)"]
)
texts = st.sampled_from(["event", "kind", '"a"', '"b"', '""'])
truths = st.sampled_from(["member", "mobile", "true", "false"])
comparisons = (
    st.builds("{} {} {}".format, numbers, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), numbers)
    | st.builds("{} {} {}".format, texts, st.sampled_from(["==", "!=", "<", ">"]), texts)
    | st.builds("{} {} [{}, {}]".format, texts, st.sampled_from(["in", "not in"]), texts, texts)
    | st.builds("{} {} {}".format, texts, st.sampled_from(["in", "not in"]), texts)
    | st.builds("{} < {} < {}".format, numbers, numbers, numbers)
    | st.builds("{} {} null".format, st.sampled_from(list(FIELDS)), st.sampled_from(["==", "!="]))
    | st.builds("{} == ({} > {})".format, truths, numbers, numbers)
    | truths
)
conditions = st.recursive(
    comparisons,
    lambda inner: (
        st.builds("({} and {})".format, inner, inner)
        | st.builds("({} or {})".format, inner, inner)
        | st.builds("(not {})".format, inner)
    ),
    max_leaves=5,
)
rows = st.fixed_dictionaries(
    {
        "price": st.none() | st.sampled_from([0.0, 1.0, 2.5, -1.0]),
        "page": st.integers(0, 3),
        "event": st.none() | st.sampled_from(["a", "b", "ab"]),
        "kind": st.sampled_from(["a", "b", ""]),
        "member": st.none() | st.booleans(),
        "mobile": st.booleans(),
    }
)


@given(conditions, rows)
def test_the_line_of_python_holds_where_the_condition_does(text: str, row: dict[str, Any]) -> None:
    expression = parse_expression(text, lookup)
    written = code(expression, lambda name: f"row[{name.path[0]!r}]")
    if written is None:
        assert any(sign in text for sign in "+*/")
    else:
        assert eval(written, {"row": row}) is holds(expression, value_of)(row)


@given(conditions, rows)
def test_a_condition_and_its_opposite_never_hold_together(text: str, row: dict[str, Any]) -> None:
    either = [holds(parse_expression(one, lookup), value_of)(row) for one in (text, f"not ({text})")]
    assert not all(either)
    if None not in row.values() and "/" not in text:
        assert any(either)


@pytest.mark.parametrize(
    "text", ["", "price", "price >", "price > 'a'", "1e999 > price", "price > 1 if true else 2"]
)
def test_what_is_no_condition_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConditionError, match=r"condition|number|not true"):
        parse_expression(text, lookup)


@pytest.mark.parametrize(
    "text", ["(" * 200 + "page" + ")" * 200, "not " * 300 + "mobile", "-" * 900 + "1 > 2"]
)
def test_a_hostile_condition_ends_in_words(text: str) -> None:
    with pytest.raises(ConditionError):
        parse_expression(text, lookup)


def test_a_negative_number_is_a_constant() -> None:
    compared = parse_expression("page > -1", lookup)
    assert Constant(-1) in (getattr(compared, "right", None),)
