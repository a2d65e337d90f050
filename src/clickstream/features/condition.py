"""Conditions, as `price > 20 and category == "sale"`: a small language, parsed, checked and evaluated.

A condition is written like a Python expression and read by Python's own parser; nothing of it is run. Known
are names (a lookup says what they mean: the fields of a click, the fields of a score), numbers, texts,
`true`, `false`, `null`, lists in brackets, comparisons, `in`, arithmetic, `and`, `or`, `not`. Each part has a
kind, so that a text compared with a number is an error when the condition is read, not a silence when it is
used.

What is null is unknown: a comparison with it is neither true nor false, and a condition holds only where it
is true (as in SQL). `error == null` and `error != null` ask for null itself.

`parse_expression` gives an expression, a tree of frozen values; `bind` makes of it a function of a row,
`code` a line of Python.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

LONGEST = 1_000
"""Characters of a condition."""


class ValueKind(StrEnum):
    """What a name holds where it is not null."""

    number = "a number"
    text = "a text"
    truth = "true or false"
    mapping = "names with values"


class ConditionError(ValueError):
    """A condition that cannot be read: what is wrong, at which place, and what would be right."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what if not remedy else f"{what}\n{remedy}")
        self.what = what
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Name:
    """Something that a row has: `path` is what the lookup says of it. `nullable` False: it is never null."""

    path: tuple[str, ...]
    kind: ValueKind
    nullable: bool = True


