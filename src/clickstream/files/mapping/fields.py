"""Fields: functions that take a row and give one field of a click, made once for a mapping."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from clickstream.files.mapping.spec import Column, NumberColumn, TextColumn, TimeColumn
from clickstream.files.text import plain_integer, plain_number

ColumnGetter = Callable[[Any], Any]
"""A row -> the value of one column, None where it has none."""

FieldReader = Callable[[Any], Any]
"""A row -> one field of a click. Raises WrongValueError."""

# Groups of three may be set off by points.
_WITH_COMMA = re.compile(r"\s*[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]*)?\s*")

_MOST_DIGITS = 18

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}

UNITS = {"s": 1_000.0, "ms": 1.0, "us": 0.001, "ns": 0.000_001}

# 1990 to 2099, in ms: where the times of a shop lie.
LIKELY = range(631_152_000_000, 4_102_444_800_000)


class WrongValueError(ValueError):
    """A value that cannot be what it should be. `column` is the file's name for it."""

    def __init__(self, column: str, value: object, expected: str) -> None:
        super().__init__(f"{str(value)[:60]!r}, {expected}")
        self.column = column


def in_list(columns: Sequence[str], column: str) -> ColumnGetter:
    """Of a CSV row."""
    place = columns.index(column)

    def fetch(row: Sequence[str]) -> str:
        return row[place].strip()

    return fetch


def in_object(column: str) -> ColumnGetter:
    """Of a JSON object; "a.b" is b of the object a, where there is no key "a.b"."""
    path = column.split(".")

    def fetch(row: Mapping[str, Any]) -> Any:
        if column in row or len(path) == 1:
            return row.get(column)
        value: Any = row
        for part in path:
            if not isinstance(value, dict):
                return None
            value = value.get(part)
        return value

    return fetch


def text_field(spec: Column, fetch: Callable[[str], ColumnGetter], optional: bool = False) -> FieldReader:
    """A text; an optional one is None where the column is empty."""
    up_to = spec.up_to if isinstance(spec, TextColumn) else None

    def text(value: Any) -> str:
        plain = as_text(value)
        return plain.split(up_to, 1)[0] if up_to is not None else plain

    return _field(spec, fetch, text, "not a text", optional)


def truth_field(spec: Column, fetch: Callable[[str], ColumnGetter], optional: bool = False) -> FieldReader:
    """True or false: as in JSON, or the words true and false, or 1 and 0."""

    def truth(value: Any) -> bool:
        return _TRUTHS[as_text(value).lower()]

    return _field(spec, fetch, truth, "neither true nor false", optional)


def number_field(
    spec: Column, fetch: Callable[[str], ColumnGetter], whole: bool, optional: bool = False
) -> FieldReader:
    """A number, or a whole one."""
    comma = isinstance(spec, NumberColumn) and spec.decimal == ","

    def number(value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise ValueError
        if isinstance(value, str):
            if comma:
                if not _WITH_COMMA.fullmatch(value):
                    raise ValueError
                value = value.replace(".", "").replace(",", ".")
            value = plain_integer(value) if whole else plain_number(value)
        if isinstance(value, Decimal) and value.adjusted() > _MOST_DIGITS:
            raise ValueError  # as a whole number it would have as many digits
        if not whole:
            found = float(value)
            if not math.isfinite(found):
                raise ValueError
            return found
        if value != int(value):
            raise ValueError
        return int(value)

    expected = "not a whole number" if whole else "not a number"
    if not whole and not comma:
        expected += ' (if the comma is a decimal sign: decimal = ",")'
    return _field(spec, fetch, number, expected, optional)


def time_field(spec: TimeColumn, fetch: Callable[[str], ColumnGetter]) -> FieldReader:
    """Milliseconds since the epoch."""
    read, column, zone = fetch(spec.column), spec.column, ZoneInfo(spec.timezone)
    factor = UNITS.get(spec.format)
    expected = f"not a time of format {spec.format}"

    def since_epoch(value: Any) -> int:
        number = plain_number(value) if isinstance(value, str) else float(value)
        found = round(number * (factor or 1.0))
        if found not in LIKELY:
            for unit, other in UNITS.items():
                if round(number * other) in LIKELY:
                    raise WrongValueError(
                        column,
                        value,
                        f'not a time of format {spec.format}: it reads as one of format "{unit}"',
                    )
        return found

    def on_calendar(value: Any) -> int:
        text = str(value)
        at = datetime.fromisoformat(text) if spec.format == "iso" else datetime.strptime(text, spec.format)
        if at.tzinfo is None:
            at = at.replace(tzinfo=zone)
        since = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000

    convert = since_epoch if factor is not None else on_calendar

    def field(row: Any) -> int:
        value = read(row)
        try:
            return convert(value)
        except WrongValueError:
            raise
        except (ValueError, TypeError, OverflowError):
            raise WrongValueError(column, value, expected) from None

    return field


def as_text(value: Any) -> str:
    """A value of a row as the text that a mapping file calls it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | Decimal):
        text = str(value)
        text.encode()  # Half a character, as JSON can write it, is no text.
        if "\0" in text:
            raise ValueError
        return text
    raise ValueError


def _field(
    spec: Column,
    fetch: Callable[[str], ColumnGetter],
    convert: Callable[[Any], Any],
    expected: str,
    optional: bool,
) -> FieldReader:
    if spec.column is None:
        try:
            constant = convert(spec.constant)
        except (ValueError, LookupError, OverflowError):
            raise WrongValueError("constant", spec.constant, expected) from None
        return lambda _row: constant
    read, column = fetch(spec.column), spec.column
    values, missing = spec.values, spec.missing

    def field(row: Any) -> Any:
        value = read(row)
        try:
            if value is None or value == "":
                value = missing
            elif values is not None:
                value = values.get(as_text(value), missing)
            if value is None and optional:
                return None
            if value is None:
                found = read(row)
                expected_one = "empty" if values is None else "empty or not in values"
                raise WrongValueError(column, "" if found is None else found, expected_one)
            return convert(value)
        except WrongValueError:
            raise
        except (ValueError, TypeError, LookupError, OverflowError):
            raise WrongValueError(column, value, expected) from None

    return field
