"""Conditions on a score, as `conversion > 0.8 and cluster == "long"`: a small language, parsed and checked.

A condition is written like a Python expression and read by Python's own parser; nothing of it is run. Known
are the fields of a score, numbers, texts, `true`, `false`, `null`, lists in brackets, comparisons, `in`,
arithmetic, `and`, `or`, `not`. Each part has a kind, so that a text compared with a number is an error when
the condition is read, not a silence when it is used.

What is null is unknown: a comparison with it is neither true nor false, and a score passes a condition only
where it is true (as in SQL). `error == null` and `error != null` ask for null itself.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from clickstream.app.scores.fields import Kind, Score, UnknownFieldError, find_field
from clickstream.infra.errors import UsageError

Condition = Callable[[Score], bool]

LONGEST = 1_000
"""Characters of a condition."""

_Value = Callable[[Score], Any]
"""What a part of a condition is for a score; None = unknown."""

_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_EQUALITY: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class ConditionError(UsageError):
    """A condition that cannot be read; says where."""


class _Part(NamedTuple):
    kind: Kind | None  # None: null
    value: _Value


def parse_condition(text: str, scorer: str = "batch") -> Condition:
    """Whether a score fulfils `text`; `conversion`, `revenue` and `cluster` in it are those of `scorer`.

    Raises:
        ConditionError: it is no condition on a score; shows the place, and what is known.
    """
    return _Reader(text, scorer).condition()


class _Reader:
    def __init__(self, text: str, scorer: str) -> None:
        self._text = " ".join(text.splitlines()).strip()
        self._scorer = scorer

    def condition(self) -> Condition:
        if len(self._text) > LONGEST:
            raise ConditionError(f"a condition of {len(self._text)} characters; at most {LONGEST} are taken")
        try:
            tree = ast.parse(self._text, mode="eval")
            value = self._truth(tree.body)
        except SyntaxError as error:
            place = (error.offset or len(self._text) + 1) - 1
            raise self._error(f"this is no condition: {error.msg}", place, 1) from None
        except (RecursionError, MemoryError):
            raise ConditionError("this condition is nested too deeply", "Write it flatter.") from None
        except ValueError as error:
            # A zero byte, or a number of thousands of digits.
            raise ConditionError(f"this is no condition: {error}") from None
        return lambda score: value(score) is True

    def _part(self, node: ast.expr) -> _Part:
        match node:
            case ast.BoolOp():
                return _Part(Kind.truth, self._joined(node))
            case ast.UnaryOp(ast.Not(), operand):
                return _Part(Kind.truth, _known(operator.not_, self._truth(operand)))
            case ast.UnaryOp(ast.USub(), operand):
                return _Part(Kind.number, _known(operator.neg, self._number(operand)))
            case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
                apply = _ARITHMETIC[type(op)]
                return _Part(Kind.number, _known(apply, self._number(left), self._number(right)))
            case ast.Compare():
                return _Part(Kind.truth, self._compared(node))
            case ast.Constant(bool() | int() | float() | str() | None as constant):
                return _constant(constant)
            case ast.Name(word) if word in _WORDS:
                return _constant(_WORDS[word])
            case ast.Name() | ast.Attribute():
                return self._field(node)
        raise self._error_at("this is not known here", node)

    def _field(self, node: ast.Name | ast.Attribute) -> _Part:
        parts: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            raise self._error_at("a dot follows what is no field", node)
        try:
            field = find_field(".".join([inner.id, *reversed(parts)]), self._scorer)
        except UnknownFieldError as error:
            raise self._error_at(error.what, node, error.remedy) from None
        return _Part(field.kind, field.of)

    def _joined(self, node: ast.BoolOp) -> _Value:
        values = [self._truth(one) for one in node.values]
        # What ends it: one false part of `and`, one true part of `or`. Else unknown wins over the rest.
        deciding = isinstance(node.op, ast.Or)

        def joined(score: Score) -> bool | None:
            result: bool | None = not deciding
            for value in values:
                found = value(score)
                if found is None:
                    result = None
                elif bool(found) is deciding:
                    return deciding
            return result

        return joined

    def _compared(self, node: ast.Compare) -> _Value:
        operands = [node.left, *node.comparators]
        links = [self._link(operands[i], op, operands[i + 1], node) for i, op in enumerate(node.ops)]

        def compared(score: Score) -> bool | None:
            results = [link(score) for link in links]
            if False in results:
                return False
            return None if None in results else True

        return compared

    def _link(self, left: ast.expr, op: ast.cmpop, right: ast.expr, whole: ast.Compare) -> _Value:
        if isinstance(op, ast.In | ast.NotIn):
            return self._contained(left, right, isinstance(op, ast.NotIn))
        a, b = self._part(left), self._part(right)
        kind = type(op)
        if a.kind is None or b.kind is None:
            asked = b.value if a.kind is None else a.value
            if kind in (ast.Eq, ast.Is):
                return lambda score: asked(score) is None
            if kind in (ast.NotEq, ast.IsNot):
                return lambda score: asked(score) is not None
            raise self._error_at("null is neither more nor less than anything", whole)
        if kind not in _EQUALITY | _ORDER:
            raise self._error_at("`is` stands before null only", whole, "Write ==.")
        if Kind.mapping in (a.kind, b.kind):
            raise self._error_at("this holds several values", left if a.kind is Kind.mapping else right)
        if a.kind is not b.kind:
            raise self._error_at(f"{a.kind} is compared with {b.kind}", whole)
        if kind in _ORDER and a.kind is Kind.truth:
            raise self._error_at("true is neither more nor less than false", whole)
        return _known((_EQUALITY | _ORDER)[kind], a.value, b.value)

    def _contained(self, left: ast.expr, right: ast.expr, negated: bool) -> _Value:
        part = self._part(left)
        if isinstance(right, ast.List | ast.Tuple):
            choices = [self._part(one) for one in right.elts]
            for node, choice in zip(right.elts, choices, strict=True):
                if choice.kind is not part.kind or choice.kind not in (Kind.number, Kind.text):
                    raise self._error_at(
                        f"{choice.kind or 'null'} is compared with {part.kind or 'null'}", node
                    )
            values = [choice.value for choice in choices]
            return _known(lambda one, *some: (one in some) is not negated, part.value, *values)
        inside = self._part(right)
        if (part.kind, inside.kind) != (Kind.text, Kind.text):
            raise self._error_at("what follows `in` is a text or a list", right, 'As in cluster in ["long"].')
        return _known(lambda one, whole: (one in whole) is not negated, part.value, inside.value)

    def _truth(self, node: ast.expr) -> _Value:
        return self._of_kind(node, Kind.truth, "Compare it with something.")

    def _number(self, node: ast.expr) -> _Value:
        return self._of_kind(node, Kind.number, "Arithmetic is for numbers.")

    def _of_kind(self, node: ast.expr, kind: Kind, remedy: str) -> _Value:
        part = self._part(node)
        if part.kind is not kind:
            raise self._error_at(f"this is {part.kind or 'null'}, not {kind}", node, remedy)
        return part.value

    def _error_at(self, problem: str, node: ast.expr, remedy: str = "") -> ConditionError:
        # The parser counts bytes of UTF-8.
        line = self._text.encode()
        begin = len(line[: node.col_offset].decode())
        end = len(line[: node.end_col_offset].decode())
        return self._error(problem, begin, end - begin, remedy)

    def _error(self, problem: str, begin: int, length: int, remedy: str = "") -> ConditionError:
        marks = " " * begin + "^" * max(length, 1)
        return ConditionError(
            f"{problem}, at character {begin + 1} of the condition\n  {self._text}\n  {marks}", remedy
        )


def _constant(value: float | str | None) -> _Part:
    if isinstance(value, bool):
        return _Part(Kind.truth, lambda _: value)
    kind = Kind.text if isinstance(value, str) else None if value is None else Kind.number
    return _Part(kind, lambda _: value)


def _known(apply: Callable[..., Any], *values: _Value) -> _Value:
    """`apply` to the values where all are known; unknown also where it has no answer, as a division by 0."""

    def known(score: Score) -> Any:
        found = [value(score) for value in values]
        if None in found:
            return None
        try:
            return apply(*found)
        except (TypeError, ArithmeticError):
            # A record that calls itself a score may hold anything.
            return None

    return known
