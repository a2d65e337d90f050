"""Guess: which column of a file is which field of a click, by names and first values, as a mapping file.

A guess is for a person to look at: `choices_of` proposes, `mapping_file` writes what was chosen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Any, NamedTuple

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553
from clickstream.files.mapping.fields import LIKELY, UNITS
from clickstream.files.mapping.spec import (
    NumberColumn,
    RowSelection,
    TextColumn,
    TimeColumn,
    UciMapping,
    mapping_onto,
)
from clickstream.files.mapping.table import ENDINGS_READ, GIVE, FileSample, sample_table
from clickstream.files.source import PARQUET, FileSource, read_source

_ROWS = 200

_CALLED: Mapping[str, Sequence[str]] = {
    "session_id": ("session", "sessionid", "usersession", "visitid", "visit", "visitorid", "userid", "user"),
    "event_time": ("timestamp", "eventtime", "time", "datetime", "ts", "createdat", "date"),
    "event": ("eventtype", "eventname", "action", "type", "name"),
    "product": ("productid", "item", "itemid", "sku", "article"),
    "category": ("categorycode", "categoryid", "categoryname", "department"),
    "price": ("unitprice", "amount", "value"),
    "end": ("sessionend", "isend"),
}
"""Names that logs have for a field, without signs between letters."""

_PATTERNS = (
    "%Y-%m-%d %H:%M:%S UTC",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S %z",
)


class MappedField(NamedTuple):
    """A field that a mapping may name. `is_needed`: it must."""

    name: str
    is_needed: bool
    is_number: bool
    is_time: bool
    is_text: bool


@dataclass(frozen=True)
class ColumnChoice:
    """Where a field comes from: a column; `missing` is taken where that is empty. Format and time zone are of
    a time, the decimal sign is of a number, `up_to` and `values` (text in the column -> what it stands for)
    are of a text.
    """

    column: str
    missing: str = ""
    decimal: str = "."
    format: str = "iso"
    timezone: str = "UTC"
    up_to: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


def mapped_fields(definition: ShopDefinition) -> list[MappedField]:
    """The fields that a mapping onto this shop may name, those that it must first."""
    kind = UciMapping if definition is UCI553.definition else mapping_onto(definition)
    clicks: Any = kind.model_fields["clicks"].annotation
    found = []
    for name, spec in clicks.model_fields.items():
        kinds = getattr(spec.annotation, "__args__", (spec.annotation,))
        is_number = any(isinstance(one, type) and issubclass(one, NumberColumn) for one in kinds)
        found.append(
            MappedField(name, spec.is_required(), is_number, TimeColumn in kinds, TextColumn in kinds)
        )
    return sorted(found, key=lambda one: not one.is_needed)


def read_sample(source: FileSource, name: str, definition: ShopDefinition) -> FileSample:
    """The columns of a log file and its first rows.

    Raises:
        InputError: it is no CSV file, no JSON lines, no Parquet, nor a zip that holds one.
        ConfigurationError: it is Parquet, and the extra `history` is not installed.
    """
    name, content = read_source(source, name, ENDINGS_READ, GIVE)
    if content.startswith(PARQUET):
        from clickstream.files.history.sample import sample_parquet

        return sample_parquet(name, content, _ROWS)
    wanted = [one.name for one in mapped_fields(definition)]
    return sample_table(name, content, wanted, _ROWS)


def choices_of(sample: FileSample, definition: ShopDefinition) -> dict[str, ColumnChoice]:
    """Field -> what it seems to come from; fields for which no column offers itself are left out."""
    plain = {_plain(column): column for column in reversed(sample.columns)}
    # The last part of a nested name, where it is the only one that ends so.
    for nested in sample.columns:
        plain.setdefault(_plain(nested.rsplit(".", 1)[-1]), nested)
    fields = mapped_fields(definition)
    columns = {one.name: column for one in fields if (column := _named(one.name, plain))}
    for one in fields:
        if one.name not in columns and one.is_needed:
            free = {name: column for name, column in plain.items() if column not in columns.values()}
            near = get_close_matches(_plain(one.name), list(free), 1, 0.8)
            if near:
                columns[one.name] = free[near[0]]
    return {one.name: _choice(one, columns[one.name], sample) for one in fields if one.name in columns}


def _choice(of: MappedField, column: str, sample: FileSample) -> ColumnChoice:
    values = [str(value) for row in sample.rows if (value := row(column)) not in (None, "")]
    if of.is_time:
        return ColumnChoice(column, format=_time_format(values))
    return ColumnChoice(column, decimal=_decimal(values) if of.is_number else ".")


def mapping_file(
    choices: Mapping[str, ColumnChoice], definition: ShopDefinition, rows: RowSelection | None = None
) -> bytes:
    """The mapping file, TOML, that says what was chosen; `read_mapping` and `read_shop_mapping` read it.

    Args:
        rows: which rows are clicks; None: all of them.
    """
    kinds = {one.name: one for one in mapped_fields(definition)}
    lines = [f"# Which column is which field of shop {definition.name}.", ""]
    if rows is not None:
        lines += ["[rows]", f"column = {_quoted(rows.column)}", f"keep = {_listed(rows.keep)}"]
        lines += [f"end = {_listed(rows.end)}"] if rows.end else []
        lines += [""]
    lines += ["[clicks]"]
    for name, choice in choices.items():
        parts = {"column": _quoted(choice.column)}
        if kinds[name].is_time:
            parts |= {"format": _quoted(choice.format), "timezone": _quoted(choice.timezone)}
        else:
            if choice.up_to:
                parts["up_to"] = _quoted(choice.up_to)
            if choice.values:
                pairs = (f"{_quoted(text)} = {_quoted(meant)}" for text, meant in choice.values.items())
                parts["values"] = f"{{ {', '.join(pairs)} }}"
            if choice.missing:
                parts["missing"] = _quoted(choice.missing)
            if kinds[name].is_number and choice.decimal != ".":
                parts["decimal"] = _quoted(choice.decimal)
        said = ", ".join(f"{key} = {value}" for key, value in parts.items())
        lines.append(f"{name} = {parts['column'] if len(parts) == 1 else f'{{ {said} }}'}")
    return ("\n".join(lines) + "\n").encode()


def _listed(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _named(name: str, plain: Mapping[str, str]) -> str | None:
    wanted = (_plain(name), *_CALLED.get(name, ()))
    return next((plain[one] for one in wanted if one in plain), None)


def _time_format(values: Sequence[str]) -> str:
    for unit, factor in UNITS.items():
        if values and all(_is_number(value) and round(float(value) * factor) in LIKELY for value in values):
            return unit
    return next((one for one in ("iso", *_PATTERNS) if _fits(values, one)), "iso")


def _fits(values: Sequence[str], pattern: str) -> bool:
    try:
        for value in values:
            datetime.fromisoformat(value) if pattern == "iso" else datetime.strptime(value, pattern)
    except ValueError:
        return False
    return True


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[0-9]{1,20}(\.[0-9]+)?", value) is not None


def _decimal(values: Sequence[str]) -> str:
    return "," if any(re.fullmatch(r"[+-]?[0-9.]*,[0-9]+", value) for value in values) else "."


def _quoted(text: str) -> str:
    """A basic string of TOML: that of JSON, which leaves DEL as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
