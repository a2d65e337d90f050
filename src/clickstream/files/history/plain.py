"""Plain: the SQL that takes from a log, millions of rows at once, the clicks about which there is no doubt.

A row is plain where DuckDB and the row-by-row judge cannot but read the same of it. It says of no row that
it is wrong: what is not plain goes to the judge, who has the last word and the words for it. So there is one
rule of what is refused, and whoever changes it finds here at most fewer rows that are plain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from clickstream.features.definition import FieldType, ShopDefinition
from clickstream.features.shop import UCI553
from clickstream.files.history.engine import named, quoted
from clickstream.files.history.finishing import END_ROW
from clickstream.files.mapping.fields import LIKELY, UNITS, ColumnGetter, FieldReader, WrongValueError
from clickstream.files.mapping.judge import FieldTarget
from clickstream.files.mapping.spec import (
    Column,
    ColumnMapping,
    NumberColumn,
    RowSelection,
    TextColumn,
    TimeColumn,
)
from clickstream.records.click import LAST_MS, SECONDS

LEFT_OUT, DOUBTFUL = -2, -1
"""Buckets of rows that are no clicks on purpose, and of those that go to the judge."""

SQL_TYPES = {
    FieldType.TEXT: "VARCHAR",
    FieldType.NUMBER: "DOUBLE",
    FieldType.INTEGER: "BIGINT",
    FieldType.BOOLEAN: "BOOLEAN",
}

SPACES = "".join(one for one in map(chr, range(0x3001)) if one.isspace())
"""What Python strips from a text."""

# A plain time of a zone lies between 1970 and 2100.
_FIRST_NOON, _DAYS = datetime(1969, 12, 31, 12), 47_484
_LARGEST_ORDER = 1_000_000
_MS_OF_A_DAY = 86_400_000
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?"
_WITH_COMMA = r"[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]*)?"
_INTEGER = r"[+-]?[0-9]{1,18}"
_ISO = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{3}([0-9]{3})?)?"
    r"(Z|\+00:00)?"
)
# With these two digits are two digits in both languages; the others mean more in one of them.
_SAME_PATTERN = re.compile(r"([^%]|%[YmdHMSf%])*")


@dataclass(frozen=True)
class Cell:
    """A column of the log in SQL: its value as text, NULL where it has none.

    Attributes:
        known: where the judge reads the same text.
        known_number: where it does if what is wanted is a number.
        time: the value where the column is a time by its type; `is_local`: it says no zone.
    """

    text: str
    known: str = "true"
    known_number: str = "true"
    time: str | None = None
    is_local: bool = False


@dataclass(frozen=True)
class Table:
    """Files of one layout.

    Attributes:
        mapping: what of the mapping holds for them.
        relation: a SELECT, with `filename`, and `row`, which counts from 1 where it is known.
        cells: the columns that the mapping names.
        usable: SQL; where it is false, a row is doubtful.
        judged: SQL of what the judge takes, a list of texts.
        row_of: makes of it a row, or says what is wrong with it.
        fetch: takes columns from such a row.
    """

    mapping: ColumnMapping
    relation: str
    cells: Mapping[str, Cell]
    usable: str
    judged: str
    row_of: Callable[[list[str | None]], Any]
    fetch: Callable[[str], ColumnGetter]


@dataclass(frozen=True)
class _Value:
    """A field in SQL, and where it is plain."""

    value: str
    plain: str


def plain_clicks(table: Table, definition: ShopDefinition, target: FieldTarget[Any], buckets: int) -> str:
    """A SELECT over a table: `bucket`, the fields of a click, and END_ROW; of doubtful rows `filename`,
    `row`, and the values that the judge takes.

    Args:
        target: takes constants as the judge does.
    """
    mapping, cells = table.mapping, table.cells
    values = {
        name: _value(name, spec, definition, target, cells)
        for name, spec in mapping.clicks.targets.items()
        if getattr(spec, "derive", None) is None
    }
    plain = " AND ".join(one.plain for one in values.values())
    end_plain = f"{values['session_id'].plain} AND {values['event_time'].plain}"
    keep, end, known = _kinds(mapping.rows, cells)
    place = bucket_of(_alias("session_id"), buckets)
    bucket = (
        f"CASE WHEN NOT coalesce({table.usable} AND {known}, false) THEN {DOUBTFUL}"
        f" WHEN {keep} THEN CASE WHEN coalesce({plain}, false) THEN {place} ELSE {DOUBTFUL} END"
        f" WHEN {end} THEN CASE WHEN coalesce({end_plain}, false) THEN {place} ELSE {DOUBTFUL} END"
        f" ELSE {LEFT_OUT} END"
    )
    fields = {
        "session_id": _alias("session_id"),
        "event_time": _alias("event_time"),
        "order": f"CAST({_alias('order') if 'order' in values else 'NULL'} AS INTEGER)",
    }
    for field in definition.fields:
        found = _alias(field.name) if field.name in values else "NULL"
        fields[field.name] = f"CAST({found} AS {SQL_TYPES[field.type]})"
    fields["end"] = f"{end} OR coalesce({_alias('end') if 'end' in values else 'false'}, false)"
    fields[END_ROW] = f"NOT {keep}"
    taken = [f"CASE WHEN bucket >= 0 THEN {value} END AS {named(name)}" for name, value in fields.items()]
    taken += [
        f"CASE WHEN bucket = {DOUBTFUL} THEN {name} END AS {name}" for name in ("filename", "row", "judged")
    ]
    found_values = ", ".join(f"{one.value} AS {_alias(name)}" for name, one in values.items())
    return (
        f"SELECT bucket, {', '.join(taken)} FROM (SELECT *, {bucket} AS bucket"
        f" FROM (SELECT *, {table.judged} AS judged, {found_values} FROM ({table.relation})))"
    )


def _kinds(rows: RowSelection | None, cells: Mapping[str, Cell]) -> tuple[str, str, str]:
    """SQL of whether a row is a click, ends a visit, and whether the judge reads the same kind of it."""
    if rows is None:
        return "true", "false", "true"
    cell, kinds = cells[rows.column], (*rows.keep, *rows.end)
    known = cell.known if "" not in kinds else f"({cell.known} AND {cell.text} IS NOT NULL)"
    return _among(cell.text, rows.keep), _among(cell.text, rows.end), known


def _alias(field: str) -> str:
    return named(f"v_{field}")


def bucket_of(session_id: str, buckets: int) -> str:
    """SQL of the bucket of a session: the same on every machine and in every version."""
    return f"CAST(md5_number_lower({session_id}) % {buckets} AS INTEGER)"


def _value(
    name: str,
    spec: Column | TimeColumn,
    definition: ShopDefinition,
    target: FieldTarget[Any],
    cells: Mapping[str, Cell],
) -> _Value:
    alias = _alias(name)
    if isinstance(spec, TimeColumn):
        return _time(spec, cells[spec.column], alias)
    of_uci = definition is UCI553.definition
    # A mapping onto uci553 that names a column needs a value in it.
    low: float | None
    high: float | None
    if name == "session_id":
        kind, optional, low, high = FieldType.TEXT, False, 1, 256
    elif name == "order":
        kind, optional, low, high = FieldType.INTEGER, not of_uci, 1, _LARGEST_ORDER
    elif name == "end":
        kind, optional, low, high = FieldType.BOOLEAN, True, None, None
    else:
        field = definition.field(name)
        kind, low, high = field.type, field.at_least, field.at_most
        optional = field.optional and not of_uci
    if spec.column is None:
        found = _constant(name, spec, target, spec.constant, kind)
        return _Value(found, f"{alias} IS NOT NULL AND {_bounded(alias, kind, low, high)}")
    cell = cells[spec.column]
    text = cell.text
    known = cell.known_number if kind in (FieldType.NUMBER, FieldType.INTEGER) else cell.known
    missing = None if spec.missing is None else _constant(name, spec, target, spec.missing, kind)
    if spec.values is None:
        value = _converted(text, spec, kind)
        absent = f"{text} IS NULL"
        if missing is not None:
            value = f"CASE WHEN {text} IS NULL THEN {missing} ELSE {value} END"
    else:
        known = cell.known
        cases = " ".join(
            f"WHEN {quoted(key)} THEN {_constant(name, spec, target, meant, kind)}"
            for key, meant in spec.values.items()
            if key
        )
        value = f"CASE {text} {cases} ELSE {missing or 'NULL'} END" if cases else missing or "NULL"
        absent = f"({text} IS NULL OR NOT {_among(text, list(spec.values))})"
    plain = f"{alias} IS NOT NULL AND {_bounded(alias, kind, low, high)}"
    if kind is FieldType.TEXT:
        # The judge refuses one with a NUL.
        plain += f" AND NOT contains({alias}, chr(0))"
    if optional and spec.missing is None:
        plain = f"({absent} OR ({plain}))"
    return _Value(value, f"{known} AND {plain}")


def _bounded(value: str, kind: FieldType, low: float | None, high: float | None) -> str:
    size = f"length({value})" if kind is FieldType.TEXT else value
    bounds = [f"isfinite({value})"] if kind is FieldType.NUMBER else ["true"]
    if low is not None:
        bounds.append(f"{size} >= {low!r}")
    if high is not None:
        bounds.append(f"{size} <= {high!r}")
    return " AND ".join(bounds)


def _converted(text: str, spec: Column, kind: FieldType) -> str:
    match kind:
        case FieldType.TEXT:
            up_to = spec.up_to if isinstance(spec, TextColumn) else None
            return text if up_to is None else f"split_part({text}, {quoted(up_to)}, 1)"
        case FieldType.BOOLEAN:
            truths = "WHEN 'true' THEN true WHEN '1' THEN true WHEN 'false' THEN false WHEN '0' THEN false"
            return f"CASE lower({text}) {truths} END"
    number, guard = text, f"regexp_full_match({text}, {quoted(_NUMBER)})"
    if isinstance(spec, NumberColumn) and spec.decimal == ",":
        number = f"replace(replace({text}, '.', ''), ',', '.')"
        guard = f"regexp_full_match({text}, {quoted(_WITH_COMMA)})"
    if kind is FieldType.INTEGER:
        guard += f" AND regexp_full_match({number}, {quoted(_INTEGER)})"
    return f"CASE WHEN {guard} THEN TRY_CAST({number} AS {SQL_TYPES[kind]}) END"


def _constant(name: str, spec: Column, target: FieldTarget[Any], value: Any, kind: FieldType) -> str:
    """What the judge makes of a constant, in SQL; NULL, of which no row is plain, where it refuses it."""
    plain = spec.model_copy(update={"column": None, "constant": value, "values": None, "missing": None})
    try:
        read: FieldReader | None = target.field(name, plain, _no_column)
        found = None if read is None else read(None)
    except WrongValueError:
        return "NULL"
    if found is None:
        return "NULL"
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, str):
        return quoted(found)
    return f"CAST({found!r} AS {SQL_TYPES[kind]})"


def _no_column(column: str) -> Any:
    raise AssertionError(f"a constant has no column {column}")


def _time(spec: TimeColumn, cell: Cell, alias: str) -> _Value:
    text = cell.text
    if cell.time is not None:
        if not cell.is_local or spec.timezone == "UTC":
            return _Value(f"epoch_ms({cell.time})", f"{cell.known} AND {_possible_time(alias)}")
        value, certain = local_time(cell.time, spec.timezone)
        return _Value(value, f"{cell.known} AND {_possible_time(alias)} AND {certain}")
    factor = UNITS.get(spec.format)
    if factor is not None:
        number = f"CASE WHEN regexp_full_match({text}, {quoted(_NUMBER)}) THEN TRY_CAST({text} AS DOUBLE) END"
        value = f"TRY_CAST(round_even({number} * {factor!r}, 0) AS BIGINT)"
        likely = f"{alias} >= {LIKELY.start} AND {alias} < {LIKELY.stop}"
        return _Value(value, f"{cell.known_number} AND {likely}")
    if spec.format == "iso":
        bare = f"regexp_replace({text}, '(Z|\\+00:00)$', '')"
        at = f"CASE WHEN regexp_full_match({text}, {quoted(_ISO)}) THEN TRY_CAST({bare} AS TIMESTAMP) END"
        local = f"{text} = {bare}"
    elif _SAME_PATTERN.fullmatch(spec.format):
        pattern = quoted(spec.format)
        parsed = f"TRY_STRPTIME({text}, {pattern})"
        # Either language reads more by a pattern than it writes, and not the same.
        at = f"CASE WHEN strftime({parsed}, {pattern}) = {text} THEN {parsed} END"
        local = "true"
    else:
        return _Value("CAST(NULL AS BIGINT)", "false")
    plain = f"{cell.known} AND {_possible_time(alias)}"
    if spec.timezone == "UTC":
        return _Value(f"epoch_ms({at})", plain)
    value, certain = local_time(at, spec.timezone)
    return _Value(
        f"CASE WHEN {local} THEN {value} ELSE epoch_ms({at}) END",
        f"{plain} AND (NOT ({local}) OR ({certain}))",
    )


def local_time(at: str, zone: str) -> tuple[str, str]:
    """SQL of a time of a zone as ms since 1970, and where it is certain: on a day without a change of the
    clock before or after it an hour cannot be missing or come twice.
    """

    def instant(time: str) -> str:
        return f"TRY(epoch_ms(timezone({quoted(zone)}, {time})))"

    spans = _disputed(zone)
    if spans is None:
        return "CAST(NULL AS BIGINT)", "false"
    value = instant(at)
    day = "INTERVAL 1 DAY"
    before, after = instant(f"({at}) - {day}"), instant(f"({at}) + {day}")
    agreed = "".join(
        f" AND NOT ({at}) BETWEEN TIMESTAMP '{first}' AND TIMESTAMP '{last}'" for first, last in spans
    )
    return value, (
        f"{before} + {_MS_OF_A_DAY} = {value} AND {after} - {_MS_OF_A_DAY} = {value}"
        f" AND ({at}) < TIMESTAMP '{_FIRST_NOON + timedelta(_DAYS - 1)}'{agreed}"
    )


@cache
def _disputed(zone: str) -> list[tuple[datetime, datetime]] | None:
    """Spans of local time of a zone in which DuckDB, whose table of zones is another edition than Python's,
    has other offsets; None where it does not know the zone.
    """
    import duckdb

    noons = [_FIRST_NOON + timedelta(day) for day in range(_DAYS)]
    last = f"TIMESTAMP '{noons[-1]}'"
    range_of = f"generate_series(TIMESTAMP '{noons[0]}', {last}, INTERVAL 1 DAY)"
    with duckdb.connect() as engine:
        try:
            found = engine.execute(
                f"SELECT epoch_ms(timezone({quoted(zone)}, noon)) FROM (SELECT unnest({range_of}) AS noon)"
            ).fetchall()
        except duckdb.NotImplementedException:
            return None
    zone_of_python = ZoneInfo(zone)
    differs = [
        int(noon.replace(tzinfo=zone_of_python).timestamp()) * 1_000 != ms
        for noon, (ms,) in zip(noons, found, strict=True)
    ]
    spans, day = [], 0
    for is_disputed, run in groupby(differs):
        days = len(list(run))
        if is_disputed:
            # The noons around them are agreed upon; between these the change of one of the two may lie.
            spans.append((_FIRST_NOON + timedelta(day - 1), _FIRST_NOON + timedelta(day + days)))
        day += days
    return spans


def _possible_time(value: str) -> str:
    return (
        f"{value} BETWEEN 0 AND {LAST_MS} AND NOT ({value} >= {SECONDS.start} AND {value} < {SECONDS.stop})"
    )


def _among(text: str, texts: Sequence[str]) -> str:
    named_texts = [one for one in texts if one]
    if not named_texts:
        return "false"
    return f"coalesce({text} IN ({', '.join(map(quoted, named_texts))}), false)"
