"""A shop file: TOML, checked whole before it is used. Every refusal names file, key and value."""

from __future__ import annotations

import hashlib
import json
import keyword
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, NoReturn

from clickstream.features.condition import (
    ConditionError,
    Constant,
    Name,
    ValueKind,
    parse_expression,
    parts_of,
)
from clickstream.features.definition import (
    DERIVED,
    KINDS,
    NUMERIC,
    OF_NUMBERS,
    SECONDS,
    Aggregation,
    Condition,
    Feature,
    Field,
    FieldType,
    Goal,
    ShopDefinition,
    kind_of,
)

MOST_FIELDS, MOST_FEATURES = 100, 500
LARGEST_FILE = 262_144
"""Bytes of a definition."""

LONGEST_LINE = 4_096
"""Characters."""

LARGEST_INTEGER = 2**53
"""Also of any number whose field has no bounds."""

LARGEST_BOUND = 1e100
"""Squares of such numbers, and sums of these, are finite."""

LONGEST_TEXT = 256
DISTINCT_AT_MOST = 1_000

UCI553_NAME = "uci553"
"""The shop that is meant where none is named."""

RESERVED = ("type", "session_id", "event_time", "order", "end", "time_source")
"""What every click has, and no field may be called."""

_TAKEN = ("self", "click")  # names in the code of a fold

_SHOPS = files("clickstream.features") / "shops"
_NAME = re.compile(r"(?=.{1,63}$)[a-z][a-z0-9]*(_[a-z0-9]+)*")


