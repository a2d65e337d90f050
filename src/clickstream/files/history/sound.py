"""Sound: whether DuckDB reads all lines of a text where it lies; if not, a copy of which it does.

It reads no line that is longer than its buffer, nor what stands behind many blank lines, and stops where
lines end in several ways. So each text is looked through once, block by block, before it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clickstream.files.history.inputs import HEAD, MOST_BLANK, LogFile, in_utf8
from clickstream.files.history.packed import Blocks
from clickstream.files.history.spoiled import EXAMPLES, mend
from clickstream.infra.errors import InputError

_WESTERN = "windows-1252"
_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_LONGEST_CHARACTER = 4
_ASCII = bytes(range(128))
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_RUNS = (b"\n" * (MOST_BLANK + 2), b"\r\n" * (MOST_BLANK + 2))


def sound_text(file: LogFile, work: Path, encoding: str | None = None, examples: int = EXAMPLES) -> LogFile:
    """A file of which DuckDB reads all lines: the one given, or a copy in `work` without rows that it cannot
    read, which are counted in it.

    Args:
        encoding: that the mapping says.
        examples: how many of these rows are kept.

    Raises:
        InputError: it is damaged.
    """
    if file.format == "parquet":
        return file
    blocks = Blocks(Path(file.path), file.packed, file.name)
    look = _Look(file)
    look.through(blocks)
    if encoding is None and look.late and not _UTF8.match(look.late) and _is_western(blocks):
        western = None
        # If it is no such text either, its rows are refused one by one.
        with suppress(InputError):
            western = in_utf8(file, _WESTERN, work)
        if western is not None:
            return sound_text(western, work, _WESTERN, examples)
    if look.must_be_copied or blocks.is_padded:
        return mend(file, work, examples, copied=True)
    return mend(file, work, examples) if look.has_doubtful_rows else file


def _is_western(blocks: Iterable[bytes]) -> bool:
    """Whether most of what is none of ASCII is none of UTF-8 either."""
    characters = others = 0
    for block in blocks:
        if not block.isascii():
            found = _UTF8.findall(block)
            characters += len(found)
            others += len(block.translate(None, _ASCII)) - sum(map(len, found))
    return others > characters


@dataclass
class _Look:
    """What a look through a text finds.

    Attributes:
        has_doubtful_rows: one may be longer than a line may be, or the last end amid quotation marks.
        late: the first bytes that are none of ASCII, where none is in the head.
    """

    file: LogFile
    has_doubtful_rows: bool = False
    has_blank_runs: bool = False
    late: bytes = b""
    _line_feeds: int = 0
    _returns: int = 0
    _both: int = 0

    @property
    def must_be_copied(self) -> bool:
        """Whether lines end in several ways, or many are blank."""
        mixed = self._returns and not self._returns == self._both == self._line_feeds
        return bool(mixed or self.has_blank_runs)

    def through(self, blocks: Iterable[bytes]) -> None:
        """Look through all of a text."""
        has_marks = self.file.format == "csv" and self.file.delimiter != "\t"
        row, seam, read, is_ascii = b"", b"", 0, True
        for block in blocks:
            self._count_ends(seam[-1:], block)
            seam = self._find_runs(seam, block)
            if not self.has_doubtful_rows:
                row += block
                end = _end_of_rows(row, self.file.longest_line, has_marks)
                self.has_doubtful_rows = end is None
                row = b"" if end is None else row[end:]
            if is_ascii and (first := None if block.isascii() else _NOT_ASCII.search(block)) is not None:
                is_ascii = False
                if read + first.start() >= HEAD:
                    self.late = block[first.start() :][:_LONGEST_CHARACTER]
            elif 0 < len(self.late) < _LONGEST_CHARACTER:
                self.late += block[:_LONGEST_CHARACTER]
            read += len(block)
        self.has_doubtful_rows |= has_marks and row.count(b'"') % 2 == 1

    def _count_ends(self, before: bytes, block: bytes) -> None:
        self._line_feeds += block.count(b"\n")
        if b"\r" in block:
            self._returns += block.count(b"\r")
            self._both += block.count(b"\r\n")
        self._both += before == b"\r" and block.startswith(b"\n")

    def _find_runs(self, seam: bytes, block: bytes) -> bytes:
        """Look for blank lines in a row, and return the end of the text as it may go on."""
        longest = len(_RUNS[-1])
        across = seam + block[:longest]
        if not self.has_blank_runs:
            self.has_blank_runs = any(run in block or run in across for run in _RUNS)
        return (seam + block)[-longest:] if len(block) < longest else block[-longest:]


def _end_of_rows(text: bytes, longest: int, has_marks: bool) -> int | None:
    """Where rows end of which none is longer, so near to the end that none can follow; None: one is longer.

    Within quotation marks no row ends: where a text has rows, an even number of marks stands before each.
    """
    at = 0
    while len(text) - at > longest:
        end = text.rfind(b"\n", at, at + longest + 1)
        while has_marks and end >= 0 and text.count(b'"', at, end) % 2:
            end = text.rfind(b"\n", at, text.rfind(b'"', at, end))
        if end < 0:
            return None
        at = end + 1
    return at
