"""Places: on which lines of a text the rows stand that were refused.

DuckDB reads a text in several pieces at once, and numbers rows where it numbers at all. Few rows are refused,
or few of them are shown: they are looked for a second time, by where they begin or by what they hold, and no
further than the last of them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from clickstream.files.history.inputs import LogFile
from clickstream.files.history.packed import open_packed
from clickstream.files.text import lines_of, rows_of, without_empty_end

_CHUNK = 1 << 20

Held = tuple[str | None, ...]
"""What a row holds, as the judge takes it."""


def find_lines(file: LogFile, wanted: Sequence[Held], columns: Sequence[str]) -> list[int | None]:
    """The line of each row; of rows that hold the same each has one of their own.

    Args:
        columns: those of the row that it is known by.
    """
    places: dict[Held, deque[int]] = defaultdict(deque)
    for number, held in enumerate(wanted):
        if file.format == "jsonl":
            held = tuple(one and one.strip() for one in held)
        places[held].append(number)
    found: list[int | None] = [None] * len(wanted)
    left = len(wanted)
    for line, held in _rows(file, columns):
        if (of_row := places.get(held)) and left:
            found[of_row.popleft()] = file.line_of(line)
            left -= 1
        if not left:
            break
    return found


def lines_at(file: LogFile, starts: Sequence[int]) -> dict[int, int]:
    """The line, from 1, on which each of these bytes of the text that is read stands there."""
    found: dict[int, int] = {}
    line, at, before = 1, 0, b""
    with open_packed(Path(file.path), file.packed) as opened:
        for start in sorted(set(starts)):
            while at < start and (chunk := opened.read(min(start - at, _CHUNK))):
                line += _ends(before + chunk) - _ends(before)
                at, before = at + len(chunk), chunk[-1:]
            found[start] = line
    return found


def _ends(text: bytes) -> int:
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def _rows(file: LogFile, columns: Sequence[str]) -> Iterator[tuple[int, Held]]:
    with open_packed(Path(file.path), file.packed) as opened:
        # A NUL makes a row one that is refused, not one that cannot be found.
        lines = (
            line._replace(problem=None) if line.problem and "\0" in line.text else line
            for line in lines_of(opened, "utf-8-sig", file.longest_line, "surrogateescape")
        )
        if file.format == "jsonl":
            for line in lines:
                yield line.number, (line.text.strip(),)
            return
        places = [file.columns.index(column) for column in columns]
        for row in rows_of(lines, file.delimiter):
            fields = without_empty_end(row.fields, len(file.columns))
            if row.problem is None and len(fields) == len(file.columns):
                yield row.line, tuple(fields[place].strip() or None for place in places)
