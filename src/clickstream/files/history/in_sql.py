"""In SQL: a mapping in TOML as the SELECT that it means, to go on from where TOML cannot say more.

The SELECT takes the same rows for clicks. Where DuckDB reads a value in more ways than the mapping does, it
is as strict as it can be without being longer than what a person would write.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from clickstream.files.history.engine import named, quoted
from clickstream.files.mapping.fields import UNITS
from clickstream.files.mapping.spec import (
    Column,
    ColumnMapping,
    FileLayout,
    NumberColumn,
    RowSelection,
    TextColumn,
    TimeColumn,
)

_FACTORS = {"s": " * 1000", "ms": "", "us": " / 1000", "ns": " / 1000000"}


def in_sql(mapping: ColumnMapping) -> str:
    """A mapping as the text of a file of SQL. What it derives is derived where the SELECT leaves it out.

    >>> from clickstream.features.shop_file import built_in
    >>> from clickstream.files.mapping import mapping_by_name
    >>> print(in_sql(mapping_by_name(built_in("online-store"))).splitlines()[1])
    SELECT session_id,
    """
    rows, values = mapping.rows, {}
    for name, spec in mapping.clicks.targets.items():
        if getattr(spec, "derive", None) is None:
            values[name] = _time(spec) if isinstance(spec, TimeColumn) else _value(spec)
    ends = rows is not None and rows.end
    taken = [value if value == _name(name) else f"{value} AS {_name(name)}" for name, value in values.items()]
    lines = [_header(mapping), "SELECT " + ",\n       ".join(taken)]
    if rows is None:
        return "\n".join([*filter(None, lines), "FROM log", ""])
    kind = _column(rows.column)
    if not ends:
        return "\n".join([*filter(None, lines), "FROM log", f"WHERE {kind} IN {_listed(rows.keep)}", ""])
    return "\n".join(_with_ends(lines, rows, kind, list(values)))


def _with_ends(lines: list[str], rows: RowSelection, kind: str, names: Sequence[str]) -> list[str]:
    """The SELECT of a log in which some rows end a visit: the click before one carries the end."""
    kept, ending = _listed(rows.keep), _listed(rows.end)
    shown = ", ".join(_name(name) for name in names if name != "end")
    follows = f"coalesce(lead(kind IN {ending} AND NOT kind IN {kept}) OVER of_session, false)"
    end = f"{_name('end')} OR " if "end" in names else ""
    return [
        *filter(None, lines[:1]),
        "WITH events AS (",
        lines[1].replace("SELECT ", f"SELECT {kind} AS kind, ", 1),
        f"FROM log WHERE {kind} IN {_listed([*rows.keep, *rows.end])}",
        "), marked AS (",
        f"SELECT *, {end}kind IN {ending} OR {follows} AS is_end FROM events",
        f"WINDOW of_session AS (PARTITION BY session_id ORDER BY event_time, kind NOT IN {kept})",
        ")",
        f"SELECT {shown}, is_end AS {_name('end')} FROM marked WHERE kind IN {kept}",
        "",
    ]


def _header(mapping: ColumnMapping) -> str:
    """The comment in which a mapping in SQL says how the log is written, if there is anything to say."""
    file: FileLayout = mapping.file
    said = file.model_dump(exclude_none=True, include={"format", "delimiter", "encoding"})
    top = "" if mapping.time_source == "recorded" else f"time_source = {_toml(mapping.time_source)}\n"
    layout = "".join(f"{key} = {_toml(value)}\n" for key, value in said.items())
    header = top + (f"[log]\n{layout}" if layout else "")
    return f"/*\n{header}*/" if header else ""


def _toml(text: str) -> str:
    """A basic string of TOML: that of JSON."""
    return json.dumps(text)


def _value(spec: Column) -> str:
    if spec.column is None:
        return _scalar(spec.constant)
    column = _column(spec.column)
    if spec.values is not None:
        cases = " ".join(f"WHEN {quoted(text)} THEN {_scalar(to)}" for text, to in spec.values.items())
        value = f"CASE {column} {cases}{'' if spec.missing is None else f' ELSE {_scalar(spec.missing)}'} END"
    elif spec.missing is not None:
        value = f"coalesce({column}, {_scalar(spec.missing)})"
    else:
        value = column
    if isinstance(spec, TextColumn) and spec.up_to is not None:
        value = f"split_part({value}, {quoted(spec.up_to)}, 1)"
    if isinstance(spec, NumberColumn) and spec.decimal == ",":
        value = f"replace(replace({value}, '.', ''), ',', '.')"
    return value


def _time(spec: TimeColumn) -> str:
    column = _column(spec.column)
    if spec.format in UNITS:
        factor = _FACTORS[spec.format]
        number = f"TRY_CAST({column} AS DOUBLE){factor}"
        return f"CAST(round_even({number}, 0) AS BIGINT)"
    if spec.format != "iso":
        parsed = f"try_strptime({column}, {quoted(spec.format)})"
    elif spec.timezone == "UTC":
        return column
    else:
        parsed = f"TRY_CAST({column} AS TIMESTAMP)"
    return parsed if spec.timezone == "UTC" else f"timezone({quoted(spec.timezone)}, {parsed})"


def _column(column: str) -> str:
    """A column; "a.b" is b of the object a in JSON."""
    return ".".join(_name(part) for part in column.split("."))


def _name(name: str) -> str:
    plain = name.isascii() and name.replace("_", "a").isalnum() and name.lower() == name
    return name if plain and not name[0].isdigit() and name not in _reserved() else named(name)


@cache
def _reserved() -> frozenset[str]:
    """Words that SQL keeps for itself."""
    import duckdb

    with duckdb.connect() as engine:
        words = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
        return frozenset(word for (word,) in engine.execute(words).fetchall())


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else repr(value)


def _listed(texts: Sequence[str]) -> str:
    return f"({', '.join(map(quoted, texts))})"
