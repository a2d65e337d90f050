"""Judge: whether a row of a log is a click, the end of a visit or neither, and of each other why not.

It has the last word: DuckDB reads millions of rows at once, and hands over those that are not plain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from clickstream.files.mapping.fields import ColumnGetter, FieldReader, WrongValueError, as_text
from clickstream.files.mapping.spec import WHERE, Column, ColumnMapping, TimeColumn
from clickstream.infra.errors import InputError
from clickstream.records.click import InvalidRecordError

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)

ColumnAccess = Callable[[str], ColumnGetter]
"""The name of a column -> the function that takes it from a row."""

REFUSED = (WrongValueError, InvalidRecordError)
"""What a row that cannot be used raises; `refusal_of` says it in words."""


class FieldTarget(Protocol[C_co]):
    """What rows become."""

    def field(self, name: str, spec: Column | TimeColumn, fetch: ColumnAccess) -> FieldReader | None:
        """The function that gives a field of the click; None where it is derived from the others.

        Raises:
            WrongValueError: a constant cannot be what it should be.
        """
        ...

    def click(self, found: dict[str, Any], ends: bool) -> C_co:
        """The click with these fields; `ends`: its row says that the visit is over.

        Raises:
            InvalidRecordError: it cannot be used, and why.
        """
        ...


class JudgedRow(NamedTuple, Generic[C]):
    """A click, or the session id and event time of a row that ends a visit; neither: it is left out."""

    click: C | None
    end: tuple[str, int] | None = None


class RowJudge(Generic[C]):
    """Judges rows by a mapping.

    Args:
        name: of the file, for messages.
        fetch: takes columns from its rows.

    Raises:
        InputError: a constant of the mapping cannot be what it should be.
    """

    def __init__(
        self, name: str, mapping: ColumnMapping, target: FieldTarget[C], fetch: ColumnAccess
    ) -> None:
        self._target = target
        self._fields = dict(_fields(name, mapping, target, fetch))
        rows = mapping.rows
        self._kind: ColumnGetter | None = None if rows is None else fetch(rows.column)
        self._keep = frozenset(rows.keep if rows else ())
        self._end = frozenset(rows.end if rows else ())

    def judge(self, row: Any) -> JudgedRow[C]:
        """What a row is.

        Raises:
            WrongValueError, InvalidRecordError: it cannot be used.
        """
        kind = self._kind_of(row)
        keeps, ends = self._kind is None or kind in self._keep, kind in self._end
        if keeps:
            return JudgedRow(
                self._target.click({name: read(row) for name, read in self._fields.items()}, ends)
            )
        if ends:
            return JudgedRow(None, (self._fields["session_id"](row), self._fields["event_time"](row)))
        return JudgedRow(None)

    def _kind_of(self, row: Any) -> str | None:
        if self._kind is None:
            return None
        try:
            return as_text(self._kind(row))
        except ValueError:
            return None


def refusal_of(error: Exception) -> tuple[str, str]:
    """The reason, in a word or the column, and it in full with the value, of one of `REFUSED`."""
    if isinstance(error, WrongValueError):
        return error.column, str(error)
    if isinstance(error, InvalidRecordError):
        return error.detail.split(":", 1)[0], error.detail
    raise error


def reason_of(problem: str) -> str:
    """The reason of a row that is none: its number of fields, or its text."""
    return "fields" if " fields where " in problem else "text"


def _fields(
    name: str, mapping: ColumnMapping, target: FieldTarget[C], fetch: ColumnAccess
) -> Iterator[tuple[str, FieldReader]]:
    for field, spec in mapping.clicks.targets.items():
        try:
            function = target.field(field, spec, fetch)
        except WrongValueError as error:
            problem = f"the mapping for {name}: clicks.{field}.constant: {error}"
            raise InputError(problem, WHERE) from error
        if function is not None:
            yield field, function
