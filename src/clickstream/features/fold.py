"""From a definition to its fold: code that is written once, compiled, and costs what hand-written code costs.

The source that is written holds two classes, `Step` (what the fold needs of one click) and `Aggregate` (the
running state of a run of clicks, O(1) a click), and a function, `step_of`, that makes a Step of a click as it
travels. It is meant to be read:
`clickstream shop show --code` prints it. What two features share, as the mean and the deviation of one price,
is kept once; what they ask of the first or last click is read off that click, where every click carries it.

A null is skipped: an aggregation of a field sees only clicks that carry it, and a feature of nothing is null,
as in SQL; only counts of nothing are 0.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import log2, sqrt
from typing import Any, NamedTuple

from msgspec import Struct

from clickstream.features.condition import Joined, Name, code, holds, parts_of
from clickstream.features.definition import (
    Aggregation,
    Condition,
    Feature,
    Field,
    FieldType,
    ShopDefinition,
)


@dataclass(frozen=True, slots=True)
class CompiledFold:
    """What a definition compiles to: the source, and what stands in it."""

    source: str
    step: type[Any]
    aggregate: type[Any]
    step_of: Callable[[Any], Any]


@cache
def compile_fold(definition: ShopDefinition) -> CompiledFold:
    """The fold of a definition."""
    writer = _Writer(definition)
    source = writer.source()
    filename = f"<fold of shop {definition.name} {definition.hash}>"
    namespace: dict[str, Any] = {
        "Struct": Struct,
        "_sqrt": sqrt,
        "_entropy": entropy,
        "__name__": f"clickstream.features.fold.{definition.name}",
        **writer.functions,
    }
    # A traceback through this code shows its lines.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec", dont_inherit=True), namespace)
    return CompiledFold(source, *(namespace[name] for name in ("Step", "Aggregate", "step_of")))


def entropy(counts: Mapping[Any, int]) -> float | None:
    """-sum p log2 p over the shares of values, bits; None where there are none."""
    if len(counts) <= 1:
        return 0.0 if counts else None
    total = sum(counts.values())
    bits = 0.0
    for count in counts.values():
        bits += count / total * log2(count / total)
    return -bits


_PYTHON = {
    FieldType.TEXT: "str",
    FieldType.NUMBER: "float",
    FieldType.INTEGER: "int",
    FieldType.BOOLEAN: "bool",
}


class _Group(NamedTuple):
    """The clicks that carry one field (None: all clicks) and meet one condition."""

    field: str | None
    where: Condition | None


class _Piece(NamedTuple):
    """Something that is kept of a group: attributes (name, type, first value) and the lines that keep them.

    In lines, `v` is the value of the field, `a` the prefix of the group's attributes, `n` the number of
    values so far, `most` the bound on different values, `last` and `last_time` what the click before had.
    `before`, `before_time` are none where there was no click before, `no_max`, `no_min` true where there is
    no value yet. `in_order` pieces see no late click.
    """

    in_order: bool
    attributes: tuple[tuple[str, str, str], ...]
    lines: tuple[str, ...]


# In the order in which they are written: what was last is compared before it is replaced.
_PIECES: dict[str, _Piece] = {
    "count": _Piece(False, (("count", "int", "0"),), ("{a}count += 1",)),
    "sum": _Piece(
        False,
        (("sum", "{type} | None", "None"),),
        ("{a}sum = {v} if {a}sum is None else {a}sum + {v}",),
    ),
    "mean": _Piece(
        False,
        (("mean", "float", "0.0"),),
        (
            "_{key}_mean = {a}mean",
            "_{key}_deviation = {v} - _{key}_mean",
            "{a}mean = _{key}_mean = _{key}_mean + _{key}_deviation / {n}",
        ),
    ),
    # Sum of squared deviations from the mean (Welford 1962).
    "squares": _Piece(
        False, (("squares", "float", "0.0"),), ("{a}squares += _{key}_deviation * ({v} - _{key}_mean)",)
    ),
    "max": _Piece(
        False,
        (("max", "{type} | None", "None"),),
        ("if {no_max} or {v} > {a}max:", "    {a}max = {v}"),
    ),
    "min": _Piece(
        False,
        (("min", "{type} | None", "None"),),
        ("if {no_min} or {v} < {a}min:", "    {a}min = {v}"),
    ),
    "values": _Piece(
        False,
        (("values", "set[{type}]", "set()"),),
        (
            "_{key}_values = {a}values",
            "if _n <= {most} or len(_{key}_values) < {most}:",
            "    _{key}_values.add({v})",
        ),
    ),
    "counts": _Piece(
        False,
        (("counts", "dict[{type}, int]", "{{}}"),),
        (
            "_{key}_counts = {a}counts",
            "_{key}_seen = _{key}_counts.get({v})",
            "if _{key}_seen is not None:",
            "    _{key}_counts[{v}] = _{key}_seen + 1",
            "elif _n <= {most} or len(_{key}_counts) < {most}:",
            "    _{key}_counts[{v}] = 1",
        ),
    ),
    "changes": _Piece(
        True,
        (("changes", "int", "0"),),
        ("if {before} is not None and {v} != {last}:", "    {a}changes += 1"),
    ),
    "pause": _Piece(
        True,
        (("pause", "int | None", "None"),),
        ("if {before_time} is not None:", "    {a}pause = click.event_time - {last_time}"),
    ),
    "longest_pause": _Piece(
        True,
        (("longest_pause", "int", "-1"),),
        (
            "if {before_time} is not None and click.event_time - {last_time} > {a}longest_pause:",
            "    {a}longest_pause = click.event_time - {last_time}",
        ),
    ),
    "pauses": _Piece(True, (("pauses", "int", "-1"),), ("{a}pauses += 1",)),
    "first": _Piece(
        True,
        (("first", "{type} | None", "None"),),
        ("if {a}first is None:", "    {a}first = {v}"),
    ),
    "last": _Piece(True, (("last", "{type} | None", "None"),), ("{a}last = {v}",)),
    "order": _Piece(True, (("order", "int | None", "None"),), ("{a}order = click.order",)),
    "first_time": _Piece(
        True,
        (("first_time", "int | None", "None"),),
        ("if {a}first_time is None:", "    {a}first_time = click.event_time"),
    ),
    "last_time": _Piece(True, (("last_time", "int | None", "None"),), ("{a}last_time = click.event_time",)),
}

# Of a group that every click belongs to, these are read off the first or the last click, which is kept whole:
# which one, and its attribute ("": the field of the group).
_OF_A_CLICK = {
    "first": ("first", ""),
    "last": ("last", ""),
    "order": ("last", "order"),
    "first_time": ("first", "event_time"),
    "last_time": ("last", "event_time"),
}

# Aggregation (of seconds: the distance) -> the pieces that it is made of, and its value.
_MADE_OF: dict[str, tuple[tuple[str, ...], str]] = {
    "sum": (("sum",), "{a}sum"),
    "mean": (("mean",), "{a}mean if {n} else None"),
    "std": (("mean", "squares"), "_sqrt({a}squares / {n}) if {n} else None"),
    "min": (("min",), "{a}min"),
    "max": (("max",), "{a}max"),
    "first": (("first",), "{first}"),
    "last": (("last",), "{last}"),
    "entropy": (("counts",), "_entropy({a}counts)"),
    "changes": (("changes", "last"), "{a}changes"),
    "position": (("order",), "{order} or self.clicks"),
    "since first": (
        ("first_time", "last_time"),
        "({last_time} - {first_time}) / 1000 if {last_time} is not None else None",
    ),
    "since previous": (("pause", "last_time"), "{a}pause / 1000 if {a}pause is not None else None"),
    "mean since previous": (
        ("pauses", "first_time", "last_time"),
        "({last_time} - {first_time}) / {a}pauses / 1000 if {a}pauses > 0 else None",
    ),
    "max since previous": (
        ("longest_pause", "last_time"),
        "{a}longest_pause / 1000 if {a}longest_pause >= 0 else None",
    ),
}


class _Writer:
    """Writes the source of one fold. `functions`: conditions that it calls, because they take arithmetic."""

    def __init__(self, definition: ShopDefinition) -> None:
        self._definition = definition
        self.functions: dict[str, Callable[[Any], bool]] = {}
        self._called: dict[str, str] = {}
        self._keys: dict[_Group, str] = {}
        self._kept: dict[_Group, set[str]] = {}
        counted = (Aggregation.ENTROPY,)
        self._with_counts = {(f.field, f.where) for f in definition.features if f.aggregation in counted}
        # Which clicks are kept whole: the first, the last.
        self._whole: set[str] = set()
        self._at = ""
        self._values = {feature.name: self._value(feature) for feature in definition.features}

    def source(self) -> str:
        """Two classes and a function."""
        parts = (self._step(), self._aggregate(), self._step_of())
        return "\n\n\n".join("\n".join(part) for part in parts) + "\n"

    def _step(self) -> Iterator[str]:
        names = self._definition.identity
        identity = [self._definition.field(name) for name in names]
        others = [field for field in self._definition.used_fields() if field.name not in names]
        yield "class Step(Struct, array_like=True, frozen=True, gc=False):"
        yield f'    """What the fold of shop {self._definition.name} needs of one click."""'
        yield ""
        yield "    event_time: int"
        yield "    order: int | None"
        for field in self._definition.used_fields():
            yield f"    {field.name}: {_PYTHON[field.type]}{' | None' if field.optional else ''}"
        yield "    end: bool = False"
        yield "    time_source: str | None = None"
        yield ""
        yield "    @property"
        yield "    def identity(self):"
        yield '        """What makes two clicks of a session the same one."""'
        yield "        if self.order is not None:"
        yield "            return self.order"
        yield f"        return {_tuple(['self.event_time', *(f'self.{name}' for name in names)])}"
        yield ""
        yield "    @property"
        yield "    def sort_key(self):"
        yield '        """Its place: what tells two clicks apart makes the order total."""'
        yield f"        return {_tuple(['self.event_time', 'self.order or 0', *_sortable(identity)])}"
        yield ""
        yield "    @property"
        yield "    def content(self):"
        yield '        """All that it says, as it is compared with a copy of another content."""'
        # A time_source has a character or more where there is one.
        said = [*_sortable(identity + others), "self.end", 'self.time_source or ""']
        yield f"        return {_tuple(said)}"
        goal = self._definition.goal
        yield ""
        yield "    @property"
        yield "    def meets_goal(self):"
        yield f'        """Whether it meets the goal: {_quoted(goal.when.text)}."""'
        yield from (f"        {name} = self.{name}" for name in dict.fromkeys(self._names_in(goal.when)))
        yield f"        return {self._test(goal.when, 'self')}"
        yield ""
        yield "    @property"
        yield "    def worth(self):"
        yield '        """What it is worth where it meets the goal."""'
        yield f"        return {f'self.{goal.value}' if goal.value else None}"

    def _step_of(self) -> Iterator[str]:
        yield "def step_of(click):"
        yield '    """The step of a click as it travels."""'
        yield "    return Step("
        yield "        click.event_time,"
        yield "        click.order,"
        yield from (f"        click.{field.name}," for field in self._definition.used_fields())
        yield "        click.end,"
        yield "        click.time_source,"
        yield "    )"

    def _aggregate(self) -> Iterator[str]:
        attributes = list(self._attributes())
        nothing = ", ".join(["None"] * (len(self._definition.used_fields()) + 2))
        if self._whole:
            yield f"NOTHING = Step({nothing})  # in place of a click where there is none"
            yield ""
            yield ""
        yield "class Aggregate(Struct, array_like=True, gc=False):"
        yield '    """What is kept of a run of clicks."""'
        yield ""
        yield from (f"    {name}: {annotation} = {first}" for name, annotation, first in attributes)
        yield ""
        yield "    def add(self, click):"
        yield '        """Count a click that comes after all counted so far."""'
        yield from self._body(in_order=True)
        yield ""
        yield "    def count(self, click):"
        yield '        """Count what does not depend on the order of clicks."""'
        yield from self._body(in_order=False)
        yield ""
        yield "    def copied(self):"
        yield '        """A state of its own, equal to this one."""'
        yield "        return Aggregate("
        for name, annotation, _ in attributes:
            container = annotation.partition("[")[0]
            yield (
                f"            {container}(self.{name})," if "[" in annotation else f"            self.{name},"
            )
        yield "        )"
        yield ""
        yield "    def features(self):"
        yield '        """Feature -> value."""'
        yield from (f"        _{which} = self.{which} or NOTHING" for which in sorted(self._whole))
        # What others are made of has a name of its own; it comes before what is made of it.
        named = list(self._by_need())
        yield from (f"        {name} = {self._values[name]}" for name in named)
        yield "        return {"
        for name, value in self._values.items():
            yield f'            "{name}": {name if name in named else value},'
        yield "        }"

    def _by_need(self) -> Iterator[str]:
        features = {feature.name: feature for feature in self._definition.features}
        done: set[str] = set()

        def before(name: str) -> Iterator[str]:
            for one in features[name].of:
                yield from before(one)
            if name not in done:
                done.add(name)
                yield name

        for feature in features.values():
            for one in feature.of:
                yield from before(one)

    def _attributes(self) -> Iterator[tuple[str, str, str]]:
        yield "clicks", "int", "0"
        for group, piece in self._pieces():
            for what, annotation, first in piece.attributes:
                kind = _PYTHON[self._definition.field(group.field).type] if group.field else ""
                yield f"{self._keys[group]}_{what}", annotation.format(type=kind), first.format()
        yield from ((which, "Step | None", "None") for which in sorted(self._whole))

    def _body(self, in_order: bool) -> Iterator[str]:
        """The lines that count a click; of one that came in its order also those that depend on it."""
        yield "        self.clicks = _n = self.clicks + 1"
        if in_order and self._whole:
            yield "        _last = self.last"
        read: set[str] = set()
        for group in self._kept:
            pieces = [
                piece for of, piece in self._pieces() if of == group and (in_order or not piece.in_order)
            ]
            if not pieces:
                continue
            for name in self._fields_of(group):
                if name not in read:
                    read.add(name)
                    yield f"        {name} = click.{name}"
            tests = []
            if group.field is not None and self._definition.field(group.field).optional:
                tests.append(f"{group.field} is not None")
            if group.where is not None:
                tests.append(self._test(group.where))
            if tests:
                yield f"        if {' and '.join(tests)}:"
            for piece in pieces:
                for line in piece.lines:
                    yield ("            " if tests else "        ") + self._filled(line, group, "_n")
        if in_order and "first" in self._whole:
            yield "        if _last is None:"
            yield "            self.first = click"
        if in_order and self._whole:
            yield "        self.last = click"

    def _fields_of(self, group: _Group) -> Iterator[str]:
        """What a group's lines and its condition read of a click."""
        if group.field is not None:
            yield group.field
        if group.where is not None:
            yield from self._names_in(group.where)

    def _names_in(self, condition: Condition) -> Iterator[str]:
        """The fields whose values the test of a condition takes; one that is called takes the click."""
        if _written(condition) is not None:
            yield from (part.path[0] for part in parts_of(condition.expression) if isinstance(part, Name))

    def _pieces(self) -> Iterator[tuple[_Group, _Piece]]:
        for group, kept in self._kept.items():
            yield from ((group, piece) for name, piece in _PIECES.items() if name in kept)

    def _keep(self, field: str | None, where: Condition | None, *pieces: str) -> _Group:
        group = _Group(field, where)
        if group not in self._keys:
            # Names of a definition hold no two underscores: no attribute of a group is that of a field.
            key = (field or "click") if where is None else f"{self._at}_"
            taken = sum(1 for other in self._keys.values() if other.rstrip("0123456789") == key)
            self._keys[group] = f"{key}{taken}" if taken else key
        kept = self._kept.setdefault(group, set())
        for piece in pieces:
            if piece in _OF_A_CLICK and self._has_value_each_click(group):
                # The first is known by nothing having been the last before it.
                self._whole |= {_OF_A_CLICK[piece][0], "last"}
            else:
                kept.add(piece)
        return group

    def _filled(self, text: str, group: _Group, clicks: str = "self.clicks") -> str:
        key = self._keys[group]
        if self._has_value_each_click(group):
            known = {
                piece: f"_{which}.{attribute or group.field}"
                for piece, (which, attribute) in _OF_A_CLICK.items()
            }
            before = before_time = "_last"
            no_max = no_min = "_n == 1"
        else:
            known = {piece: f"self.{key}_{piece}" for piece in _OF_A_CLICK}
            before, before_time = known["last"], known["last_time"]
            no_max, no_min = f"self.{key}_max is None", f"self.{key}_min is None"
        return text.format(
            a=f"self.{key}_",
            key=key,
            v=group.field,
            n=self._number_of(group, clicks) if "{n}" in text else "",
            most=self._definition.distinct_at_most,
            before=before,
            before_time=before_time,
            no_max=no_max,
            no_min=no_min,
            **known,
        )

    def _has_value_each_click(self, group: _Group) -> bool:
        return group.where is None and (
            group.field is None or not self._definition.field(group.field).optional
        )

    def _number_of(self, group: _Group, clicks: str = "self.clicks") -> str:
        """How many values the group has had: of a field that every click has, as many as clicks."""
        if self._has_value_each_click(group):
            return clicks
        self._keep(*group, "count")
        return f"self.{self._keys[group]}_count"

    def _value(self, feature: Feature) -> str:
        """The feature as Python; what it needs is noted on the way."""
        self._at = feature.name
        match feature.aggregation:
            case Aggregation.COUNT:
                return self._number_of(_Group(None, _both(feature.counted, feature.where)))
            case Aggregation.SHARE:
                part = self._number_of(_Group(None, _both(feature.counted, feature.where)))
                whole = self._number_of(_Group(None, feature.where))
                return f"{part} / {whole} if {whole} else None"
            case Aggregation.DISTINCT:
                name = "counts" if (feature.field, feature.where) in self._with_counts else "values"
                group = self._keep(feature.field, feature.where, name)
                return self._filled(f"len({{a}}{name})", group)
            case Aggregation.RATIO:
                part, whole = feature.of
                return f"{part} / {whole} if {part} is not None and {whole} else None"
            case Aggregation.SAME:
                one, other = feature.of
                return f"int({one} == {other}) if {one} is not None and {other} is not None else None"
        pieces, value = _MADE_OF[feature.seconds or feature.aggregation]
        return self._filled(value, self._keep(feature.field, feature.where, *pieces))

    def _test(self, condition: Condition, click: str = "click") -> str:
        """The condition as Python; the values of its fields stand in variables of their names."""
        written = _written(condition)
        if written is not None:
            return written
        if condition.text not in self._called:
            self._called[condition.text] = name = f"_condition_{len(self.functions) + 1}"
            self.functions[name] = holds(condition.expression, _of_click)
        return f"{self._called[condition.text]}({click})"


def _written(condition: Condition) -> str | None:
    """The condition as an expression; None where it takes arithmetic, and a function has to be called."""
    return code(condition.expression, lambda name: name.path[0])


def _of_click(click: Any, path: tuple[str, ...]) -> Any:
    return getattr(click, path[0])


def _quoted(text: str) -> str:
    """A text as it may stand in a docstring."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _tuple(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)})"


def _sortable(fields: Sequence[Field]) -> Iterator[str]:
    """Of each field what can be compared, also where one of two is null."""
    for field in fields:
        if field.optional:
            yield f"self.{field.name} is not None"
        yield f"self.{field.name}"


def _both(one: Condition | None, other: Condition | None) -> Condition | None:
    if one is None or other is None:
        return one or other
    return Condition(f"({one.text}) and ({other.text})", Joined("and", (one.expression, other.expression)))
