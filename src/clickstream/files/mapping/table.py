"""Table: what a log file is by its beginning, CSV or JSON lines, its columns, and its first rows.

DuckDB reads the rows. What stays here is what it has no answer for: a header by the names that a mapping
wants, a delimiter among those that people use, and the numbers of JSON as they are written, digit by digit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Any, Literal, NamedTuple, NoReturn

from clickstream.files.mapping.fields import ColumnGetter, in_list, in_object
from clickstream.files.mapping.spec import WHERE, ColumnMapping, FileLayout
from clickstream.files.text import (
    advice,
    below_head,
    encoding_of,
    head_of,
    lines_of,
    named_columns,
    rows_of,
    without_empty_end,
)
from clickstream.infra.errors import InputError

ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")
ENDINGS_READ = (*ENDINGS, ".parquet")
GIVE = "Give a CSV file, JSON lines or Parquet."

_PROBED = 400
_HEAD = 1 << 20
MOST_COLUMNS = 500
"""Of a file, that are offered to be chosen from."""

_DELIMITERS = (",", ";", "\t", "|")


def check_columns(name: str, wanted: list[str], columns: list[str]) -> None:
    """Check that a file has each of the columns that its mapping names, once.

    Raises:
        InputError: it has not; says which, and what there is.
    """
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise InputError(
            f"{name} lacks the columns {', '.join(missing)} of the mapping; its first line has"
            f" {', '.join(map(repr, columns))[:300]}",
            advice(missing, columns) + "Correct the names in the mapping file. " + WHERE,
        )
    twice = [column for column in wanted if columns.count(column) > 1]
    if twice:
        raise InputError(
            f"{name} has the column {', '.join(map(repr, twice))} twice, and the mapping names it",
            "Rename one of them in the first line of the file.",
        )


def refuse_array(name: str, content: bytes, encoding: str) -> None:
    """Refuse a file of JSON that begins as one array: objects are read line by line.

    Raises:
        InputError: it does.
    """
    if content[:_HEAD].decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n").startswith("["):
        raise InputError(
            f"{name} is one JSON array; what is read is one object a line",
            "Write it so, as by `jq -c '.[]' in.json > out.jsonl`.",
        )


class FileSample(NamedTuple):
    """The names of the columns, of JSON objects `a.b` for b of the object a, and the first rows under them;
    a row is a function that gives the value of a column.
    """

    columns: list[str]
    rows: Sequence[Callable[[str], Any]]


def sample_table(name: str, content: bytes, wanted: list[str], at_most: int) -> FileSample:
    """The beginning of a file of whose columns nothing is known yet; `wanted` are names that it may have.

    Raises:
        InputError: it is no such file.
    """
    encoding = encoding_of(name, content)
    if format_of(content, encoding) == "jsonl":
        lines = (line for line in lines_of(content, encoding) if line.text.strip())
        objects = [object_of(line.text.strip()) for line in islice(lines, at_most) if line.problem is None]
        found = [one for one in objects if isinstance(one, dict)]
        if not found:
            raise InputError(f"{name} begins with no JSON object", "Write one object a line, for each click.")
        keys = dict.fromkeys(key for row in found for key in _keys(row))
        return FileSample(list(keys)[:MOST_COLUMNS], [partial(_in_row, in_object, row) for row in found])
    delimiter, columns = header_of(name, content, encoding, FileLayout(), wanted)
    rows = islice(below_head(content, encoding, delimiter), at_most)
    lists = [without_empty_end(row.fields, len(columns)) for row in rows if row.problem is None]
    return FileSample(
        [one for one in dict.fromkeys(columns) if one][:MOST_COLUMNS],
        [partial(_in_row, partial(in_list, columns), row) for row in lists if len(row) == len(columns)],
    )


def _in_row(fetch: Callable[[str], ColumnGetter], row: Any, column: str) -> Any:
    return fetch(column)(row)


def _keys(row: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{before}{key}.")
        elif not isinstance(value, list):
            yield f"{before}{key}"


def columns_of(mapping: ColumnMapping) -> list[str]:
    """The columns that a mapping names."""
    named = [spec.column for spec in mapping.clicks.targets.values() if spec.column is not None]
    if mapping.rows is not None:
        named.append(mapping.rows.column)
    return list(dict.fromkeys(named))


def format_of(content: bytes, encoding: str) -> Literal["csv", "jsonl"]:
    """What a text is by its first character."""
    start = content[:_PROBED].decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n")
    return "jsonl" if start.startswith(("{", "[")) else "csv"


def header_of(
    name: str, content: bytes, encoding: str, layout: FileLayout, wanted: list[str]
) -> tuple[str, list[str]]:
    """The delimiter of a CSV under which most of the columns `wanted` are there, and its columns.

    Raises:
        InputError: its first line names none.
    """
    first, announced = head_of(content, encoding)
    if first.problem is not None:
        raise InputError(f"{name} begins with {first.problem}, not with the names of columns", WHERE)
    given = layout.delimiter or announced
    delimiters = _DELIMITERS if given is None else (given,)
    found: dict[str, list[str]] = {}
    for delimiter in delimiters:
        header = next(rows_of(iter([first]), delimiter), None)
        found[delimiter] = named_columns(header.fields) if header else []
    delimiter = max(delimiters, key=lambda one: (len(set(wanted) & set(found[one])), len(found[one])))
    return delimiter, found[delimiter]


def object_of(text: str) -> dict[str, Any] | str:
    """The JSON object that a line is, or what is wrong with it."""
    try:
        row = _decode(text)
    except ValueError as error:
        return f"not JSON: {error}"
    except RecursionError:
        return "not JSON: nested too deeply"
    return row if isinstance(row, dict) else "not a JSON object"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands in it twice")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


# Exact: an id of twenty digits, or 1.50, is kept as it is written.
_decode = json.JSONDecoder(
    parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_once, strict=False
).decode
