"""Writing: scored sessions as CSV, JSON lines or Parquet; refused rows as CSV."""

from __future__ import annotations

import csv
import datetime
import io
from typing import Any, BinaryIO, Literal

import orjson

from clickstream.files.cleaning import CleaningReport
from clickstream.infra.extras import need
from clickstream.offline.sessions import Sessions

FileFormat = Literal["csv", "jsonl", "parquet"]

_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")


def write_sessions(sessions: Sessions, format: FileFormat, stream: BinaryIO) -> None:
    """One row a session, with its columns.

    Raises:
        ConfigurationError: Parquet is asked for and pyarrow is not installed.
        OSError: the stream cannot be written.
    """
    if format == "parquet":
        _write_parquet(sessions, stream)
    elif format == "jsonl":
        names = list(sessions.types)
        for values in zip(*sessions.columns.values(), strict=True):
            stream.write(
                orjson.dumps(dict(zip(names, values, strict=True)), option=orjson.OPT_APPEND_NEWLINE)
            )
    else:
        write_csv(list(sessions.types), zip(*sessions.columns.values(), strict=True), stream)


def require(format: FileFormat) -> None:
    """Fail early where a format cannot be written here.

    Raises:
        ConfigurationError: it is Parquet, and pyarrow is not installed.
    """
    if format == "parquet":
        need("dashboard", "Parquet", "pyarrow", otherwise="Or write CSV or JSON lines.")


def as_bytes(sessions: Sessions, format: FileFormat) -> bytes:
    """What `write_sessions` writes."""
    stream = io.BytesIO()
    write_sessions(sessions, format, stream)
    return stream.getvalue()


def write_refused(cleaning: CleaningReport, stream: BinaryIO) -> None:
    """Line, reason, detail and text of each refused row, as CSV."""
    write_csv(["line", "reason", "detail", "text"], iter(cleaning.refused), stream)


def cell(value: Any) -> Any:
    """A value for a CSV cell: what a spreadsheet would run gets an apostrophe (OWASP, CSV injection)."""
    if isinstance(value, str) and value.startswith(_RUN_BY_SPREADSHEETS):
        return "'" + value
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def write_csv(names: list[str], rows: Any, stream: BinaryIO) -> None:
    """Rows of cells below their names."""
    text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=False)
    try:
        writer = csv.writer(text)
        writer.writerow(names)
        writer.writerows([cell(value) for value in row] for row in rows)
    finally:
        # The stream stays open: it is the caller's.
        text.detach()


def _write_parquet(sessions: Sessions, stream: BinaryIO) -> None:
    require(format="parquet")
    import pyarrow
    from pyarrow import parquet

    kinds = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
        datetime.date: pyarrow.date32(),
        datetime.datetime: pyarrow.timestamp("ms", "UTC"),
    }
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in sessions.types.items()])
    table = pyarrow.Table.from_pydict(sessions.columns, schema=schema)
    parquet.write_table(table, stream)
