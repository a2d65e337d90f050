"""Reading: the rows of a log file, one by one, as clicks of any kind; of each other row why not.

What a click is, is the business of a Target: that of shop uci553 is in rows.py, that of any shop in shop.py.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from clickstream.files.cleaning import MAX_ROWS, CleaningReport, RefusedRow, refuse_empty
from clickstream.files.mapping.fields import ColumnGetter, FieldReader, WrongValueError, as_text
from clickstream.files.mapping.spec import WHERE, Column, ColumnMapping, TimeColumn
from clickstream.files.mapping.table import ENDINGS, TableFile, columns_of, open_table
from clickstream.files.sifting import SiftingProgress
from clickstream.files.source import FileSource, read_source
from clickstream.files.text import advice
from clickstream.infra.errors import InputError
from clickstream.infra.words import counted
from clickstream.records.click import InvalidRecordError

_EVERY = 8_192
_LONGEST_TEXT = 1_000
_MOST_KEYS = 100

C = TypeVar("C")

ColumnAccess = Callable[[str], ColumnGetter]
"""The name of a column -> the function that takes it from a row."""


class MappingTarget(Protocol[C]):
    """What rows become."""

    def field(self, name: str, spec: Column | TimeColumn, fetch: ColumnAccess) -> FieldReader | None:
        """The function that gives a field of the click; None where it is derived from the others.

        Raises:
            WrongValueError: a constant cannot be what it should be.
        """
        ...

    def click(self, found: dict[str, Any], ends: bool) -> C:
        """The click with these fields; `ends`: its row says that the visit is over.

        Raises:
            InvalidRecordError: it cannot be used, and why.
        """
        ...

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
        self._fields = dict(_fields(name, mapping, target, table.fetch))
        rows = mapping.rows
        self._kind: ColumnGetter | None = None if rows is None else table.fetch(rows.column)
        self._keep = frozenset(rows.keep if rows else ())
        self._end = frozenset(rows.end if rows else ())
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
            reason = "fields" if " fields where " in problem else "text"
            self._refuse(line, reason, problem, text)
            return
        if self._unseen:
            self._unseen = {column: of for column, of in self._unseen.items() if of(row) is None}
            if isinstance(row, dict) and len(self.keys) < _MOST_KEYS:
                self.keys |= dict.fromkeys(row)
        kind = self._kind_of(row)
        keeps, ends = self._kind is None or kind in self._keep, kind in self._end
        if not keeps and not ends:
            self.skipped += 1
            return
        names = self._fields if keeps else ("session_id", "event_time")
        try:
            found = {name: self._fields[name](row) for name in names}
            if not keeps:
                self.skipped += 1
                self._ends.append(_End(found["session_id"], found["event_time"], line, text))
                return
            self.clicks.append(self._target.click(found, ends))
        except WrongValueError as error:
            self._refuse(line, error.column, str(error), text)
        except InvalidRecordError as error:
            self._refuse(line, error.detail.split(":", 1)[0], error.detail, text)

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

    def _kind_of(self, row: Any) -> str | None:
        if self._kind is None:
            return None
        try:
            return as_text(self._kind(row))
        except ValueError:
            return None

    def _refuse(self, line: int, reason: str, detail: str, text: str) -> None:
        self.refused.append(RefusedRow(line, reason, detail[:_LONGEST_TEXT], text[:_LONGEST_TEXT]))


def _fields(
    name: str, mapping: ColumnMapping, target: MappingTarget[C], fetch: ColumnAccess
) -> Iterator[tuple[str, FieldReader]]:
    for field, spec in mapping.clicks.targets.items():
        try:
            function = target.field(field, spec, fetch)
        except WrongValueError as error:
            problem = f"the mapping for {name}: clicks.{field}.constant: {error}"
            raise InputError(problem, WHERE) from error
        if function is not None:
            yield field, function
