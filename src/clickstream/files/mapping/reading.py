"""Reading: the rows of a log file, one by one, as clicks of any kind; of each other row why not.

What a click is, is the business of a Target: that of shop uci553 is in rows.py, that of any shop in shop.py.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from clickstream.files.cleaning import MAX_ROWS, CleaningReport, RefusedRow, refuse_empty
from clickstream.files.mapping.judge import REFUSED, FieldTarget, RowJudge, reason_of, refusal_of
from clickstream.files.mapping.spec import WHERE, ColumnMapping
from clickstream.files.mapping.table import ENDINGS, TableFile, columns_of, open_table
from clickstream.files.sifting import SiftingProgress
from clickstream.files.source import FileSource, read_source
from clickstream.files.text import advice
from clickstream.infra.errors import InputError
from clickstream.infra.words import counted

_EVERY = 8_192
_LONGEST_TEXT = 1_000
_MOST_KEYS = 100

C = TypeVar("C")


class MappingTarget(FieldTarget[C], Protocol[C]):
    """What rows become, and in which order."""

    def place(self, click: C) -> tuple[str, int]:
        """Its session id and its event time."""
        ...

    def sort_key(self, click: C) -> Any:
        """Its place within its session: as it settles (T2), then by content."""
        ...

    def ended(self, click: C) -> C:
        """The click, with `end`."""
        ...


class MappedLog(NamedTuple, Generic[C]):
    """The clicks of a file, session by session, each in order; `sha256` of the file and its mapping."""

    sha256: str
    clicks: list[C]
    cleaning: CleaningReport


def read_log(
    source: FileSource,
    mapping: ColumnMapping,
    target: MappingTarget[C],
    name: str | None,
    progress: SiftingProgress,
) -> MappedLog[C]:
    """The clicks of a log file: CSV, JSON lines, or a zip that holds one.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file, lacks a column that the mapping names, or no row can be used.
    """
    name, content = read_source(source, name, ENDINGS, "Give a CSV file or JSON lines.")
    table = open_table(name, content, mapping)
    reading = _Reading(name, mapping, table, target)
    total = max(content.count(b"\n"), 1)
    for record in table.records:
        reading.take(record.line, record.row, record.text, record.problem)
        if reading.count % _EVERY == 0:
            progress(min(0.9 * record.line / total, 0.9))
    if reading.unseen and not reading.clicks:
        raise InputError(
            f"{name}: no row has {', '.join(map(repr, reading.unseen))}, which the mapping names; rows have"
            f" {', '.join(map(repr, reading.keys))[:300]}",
            advice(reading.unseen, list(reading.keys)) + "Correct the names in the mapping file. " + WHERE,
        )
    reading.mark_ends()
    unseen = ", ".join(map(repr, reading.unseen))
    cleaning = CleaningReport(
        name,
        "utf-8" if table.encoding == "utf-8-sig" else table.encoding,
        table.delimiter,
        reading.count,
        len(reading.clicks),
        reading.skipped,
        tuple(sorted(reading.refused)),
        (f"no row has {unseen}, which the mapping names",) if unseen else (),
    )
    refuse_empty(cleaning)
    return MappedLog(hashlib.sha256(content + mapping.sha256.encode()).hexdigest(), reading.clicks, cleaning)


class _End(NamedTuple):
    session_id: str
    event_time: int
    line: int
    text: str


class _Reading(Generic[C]):
    """The rows of a table, one by one.

    Attributes:
        clicks: those that can be used.
        skipped: rows that are no clicks by `rows` of the mapping.
    """

    def __init__(self, name: str, mapping: ColumnMapping, table: TableFile, target: MappingTarget[C]) -> None:
        self.clicks: list[C] = []
        self.refused: list[RefusedRow] = []
        self.count = self.skipped = 0
        self._name = name
        self._target = target
        self._ends: list[_End] = []
        self._judge = RowJudge(name, mapping, target, table.fetch)
        self._unseen = {column: table.fetch(column) for column in columns_of(mapping)}
        self.keys: dict[str, None] = {}

    @property
    def unseen(self) -> list[str]:
        """Columns of the mapping that no row has."""
        return list(self._unseen)

    def take(self, line: int, row: Any, text: str, problem: str | None) -> None:
        """Count a row in, or out."""
        self.count += 1
        if self.count > MAX_ROWS:
            raise InputError(
                f"{self._name} has more than {counted(MAX_ROWS, 'row')}", "Split it into several files."
            )
        if problem is not None:
            self._refuse(line, reason_of(problem), problem, text)
            return
        if self._unseen:
            self._unseen = {column: of for column, of in self._unseen.items() if of(row) is None}
            if isinstance(row, dict) and len(self.keys) < _MOST_KEYS:
                self.keys |= dict.fromkeys(row)
        try:
            judged = self._judge.judge(row)
        except REFUSED as error:
            self._refuse(line, *refusal_of(error), text)
            return
        if judged.click is not None:
            self.clicks.append(judged.click)
            return
        self.skipped += 1
        if judged.end is not None:
            self._ends.append(_End(*judged.end, line, text))

    def mark_ends(self) -> None:
        """Let the last click up to each `end` row carry it; and sort."""
        place, sort_key = self._target.place, self._target.sort_key
        self.clicks.sort(key=lambda click: (place(click)[0], sort_key(click)))
        if not self._ends:
            return
        keys = [place(click) for click in self.clicks]
        for end in self._ends:
            at = bisect_right(keys, (end.session_id, end.event_time)) - 1
            if at >= 0 and keys[at][0] == end.session_id:
                self.clicks[at] = self._target.ended(self.clicks[at])

    def _refuse(self, line: int, reason: str, detail: str, text: str) -> None:
        self.refused.append(RefusedRow(line, reason, detail[:_LONGEST_TEXT], text[:_LONGEST_TEXT]))
