"""Kept: clicks of the judge on their way into buckets, and where the rows stood that it refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from clickstream.features.definition import FieldType, ShopDefinition
from clickstream.files.history.places import Held
from clickstream.files.mapping.fields import FieldReader, number_field, text_field, time_field, truth_field
from clickstream.files.mapping.judge import ColumnAccess
from clickstream.files.mapping.spec import Column, ColumnMapping, TimeColumn, UciMapping
from clickstream.records.shop_click import parser_of

_AT_ONCE = 50_000


class Place(NamedTuple):
    """Where a row stands: its line, counted from the byte `start` where that is known; or what it holds."""

    file: str
    line: int | None
    held: Held = ()
    start: int | None = None


class Example(NamedTuple):
    """A row that is refused."""

    place: Place
    reason: str
    detail: str


class BucketRow(NamedTuple):
    """A click as it lies in a bucket, or a row that ends a visit; `fields` in the order of the shop's."""

    session_id: str
    event_time: int
    order: int | None
    fields: tuple[Any, ...]
    end: bool
    is_end_row: bool


class RowTarget:
    """The target of the judge: rows of buckets."""

    def __init__(self, definition: ShopDefinition, mapping: ColumnMapping) -> None:
        self._definition = definition
        self._of_uci = isinstance(mapping, UciMapping)
        self._click_of = parser_of(definition).click_of
        self._names = [one.name for one in definition.fields]
        # What is derived is not known of one row.
        self._declared = {"price_2": 2, "page": 1} if self._of_uci else {}

    def field(self, name: str, spec: Column | TimeColumn, fetch: ColumnAccess) -> FieldReader | None:
        """The function that gives a field of the click; None where it is derived from the others.

        Raises:
            WrongValueError: a constant cannot be what it should be.
        """
        if getattr(spec, "derive", None) is not None:
            return None
        if isinstance(spec, TimeColumn):
            return time_field(spec, fetch)
        if name == "end":
            return truth_field(spec, fetch, optional=True)
        if name == "session_id":
            return text_field(spec, fetch)
        # A mapping onto uci553 that names a column needs a value in it.
        if name == "order":
            return number_field(spec, fetch, whole=True, optional=not self._of_uci)
        field = self._definition.field(name)
        optional = field.optional and not self._of_uci
        match field.type:
            case FieldType.TEXT:
                return text_field(spec, fetch, optional)
            case FieldType.BOOLEAN:
                return truth_field(spec, fetch, optional)
        return number_field(spec, fetch, field.type is FieldType.INTEGER, optional)

    def click(self, found: dict[str, Any], ends: bool) -> BucketRow:
        """The row of a click.

        Raises:
            InvalidRecordError: it cannot be used, and why.
        """
        found = self._declared | found | {"end": ends or bool(found.get("end"))}
        click = self._click_of(found)
        fields = tuple(getattr(click, name) for name in self._names)
        return BucketRow(click.session_id, click.event_time, click.order, fields, click.end, False)


class KeptRows(list[BucketRow]):
    """Rows that go into their buckets when they have become many."""

    def __init__(self, flush: Callable[[list[BucketRow]], None]) -> None:
        super().__init__()
        self._flush = flush

    def append(self, click: BucketRow) -> None:
        """Add a row."""
        super().append(click)
        if len(self) >= _AT_ONCE:
            self._flush(self)
