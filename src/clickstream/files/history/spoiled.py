"""Spoiled: rows of a text that are none, and a copy of it without them.

Where a quotation mark stands where none can be, DuckDB refuses the row and goes on in the middle of its line:
it makes up a row there, or loses one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clickstream.files.history.engine import listed
from clickstream.files.history.inputs import LogFile, copy_of, open_packed
from clickstream.files.text import TextLine, lines_of, rows_of

if TYPE_CHECKING:
    import duckdb

_MISPLACED = "UNQUOTED VALUE"
_ONE_BYTE = "latin-1"
"""Marks, delimiters and ends of lines are found in it as in UTF-8, and no byte is wrong."""


class SpoiledRow(NamedTuple):
    """A row that is none: the last of the `lines` that it stands on, why, and the beginning of its text."""

    line: int
    lines: int
    problem: str
    text: str


class SpoiledError(Exception):
    """DuckDB came upon misplaced quotation marks in files at `paths`: what it read of these is void."""

    def __init__(self, paths: Collection[str]) -> None:
        super().__init__(paths)
        self.paths = paths


def spoiled_rows(lines: Iterator[TextLine], file: LogFile) -> Iterator[SpoiledRow]:
    """Rows that are too long, hold a NUL wherever in them, or a quotation mark where none can be."""
    if file.format == "jsonl":
        for line in lines:
            if line.problem is not None:
                yield SpoiledRow(line.number, 1, line.problem, line.text.strip())
        return
    for row in rows_of(lines, file.delimiter):
        if row.problem is not None and row.line > file.skip:
            yield SpoiledRow(row.line, row.lines, row.problem, row.fields[0])


def check_marks(engine: duckdb.DuckDBPyConnection, files: Sequence[LogFile], mended: Collection[str]) -> None:
    """Check that there are no misplaced quotation marks in these files; `mended` are paths of copies without
    such rows.

    Raises:
        SpoiledError: there are.
    """
    read = [file.path for file in files if file.format == "csv"]
    if not read:
        return
    found = engine.execute(
        "SELECT DISTINCT file_path FROM reject_errors JOIN reject_scans USING (scan_id, file_id)"
        f" WHERE error_type = '{_MISPLACED}' AND list_contains({listed(read)}, file_path)"
    ).fetchall()
    if spoiled := {path for (path,) in found}.difference(mended):
        raise SpoiledError(spoiled)


def mend(file: LogFile, work: Path, encoding: str = _ONE_BYTE) -> tuple[LogFile, list[SpoiledRow]]:
    """A copy of a file with blank lines for its spoiled rows, so that the others keep theirs; and these rows.
    A file that has none is left as it is.

    Args:
        encoding: in which characters of a line are counted.
    """
    with open_packed(Path(file.path), file.packed) as opened:
        spoiled = list(spoiled_rows(lines_of(opened, encoding), file))
    if not spoiled:
        return file, []
    blank = {line for row in spoiled for line in range(row.line - row.lines + 1, row.line + 1)}
    target = copy_of(Path(file.path), work)
    with (
        open_packed(Path(file.path), file.packed) as opened,
        target.open("w", encoding=encoding, newline="") as written,
    ):
        for line in lines_of(opened, encoding):
            written.write("\n" if line.number in blank else line.text.rstrip("\r\n") + "\n")
    return replace(file, path=str(target), packed="none"), spoiled