Lookup = Callable[[str], Name]
"""What a (dotted) name means. Raises ConditionError where it means nothing."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text, true, false or null."""

    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left op right`, both numbers."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Negative:
    """`-of`, a number."""

    of: Expression


@dataclass(frozen=True, slots=True)
class Compare:
    """`left op right`, both of one kind."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class IsNull:
    """Whether `of` is null; itself never unknown."""

    of: Expression
    negated: bool


@dataclass(frozen=True, slots=True)
class OneOf:
    """Whether `item` equals one of `choices`."""

    item: Expression
    choices: tuple[Expression, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Within:
    """Whether the text `item` occurs in the text `text`."""

    item: Expression
    text: Expression
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a truth."""

    of: Expression


@dataclass(frozen=True, slots=True)
class Joined:
    """`and` or `or` of truths."""

    word: Literal["and", "or"]
    parts: tuple[Expression, ...]


Expression = Name | Constant | Arithmetic | Negative | Compare | IsNull | OneOf | Within | Not | Joined

_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Mod: "%",
}
_COMPARED: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def parse_expression(text: str, lookup: Lookup) -> Expression:
    """The condition in `text`; what its names mean says `lookup`.

    Raises:
        ConditionError: it is no condition; shows the place, and what is known.
    """
    return _Reader(text, lookup).condition()


def kind_of(expression: Expression) -> ValueKind | None:
    """What an expression gives where it is known; None for the word null."""
    match expression:
        case Name(kind=kind):
            return kind
        case Constant(value=value):
            if isinstance(value, bool):
                return ValueKind.truth
            return ValueKind.text if isinstance(value, str) else None if value is None else ValueKind.number
        case Arithmetic() | Negative():
            return ValueKind.number
        case _:
            return ValueKind.truth


def parts_of(expression: Expression) -> Iterator[Expression]:
    """The expression and everything inside it."""
    yield expression
    inner: tuple[Expression, ...]
    match expression:
        case Arithmetic(left=left, right=right) | Compare(left=left, right=right):
            inner = (left, right)
        case Negative(of=of) | IsNull(of=of) | Not(of=of):
            inner = (of,)
        case OneOf(item=item, choices=choices):
            inner = (item, *choices)
        case Within(item=item, text=text):
            inner = (item, text)
        case Joined(parts=parts):
            inner = parts
        case _:
            inner = ()
    for part in inner:
        yield from parts_of(part)


class _Reader:
    def __init__(self, text: str, lookup: Lookup) -> None:
        self._text = " ".join(text.splitlines()).strip()
        self._lookup = lookup

    def condition(self) -> Expression:
        if len(self._text) > LONGEST:
            raise ConditionError(f"a condition of {len(self._text)} characters; at most {LONGEST} are taken")
        try:
            tree = ast.parse(self._text, mode="eval")
            return self._truth(tree.body)
        except SyntaxError as error:
            place = (error.offset or len(self._text) + 1) - 1
            raise self._error(f"this is no condition: {error.msg}", place, 1) from None
        except (RecursionError, MemoryError):
            raise ConditionError("this condition is nested too deeply", "Write it flatter.") from None
        except ConditionError:
            raise
        except ValueError as error:
            # A zero byte, or a number of thousands of digits.
            raise ConditionError(f"this is no condition: {error}") from None

    def _part(self, node: ast.expr) -> Expression:
        """One part of a condition, whatever its kind."""
        match node:
            case ast.BoolOp(op, values):
                word: Literal["and", "or"] = "or" if isinstance(op, ast.Or) else "and"
                return Joined(word, tuple(self._truth(value) for value in values))
            case ast.UnaryOp(ast.Not(), operand):
                return Not(self._truth(operand))
            case ast.UnaryOp(ast.USub(), operand):
                of = self._number(operand)
                if isinstance(of, Constant) and isinstance(of.value, int | float):
                    return Constant(-of.value)
                return Negative(of)
            case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
                return Arithmetic(_ARITHMETIC[type(op)], self._number(left), self._number(right))
            case ast.Compare():
                return self._compared(node)
            case ast.Constant(bool() | int() | float() | str() | None as constant):
                if isinstance(constant, float) and not math.isfinite(constant):
                    raise self._error_at("this number is too large", node)
                return Constant(constant)
            case ast.Name(known) if known in _WORDS:
                return Constant(_WORDS[known])
            case ast.Name() | ast.Attribute():
                return self._name(node)
        raise self._error_at("this is not known here", node)

    def _name(self, node: ast.Name | ast.Attribute) -> Name:
        parts: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            raise self._error_at("a dot follows what is no field", node)
        try:
            return self._lookup(".".join([inner.id, *reversed(parts)]))
        except ConditionError as error:
            raise self._error_at(error.what, node, error.remedy) from None

    def _compared(self, node: ast.Compare) -> Expression:
        operands = [node.left, *node.comparators]
        links = tuple(self._link(operands[at], op, operands[at + 1], node) for at, op in enumerate(node.ops))
        return links[0] if len(links) == 1 else Joined("and", links)

    def _link(self, left: ast.expr, op: ast.cmpop, right: ast.expr, whole: ast.Compare) -> Expression:
        if isinstance(op, ast.In | ast.NotIn):
            return self._contained(left, right, isinstance(op, ast.NotIn))
        a, b = self._part(left), self._part(right)
        kinds = kind_of(a), kind_of(b)
        if None in kinds:
            if isinstance(op, ast.Eq | ast.Is | ast.NotEq | ast.IsNot):
                return IsNull(b if kinds[0] is None else a, isinstance(op, ast.NotEq | ast.IsNot))
            raise self._error_at("null is neither more nor less than anything", whole)
        if type(op) not in _COMPARED:
            raise self._error_at("`is` stands before null only", whole, "Write ==.")
        if ValueKind.mapping in kinds:
            raise self._error_at(
                "this holds several values", left if kinds[0] is ValueKind.mapping else right
            )
        if kinds[0] is not kinds[1]:
            raise self._error_at(f"{kinds[0]} is compared with {kinds[1]}", whole)
        if kinds[0] is ValueKind.truth and not isinstance(op, ast.Eq | ast.NotEq):
            raise self._error_at("true is neither more nor less than false", whole)
        return Compare(_COMPARED[type(op)], a, b)

    def _contained(self, left: ast.expr, right: ast.expr, negated: bool) -> Expression:
        item = self._part(left)
        kind = kind_of(item)
        if isinstance(right, ast.List | ast.Tuple):
            choices = tuple(self._part(one) for one in right.elts)
            for node, choice in zip(right.elts, map(kind_of, choices), strict=True):
                if choice is not kind or choice not in (ValueKind.number, ValueKind.text):
                    raise self._error_at(f"{choice or 'null'} is compared with {kind or 'null'}", node)
            return OneOf(item, choices, negated)
        text = self._part(right)
        if (kind, kind_of(text)) != (ValueKind.text, ValueKind.text):
            raise self._error_at("what follows `in` is a text or a list", right, 'As in cluster in ["long"].')
        return Within(item, text, negated)

    def _truth(self, node: ast.expr) -> Expression:
        return self._of_kind(node, ValueKind.truth, "Compare it with something.")

    def _number(self, node: ast.expr) -> Expression:
        return self._of_kind(node, ValueKind.number, "Arithmetic is for numbers.")

    def _of_kind(self, node: ast.expr, kind: ValueKind, remedy: str) -> Expression:
        part = self._part(node)
        if kind_of(part) is not kind:
            raise self._error_at(f"this is {kind_of(part) or 'null'}, not {kind}", node, remedy)
        return part

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


def bind(expression: Expression, value_of: Callable[[Any, tuple[str, ...]], Any]) -> Callable[[Any], Any]:
    """A function of a row: what the expression is there, None where that is unknown.

    `value_of(row, path)` is what a name is in a row.
    """

    def bound(part: Expression) -> Callable[[Any], Any]:
        return bind(part, value_of)

    match expression:
        case Name(path=path):
            return lambda row: value_of(row, path)
        case Constant(value=value):
            return lambda _: value
        case Negative(of=of):
            return _known(operator.neg, bound(of))
        case Not(of=of):
            return _known(operator.not_, bound(of))
        case Arithmetic(op=op, left=left, right=right) | Compare(op=op, left=left, right=right):
            return _known(_OPERATORS[op], bound(left), bound(right))
        case IsNull(of=of, negated=negated):
            asked = bound(of)
            return lambda row: (asked(row) is None) is not negated
        case OneOf(item=item, choices=choices, negated=negated):
            return _known(lambda one, *some: (one in some) is not negated, bound(item), *map(bound, choices))
        case Within(item=item, text=text, negated=negated):
            return _known(lambda one, whole: (one in whole) is not negated, bound(item), bound(text))
        case Joined(word=word, parts=parts):
            return _joined(word == "or", [bound(part) for part in parts])


def holds(expression: Expression, value_of: Callable[[Any, tuple[str, ...]], Any]) -> Callable[[Any], bool]:
    """A function of a row: whether the condition is true there; where it is unknown it is not."""
    value = bind(expression, value_of)
    return lambda row: value(row) is True


def _joined(deciding: bool, values: list[Callable[[Any], Any]]) -> Callable[[Any], bool | None]:
    # What ends it: one false part of `and`, one true part of `or`. Else unknown wins over the rest.
    def joined(row: Any) -> bool | None:
        result: bool | None = not deciding
        for value in values:
            found = value(row)
            if found is None:
                result = None
            elif bool(found) is deciding:
                return deciding
        return result

    return joined


def _known(apply: Callable[..., Any], *values: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`apply` to the values where all are known; unknown also where it has no answer, as a division by 0."""

    def known(row: Any) -> Any:
        found = [value(row) for value in values]
        if None in found:
            return None
        try:
            return apply(*found)
        except (TypeError, ArithmeticError):
            # A record of somebody else may hold anything.
            return None

    return known


def code(expression: Expression, name: Callable[[Name], str]) -> str | None:
    """A Python expression that is true exactly where the condition holds; `name` writes a name.

    None where that takes arithmetic, which can fail: `holds` serves there.
    """
    if any(isinstance(part, Arithmetic | Negative) and kind_of(part) for part in parts_of(expression)):
        return None
    return _code(expression, name, True)


def _code(expression: Expression, name: Callable[[Name], str], wanted: bool) -> str:
    """Python that is true exactly where the expression is known to be `wanted`."""
    match expression:
        case Not(of=of):
            return _code(of, name, not wanted)
        case Joined(word=joint, parts=parts):
            # Not (a and b) is known where one of them is known to be false.
            if not wanted:
                joint = "or" if joint == "and" else "and"
            return "(" + f" {joint} ".join(_code(part, name, wanted) for part in parts) + ")"
        case IsNull(of=of, negated=negated):
            return f"{_value(of, name)} is {'not ' if negated is wanted else ''}None"
        case Compare(op=op, left=left, right=right):
            return _guarded(
                f"{_value(left, name)} {op if wanted else _OPPOSITE[op]} {_value(right, name)}",
                name,
                left,
                right,
            )
        case OneOf(item=item, choices=choices, negated=negated):
            listed = ", ".join(_value(choice, name) for choice in choices)
            word_in = "in" if negated is not wanted else "not in"
            return _guarded(f"{_value(item, name)} {word_in} ({listed},)", name, item, *choices)
        case Within(item=item, text=text, negated=negated):
            word_in = "in" if negated is not wanted else "not in"
            return _guarded(f"{_value(item, name)} {word_in} {_value(text, name)}", name, item, text)
        case Constant(value=value):
            return str(value is wanted)
        case _:
            return f"{_value(expression, name)} is {wanted}"


def _guarded(comparison: str, name: Callable[[Name], str], *operands: Expression) -> str:
    nullable = dict.fromkeys(_value(one, name) for one in operands if _may_be_null(one))
    if not nullable:
        return comparison
    return "(" + " and ".join([*(f"{one} is not None" for one in nullable), comparison]) + ")"


def _may_be_null(expression: Expression) -> bool:
    return any(isinstance(part, Name) and part.nullable for part in parts_of(expression))


def _value(expression: Expression, name: Callable[[Name], str]) -> str:
    match expression:
        case Name():
            return name(expression)
        case Constant(value=value):
            return repr(value)
        case _:
            true, false = _code(expression, name, True), _code(expression, name, False)
            return f"(True if {true} else False if {false} else None)"
