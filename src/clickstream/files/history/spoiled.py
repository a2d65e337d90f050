"""Spoiled: rows of a text that are none, and a copy of it without them.

Where a quotation mark stands where none can be, DuckDB refuses the row and goes on in the middle of its line:
it makes up a row there, or loses one. It loses what is longer than it reads at once, and what stands behind
many blank lines, without a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from clickstream.files.history.engine import listed
from clickstream.files.history.inputs import MOST_BLANK, LogFile, SpoiledRow, SpoiledRows, copy_of
from clickstream.files.history.packed import open_packed
from clickstream.files.mapping.judge import reason_of
from clickstream.files.text import LONGEST_LINE, TextLine, lines_of, rows_of

if TYPE_CHECKING:
    import duckdb

EXAMPLES = 1_000
"""Refused rows of a log of any size that are shown."""

_MISPLACED = "UNQUOTED VALUE"
_LONGEST_ROW = 4 * LONGEST_LINE
_BYTES_OF_A_CHARACTER = 4


class SpoiledError(Exception):
    """DuckDB came upon misplaced quotation marks in files at `paths`: what it read of these is void."""

    def __init__(self, paths: Collection[str]) -> None:
        super().__init__(paths)
        self.paths = paths


def check_marks(engine: duckdb.DuckDBPyConnection, files: Sequence[LogFile]) -> None:
    """Check that there are no misplaced quotation marks in these files.

    Raises:
        SpoiledError: there are.
    """
    read = [file.path for file in files if file.format == "csv" and not file.is_mended]
    if not read:
        return
    found = engine.execute(
        "SELECT DISTINCT file_path FROM reject_errors JOIN reject_scans USING (scan_id, file_id)"
        f" WHERE error_type = '{_MISPLACED}' AND list_contains({listed(read)}, file_path)"
    ).fetchall()
    if spoiled := {path for (path,) in found}:
        raise SpoiledError(spoiled)


def mend(file: LogFile, work: Path, examples: int = EXAMPLES, *, copied: bool = False) -> LogFile:
    """A copy of a text in which all lines end the same way, with blank lines for rows that are too long, hold
    a NUL, or a quotation mark where none can be: so the others keep their numbers. Of many blank lines in a
    row few are left.

    Args:
        examples: how many of these rows are kept; all are counted.
        copied: though there is no such row. Without it, a file that has none is left as it is.
    """
    target = copy_of(Path(file.path), work)
    shown: list[SpoiledRow] = []
    others: Counter[str] = Counter()
    with (
        open_packed(Path(file.path), file.packed) as opened,
        target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as written,
    ):
        copy = _Copy(written)
        pending: list[str] = []

        def lines() -> Iterator[TextLine]:
            for line in lines_of(opened, "utf-8", file.longest_line, "surrogateescape"):
                text = line.text.rstrip("\r\n")
                if text or pending:
                    pending.append(text)
                else:
                    copy.leave_blank(1)
                yield line

        for number, taken, problem in _rows(lines(), file):
            copy.write(pending[:-taken])
            if problem is None and sum(map(len, pending[-taken:])) > max(_LONGEST_ROW, file.longest_line):
                problem = f"a row longer than {_LONGEST_ROW:,} characters, over {taken} lines"
            if problem is None or number <= file.skip:
                copy.write(pending[-taken:])
            else:
                copy.leave_blank(taken)
                if len(shown) < examples:
                    shown.append(SpoiledRow(number, problem))
                else:
                    others[reason_of(problem)] += 1
            pending.clear()
        copy.write(pending)
    if not (shown or others or copied):
        target.unlink()
        return replace(file, is_mended=True, longest_row=copy.longest_row)
    return replace(
        file,
        path=str(target),
        packed="none",
        is_mended=True,
        longest_row=copy.longest_row,
        left_out=tuple(copy.left_out),
        spoiled=SpoiledRows(tuple(shown), tuple(others.items())),
    )


class _Copy:
    """A copy of a text, being written.

    Attributes:
        left_out: of blank lines, as of `LogFile`.
        longest_row: in bytes, at the most.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._line = 0
        self._blank = 0
        self.left_out: list[tuple[int, int]] = []
        self.longest_row = LONGEST_LINE

    def write(self, lines: Sequence[str]) -> None:
        """Lines as they are."""
        if not lines:
            return
        text = "\n".join([*lines, ""])
        self._file.write(text)
        self._line += len(lines)
        self._blank = 0
        size = len(text) * (1 if text.isascii() else _BYTES_OF_A_CHARACTER)
        self.longest_row = max(self.longest_row, size)

    def leave_blank(self, lines: int) -> None:
        """So many blank lines, or as few as are read."""
        kept = min(lines, max(MOST_BLANK - self._blank, 0))
        self._file.write("\n" * kept)
        self._line += kept
        self._blank += lines
        if lines > kept:
            before = self.left_out[-1][1] if self.left_out else 0
            if self.left_out and self.left_out[-1][0] == self._line:
                self.left_out.pop()
            self.left_out.append((self._line, before + lines - kept))


def _rows(lines: Iterator[TextLine], file: LogFile) -> Iterator[tuple[int, int, str | None]]:
    """Of each row the last line, how many these are, and what is wrong with it, if anything."""
    if file.format == "jsonl":
        for line in lines:
            if line.text.rstrip("\r\n"):
                yield line.number, 1, line.problem
        return
    for row in rows_of(lines, file.delimiter):
        yield row.line, row.lines, row.problem
