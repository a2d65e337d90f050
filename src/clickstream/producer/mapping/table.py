"""Table: the rows of a log file, CSV or JSON lines, and how to fetch a column of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from clickstream.infra.errors import InputError
from clickstream.producer.mapping.fields import Fetch, in_list, in_object
from clickstream.producer.mapping.spec import WHERE, Layout, Mapping
from clickstream.producer.text import Row, encoding_of, lines_of, rows_of

ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")

_DELIMITERS = (",", ";", "\t", "|")


class Record(NamedTuple):
    """A row: a list or a JSON object. With a `problem` it cannot be used; `text` is for people."""

    line: int
    row: Any
    text: str
    problem: str | None


class Table(NamedTuple):
    """A file as rows. `fetch` gives, for the name of a column, the function that takes it from a row."""

    encoding: str
    delimiter: str
    fetch: Callable[[str], Fetch]
    records: Iterator[Record]


def open_table(name: str, content: bytes, mapping: Mapping) -> Table:
    """The table in a file.

    Raises:
        InputError: it is no such file, or lacks a column that the mapping names.
    """
    layout = mapping.file
    encoding = encoding_of(name, content, layout.encoding)
    if (layout.format or _format(content, encoding)) == "jsonl":
        return Table(encoding, "", in_object, _objects(content, encoding))
    wanted = _columns(mapping)
    delimiter, columns = _header(name, content, encoding, layout, wanted)
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise InputError(
            f"{name} lacks the columns {', '.join(missing)} of the mapping; its first line has"
            f" {', '.join(map(repr, columns))[:300]}",
            "Correct the names in the mapping file. " + WHERE,
        )
    rows = rows_of(lines_of(content, encoding), delimiter)
    next(rows)
    return Table(
        encoding, delimiter, lambda column: in_list(columns, column), _lists(rows, delimiter, len(columns))
    )


def _columns(mapping: Mapping) -> list[str]:
    """The columns that a mapping names."""
    clicks = [getattr(mapping.clicks, name) for name in type(mapping.clicks).model_fields]
    named = [spec.column for spec in clicks if spec is not None and spec.column is not None]
    if mapping.rows is not None:
        named.append(mapping.rows.column)
    return list(dict.fromkeys(named))


def _format(content: bytes, encoding: str) -> str:
    start = content[:400].decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n")
    return "jsonl" if start.startswith("{") else "csv"


def _header(
    name: str, content: bytes, encoding: str, layout: Layout, wanted: list[str]
) -> tuple[str, list[str]]:
    first = next(lines_of(content, encoding))
    if first.problem is not None:
        raise InputError(f"{name} begins with {first.problem}, not with the names of columns", WHERE)
    delimiters = _DELIMITERS if layout.delimiter is None else (layout.delimiter,)
    found: dict[str, list[str]] = {}
    for delimiter in delimiters:
        header = next(rows_of(iter([first]), delimiter), None)
        found[delimiter] = [column.strip() for column in header.fields] if header else []
    delimiter = max(delimiters, key=lambda one: (len(set(wanted) & set(found[one])), len(found[one])))
    return delimiter, found[delimiter]


def _lists(rows: Iterator[Row], delimiter: str, width: int) -> Iterator[Record]:
    for row in rows:
        problem = row.problem
        if problem is None and len(row.fields) != width:
            problem = f"{len(row.fields)} fields where the header has {width}"
        yield Record(row.line, row.fields, delimiter.join(row.fields), problem)


def _objects(content: bytes, encoding: str) -> Iterator[Record]:
    for line in lines_of(content, encoding):
        text = line.text.strip()
        if line.problem is not None:
            yield Record(line.number, None, text, line.problem)
        elif text:
            try:
                row = orjson.loads(text)
                problem = None if isinstance(row, dict) else "not a JSON object"
            except orjson.JSONDecodeError as error:
                row, problem = None, f"not JSON: {error}"
            yield Record(line.number, row, text, problem)