class DefinitionError(ValueError):
    """A definition that cannot be used: what is wrong with which key and value, and what is allowed."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what if not remedy else f"{what}\n{remedy}")
        self.what = what
        self.remedy = remedy


def read_definition(text: str | bytes, where: str) -> ShopDefinition:
    """The definition in the TOML `text`; `where` names it in messages.

    Raises:
        DefinitionError: it cannot be used; names the key, the value and what is allowed.
    """
    if len(text) > LARGEST_FILE:
        raise DefinitionError(
            f"{where} has more than the {LARGEST_FILE} bytes of a shop file", "Is it the right file?"
        )
    try:
        lines = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        _check_lines(lines, where)
        source = tomllib.loads(lines)
    except UnicodeDecodeError as error:
        raise DefinitionError(
            f"{where} is not UTF-8 text (byte {error.start})", "Is it the right file?"
        ) from None
    except DefinitionError:
        raise
    except ValueError as error:
        # A TOMLDecodeError, or what Python says of a number of thousands of digits.
        raise DefinitionError(f"{where} is no TOML: {error}") from None
    except RecursionError:
        raise DefinitionError(f"{where} is nested too deeply", "A shop file has tables of values.") from None
    return define(source, where)


def _check_lines(text: str, where: str) -> None:
    # Of a key of n parts the parser makes n tuples of up to n: one long line would take all memory.
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LONGEST_LINE:
            raise DefinitionError(
                f"{where}: line {number} has {len(line)} characters",
                f"Allowed: at most {LONGEST_LINE}. Is it the right file?",
            )


@cache
def built_in(name: str) -> ShopDefinition:
    """A shop that comes with the program.

    Raises:
        DefinitionError: there is none of that name.
    """
    if name not in built_in_names():
        known = built_in_names()
        raise DefinitionError(
            f"there is no shop {_shown(name)}",
            f"{_near(name, known)}Built in: {', '.join(known)}. Or name a file.",
        )
    return read_definition(built_in_file(name), f"shop {name}")


def built_in_file(name: str) -> bytes:
    """The shop file of one of `built_in_names`."""
    return (_SHOPS / f"{name}.toml").read_bytes()


def built_in_names() -> list[str]:
    """The shops that come with the program."""
    return sorted(file.name.removesuffix(".toml") for file in _SHOPS.iterdir() if file.name.endswith(".toml"))


def define(source: Mapping[str, Any], where: str) -> ShopDefinition:
    """The definition in a mapping, as TOML gives it.

    Raises:
        DefinitionError: as `read_definition`.
    """
    return _Reader(where).definition(source)


def from_source(source: str | bytes, where: str) -> ShopDefinition:
    """The definition whose `source` this is.

    Raises:
        DefinitionError: it is none, or none that this version reads.
    """
    try:
        given = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise DefinitionError(f"{where} is no JSON: {error}") from None
    if not isinstance(given, dict):
        raise DefinitionError(f"{where} is not a JSON object")
    return define(given, where)


class _Reader:
    """Checks one definition; every refusal names the file and the key."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._fields: dict[str, Field] = {}

    def definition(self, source: Mapping[str, Any]) -> ShopDefinition:
        allowed = (
            "name",
            "currency",
            "identity",
            "distinct_at_most",
            "fields",
            "goal",
            "features",
            "clusters",
        )
        self._only(source, allowed, "the file")
        name = self._text(source, "name", "name", required=True)
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name or ""):
            self._refuse(f"name = {_shown(name)}", "small letters, digits, - and _, at most 63")
        distinct = self._count(source, "distinct_at_most", DISTINCT_AT_MOST, 1, 100_000)
        fields = self._table(source, "fields", MOST_FIELDS)
        self._fields = {key: self._field(key, given) for key, given in fields.items()}
        identity = self._names(source, "identity", self._fields, "fields") or tuple(self._fields)
        features = self._features(self._table(source, "features", MOST_FEATURES))
        clusters = self._table(source, "clusters", 1, ("features",)) if "clusters" in source else {}
        clustered = self._clustered(clusters, features)
        goal = self._goal(source)
        return ShopDefinition(
            name=name or "",
            currency=self._text(source, "currency", "currency"),
            fields=tuple(self._fields.values()),
            identity=identity,
            goal=goal,
            features=tuple(features.values()),
            clustered=clustered,
            distinct_at_most=distinct,
            hash=_hash(source),
            source=json.dumps(source, ensure_ascii=False, default=str),
        )

    def _field(self, name: str, given: Any) -> Field:
        key = f"fields.{name}"
        self._check_name(name, key)
        if name in RESERVED:
            self._refuse(f"{key}: every click has {name}", "another name")
        if isinstance(given, str):
            given = {"type": given}
        given = self._mapping(given, key, ("type", "optional", "at_least", "at_most", "about"))
        types = [one.value for one in FieldType]
        kind = given.get("type")
        if kind not in types:
            self._refuse(f"{key}.type = {_shown(kind)}", " or ".join(types), _near(kind, types))
        field_type = FieldType(kind)
        optional = given.get("optional", False)
        if not isinstance(optional, bool):
            self._refuse(f"{key}.optional = {_shown(optional)}", "true or false")
        low, high = self._bound(given, key, "at_least"), self._bound(given, key, "at_most")
        if field_type is FieldType.BOOLEAN and (low is not None or high is not None):
            self._refuse(f"{key}: true and false have no bounds", "at_least and at_most for the other types")
        if field_type in (FieldType.TEXT, FieldType.INTEGER):
            for word, bound in (("at_least", low), ("at_most", high)):
                if bound is not None and bound != int(bound):
                    self._refuse(f"{key}.{word} = {bound}", "a whole number")
        if field_type is FieldType.TEXT:
            low, high = low if low is not None else 1, high if high is not None else LONGEST_TEXT
            if low < 0 or high > 65_536:
                self._refuse(f"{key}: lengths from {low} to {high}", "0 to 65,536 characters")
        if field_type in NUMERIC:
            low = -LARGEST_INTEGER if low is None else low
            high = LARGEST_INTEGER if high is None else high
            if field_type is FieldType.INTEGER and (low < -LARGEST_INTEGER or high > LARGEST_INTEGER):
                self._refuse(
                    f"{key}: from {low} to {high}", "whole numbers to 2^53, which every program keeps"
                )
        if low is not None and high is not None and low > high:
            self._refuse(f"{key}: at_least {low} is more than at_most {high}", "the smaller one first")
        return Field(name, field_type, optional, low, high, self._text(given, "about", f"{key}.about") or "")

    def _bound(self, given: Mapping[str, Any], key: str, word: str) -> float | None:
        bound = given.get(word)
        if bound is None:
            return None
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not abs(bound) <= LARGEST_BOUND:
            self._refuse(f"{key}.{word} = {_shown(bound)}", "a number up to 1e100")
        return bound

    def _features(self, table: Mapping[str, Any]) -> dict[str, Feature]:
        features = {name: self._feature(name, given) for name, given in table.items()}
        for feature in features.values():
            for one in feature.of:
                if one not in features:
                    key = f"features.{feature.name}.{feature.aggregation}"
                    self._refuse(f"{key} names {_shown(one)}", "the name of a feature", _near(one, features))
        self._check_acyclic(features)
        for feature in features.values():
            self._check_derived(feature, features)
        return features

    def _feature(self, name: str, given: Any) -> Feature:
        key = f"features.{name}"
        self._check_name(name, key)
        words = [one.value for one in Aggregation]
        given = self._mapping(given, key, (*words, "where", "in_scores"))
        named = [word for word in given if word in words]
        if len(named) != 1:
            found = f"{key} has {' and '.join(named)}" if named else f"{key} has no aggregation"
            self._refuse(found, "one of " + ", ".join(words))
        aggregation = Aggregation(named[0])
        value, at = given[named[0]], f"{key}.{named[0]}"
        in_scores = given.get("in_scores", True)
        if not isinstance(in_scores, bool):
            self._refuse(f"{key}.in_scores = {_shown(in_scores)}", "true or false")
        where = self._condition(given["where"], f"{key}.where") if "where" in given else None
        if where is not None and aggregation in (*DERIVED, Aggregation.POSITION):
            self._refuse(f"{key}.where", f"no condition: {aggregation} is not made of clicks alone")
        plain = Feature(name, aggregation, where=where, in_scores=in_scores)
        match aggregation:
            case Aggregation.COUNT | Aggregation.SHARE:
                if value is True and aggregation is Aggregation.COUNT:
                    return plain
                return replace(plain, counted=self._condition(value, at))
            case Aggregation.POSITION:
                if value is not True:
                    self._refuse(f"{at} = {_shown(value)}", "true")
                return plain
            case Aggregation.SECONDS:
                if value not in SECONDS:
                    self._refuse(f"{at} = {_shown(value)}", " or ".join(SECONDS), _near(value, SECONDS))
                return replace(plain, seconds=value)
            case Aggregation.RATIO | Aggregation.SAME:
                if not (
                    isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)
                ):
                    self._refuse(f"{at} = {_shown(value)}", "the names of two features, in brackets")
                return replace(plain, of=tuple(value))
        field = self._fields.get(value) if isinstance(value, str) else None
        if field is None:
            self._refuse(f"{at} = {_shown(value)}", "the name of a field", _near(value, self._fields))
        if aggregation in OF_NUMBERS and field.type not in NUMERIC:
            self._refuse(f"{at}: {field.name} holds {field.type}", "a field of type number or integer")
        return replace(plain, field=field.name)

    def _check_acyclic(self, features: Mapping[str, Feature]) -> None:
        done: set[str] = set()
        for start in features:
            way: list[str] = []
            stack = [(start, iter(features[start].of))]
            while stack:
                name, rest = stack[-1]
                if len(way) < len(stack):
                    way.append(name)
                following = next(rest, None)
                if following is None:
                    done.add(name)
                    stack.pop()
                    way.pop()
                elif following in way:
                    circle = " -> ".join([*way[way.index(following) :], following])
                    self._refuse(
                        f"features.{following} is made of itself: {circle}", "features of clicks below"
                    )
                elif following not in done:
                    stack.append((following, iter(features[following].of)))

    def _check_derived(self, feature: Feature, features: Mapping[str, Feature]) -> None:
        kinds = [kind_of(features[one], self._fields.__getitem__) for one in feature.of]
        key = f"features.{feature.name}.{feature.aggregation}"
        if feature.aggregation is Aggregation.RATIO and kinds != [ValueKind.number, ValueKind.number]:
            self._refuse(f"{key} of {' and '.join(kinds)}", "two features that are numbers")
        if feature.aggregation is Aggregation.SAME and kinds[0] is not kinds[1]:
            self._refuse(f"{key} of {' and '.join(kinds)}", "two features of one kind")

    def _clustered(self, clusters: Mapping[str, Any], features: Mapping[str, Feature]) -> tuple[str, ...]:
        names = self._names(clusters, "features", features, "features", "clusters.features")
        for name in names:
            if kind_of(features[name], self._fields.__getitem__) is ValueKind.text:
                self._refuse(f"clusters.features names {name}, a text", "features that are numbers")
        return names or tuple(
            n for n, f in features.items() if kind_of(f, self._fields.__getitem__) is not ValueKind.text
        )

    def _goal(self, source: Mapping[str, Any]) -> Goal:
        given = self._mapping(source.get("goal"), "goal", ("when", "last_click", "value"))
        kinds = [word for word in ("when", "last_click") if word in given]
        if len(kinds) != 1:
            found = (
                "goal has both when and last_click" if kinds else "goal says nothing of what a conversion is"
            )
            self._refuse(found, "when (a click that converts) or last_click (a rule over the last click)")
        condition = self._condition(given[kinds[0]], f"goal.{kinds[0]}")
        if not any(isinstance(part, Name) for part in parts_of(condition.expression)):
            self._refuse(f"goal.{kinds[0]} = {_shown(condition.text)}", "a condition that looks at a field")
        value = given.get("value")
        if value is not None:
            field = self._fields.get(value) if isinstance(value, str) else None
            if field is None or field.type not in NUMERIC:
                numeric = [f.name for f in self._fields.values() if f.type in NUMERIC]
                self._refuse(
                    f"goal.value = {_shown(value)}",
                    "the name of a field that is a number",
                    _near(value, numeric),
                )
        return Goal(condition, value, kinds[0] == "last_click")

    def _condition(self, text: Any, key: str) -> Condition:
        if not isinstance(text, str):
            self._refuse(f"{key} = {_shown(text)}", "a condition in quotation marks")
        try:
            expression = parse_expression(text, self._lookup)
        except ConditionError as error:
            raise DefinitionError(f"{self._where}: {key}: {error.what}", error.remedy) from None
        if isinstance(expression, Constant) and expression.value is None:
            self._refuse(f"{key} = {_shown(text)}", "a condition on the fields")
        return Condition(" ".join(text.split()), expression)

    def _lookup(self, name: str) -> Name:
        field = self._fields.get(name)
        if field is None:
            known = ", ".join(self._fields)
            raise ConditionError(
                f"a click has no field `{name}`", _near(name, self._fields) + f"Fields: {known}."
            )
        return Name((name,), KINDS[field.type], field.optional)

    def _names(
        self, source: Mapping[str, Any], word: str, known: Collection[str], what: str, key: str = ""
    ) -> tuple[str, ...]:
        key = key or word
        given = source.get(word, [])
        if not isinstance(given, list):
            self._refuse(f"{key} = {_shown(given)}", f"a list of names of {what}")
        for one in given:
            if not isinstance(one, str) or one not in known:
                self._refuse(f"{key} names {_shown(one)}", f"names of {what}", _near(one, known))
        if len(set(given)) < len(given):
            self._refuse(f"{key} names one twice", "each name once")
        return tuple(given)

    def _table(
        self, source: Mapping[str, Any], key: str, most: int, allowed: Collection[str] | None = None
    ) -> Mapping[str, Any]:
        table = self._mapping(source.get(key), key, allowed)
        if not table:
            self._refuse(f"[{key}] is empty or missing", f"at least one line in [{key}]")
        if len(table) > most:
            self._refuse(f"[{key}] has {len(table)} lines", f"at most {most}")
        return table

    def _mapping(self, given: Any, key: str, allowed: Collection[str] | None) -> Mapping[str, Any]:
        if given is None:
            given = {}
        if not isinstance(given, dict):
            self._refuse(f"{key} = {_shown(given)}", "a table")
        if allowed is not None:
            self._only(given, allowed, key)
        return given

    def _only(self, given: Mapping[str, Any], allowed: Collection[str], where: str) -> None:
        for key in given:
            if key not in allowed:
                self._refuse(
                    f"{where} has the unknown key {_shown(key)}", ", ".join(allowed), _near(key, allowed)
                )

    def _text(self, source: Mapping[str, Any], word: str, key: str, required: bool = False) -> str | None:
        value = source.get(word)
        if value is None and not required:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
            self._refuse(f"{key} = {_shown(value)}", "a text on one line, of at most 200 characters")
        return value

    def _count(self, source: Mapping[str, Any], key: str, default: int, least: int, most: int) -> int:
        value = source.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self._refuse(f"{key} = {_shown(value)}", f"a whole number from {least} to {most:,}")
        return value

    def _check_name(self, name: str, key: str) -> None:
        if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name in _TAKEN:
            self._refuse(
                f"[{key.partition('.')[0]}] names {_shown(name)}",
                "small letters and digits, with single _ between, at most 63, and no word of Python",
            )

    def _refuse(self, found: str, allowed: str, near: str = "") -> NoReturn:
        raise DefinitionError(f"{self._where}: {found}", f"{near}Allowed: {allowed}.")


def _near(given: Any, known: Collection[str]) -> str:
    near = get_close_matches(given, known, 2) if isinstance(given, str) else []
    return f"Did you mean {' or '.join(near)}? " if near else ""


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        # Nested beyond reason, or a number that is too long to be written.
        text = f"<{type(value).__name__} that cannot be shown>"
    return text if len(text) <= 60 else text[:57] + "..."


def _hash(source: Mapping[str, Any]) -> str:
    # The order of features is part of it: models take them in this order.
    listed = {key: list(value.items()) if isinstance(value, dict) else value for key, value in source.items()}
    text = json.dumps(listed, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
