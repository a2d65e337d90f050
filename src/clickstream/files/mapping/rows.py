"""Rows: a log file as the dataset of its clicks, each checked as a record on the clicks topic is.

Clicks are put in (event time, order) order session by session, so the order of rows in the file has no
part in the result.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from clickstream.files.cleaning import MAX_ROWS, Cleaned, Cleaning, RefusedRow, refuse_empty
from clickstream.files.dataset import Dataset
from clickstream.files.mapping.derive import depths, mean_prices
from clickstream.files.mapping.fields import (
    Fetch,
    Field,
    WrongValueError,
    as_text,
    number_field,
    text_field,
    time_field,
)
from clickstream.files.mapping.spec import WHERE, Column, Mapping, TextColumn, TimeColumn
from clickstream.files.mapping.table import ENDINGS, Table, columns_of, open_table
from clickstream.files.rows import View
from clickstream.files.sifting import Progress, silent
from clickstream.files.source import Source, read_source
from clickstream.files.text import advice
from clickstream.infra.errors import InputError
from clickstream.infra.words import counted
from clickstream.records.click import InvalidRecordError, click_of

_EVERY = 8_192
_LONGEST_TEXT = 1_000
_MOST_KEYS = 100
_DERIVED = {"price_2": 2, "page": 1}


class _Shown(NamedTuple):
    """A click of the file; sorted as it settles (T2), then by content."""

    session_id: str
    event_time: int
    order: int
    product: str
    category: str
    price: float
    price_2: int
    page: int
    country: int | None
    colour: int | None
    location: int | None
    photography: int | None
    end: bool

    @property
    def sort_key(self) -> tuple[Any, ...]:
        looks = (-1 if value is None else value for value in self[8:12])
        return (self.event_time, self.order, self.product, *self[4:8], self.end, *looks)


class _End(NamedTuple):
    session_id: str
    event_time: int
    line: int
    text: str


def map_dataset(
    source: Source, mapping: Mapping, name: str | None = None, progress: Progress = silent
) -> Cleaned:
    """The clicks of a log file: CSV, JSON lines, or a zip that holds one.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file, lacks a column that the mapping names, or no row can be used.
    """
    name, content = read_source(source, name, ENDINGS, "Give a CSV file or JSON lines.")
    table = open_table(name, content, mapping)
    reading = _Reading(name, mapping, table)
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
    refused = tuple(sorted(reading.refused))
    cleaning = Cleaning(
        name,
        "utf-8" if table.encoding == "utf-8-sig" else table.encoding,
        table.delimiter,
        reading.count,
        len(reading.clicks),
        reading.skipped,
        refused,
        _notes(mapping, reading.unseen),
    )
    refuse_empty(cleaning)
    sha256 = hashlib.sha256(content + mapping.sha256.encode()).hexdigest()
    dataset = _dataset(name, sha256, mapping, reading.clicks)
    progress(1.0)
    return Cleaned(dataset, cleaning)


class _Reading:
    """The rows of a table, one by one.

    Attributes:
        clicks: those that can be used.
        skipped: rows that are no clicks by `rows` of the mapping.
    """

    def __init__(self, name: str, mapping: Mapping, table: Table) -> None:
        self.clicks: list[_Shown] = []
        self.refused: list[RefusedRow] = []
        self.count = self.skipped = 0
        self._name = name
        self._ends: list[_End] = []
        self._fields = _fields(name, mapping, table.fetch)
        rows = mapping.rows
        self._kind: Fetch | None = None if rows is None else table.fetch(rows.column)
        self._keep = frozenset(rows.keep if rows else ())
        self._end = frozenset(rows.end if rows else ())
        self._texts: dict[str, str] = {}
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
            click = click_of(_DERIVED | found)
        except WrongValueError as error:
            self._refuse(line, error.column, str(error), text)
        except InvalidRecordError as error:
            self._refuse(line, error.detail.split(":", 1)[0], error.detail, text)
        else:
            known = self._texts.setdefault
            self.clicks.append(
                _Shown(
                    known(click.session_id, click.session_id),
                    click.event_time,
                    click.order or 0,
                    known(click.product, click.product),
                    known(click.category, click.category),
                    click.price,
                    click.price_2,
                    click.page,
                    click.country,
                    click.colour,
                    click.location,
                    click.photography,
                    ends,
                )
            )

    def mark_ends(self) -> None:
        """Let the last click up to each `end` row carry it; and sort."""
        self.clicks.sort(key=lambda click: (click.session_id, click.sort_key))
        if not self._ends:
            return
        keys = [(click.session_id, click.event_time) for click in self.clicks]
        for end in self._ends:
            place = bisect_right(keys, (end.session_id, end.event_time)) - 1
            if place >= 0 and keys[place][0] == end.session_id:
                self.clicks[place] = self.clicks[place]._replace(end=True)

    def _kind_of(self, row: Any) -> str | None:
        if self._kind is None:
            return None
        try:
            return as_text(self._kind(row))
        except ValueError:
            return None

    def _refuse(self, line: int, reason: str, detail: str, text: str) -> None:
        self.refused.append(RefusedRow(line, reason, detail[:_LONGEST_TEXT], text[:_LONGEST_TEXT]))


def _fields(name: str, mapping: Mapping, fetch: Callable[[str], Fetch]) -> dict[str, Field]:
    """The functions that give the fields of a click which are not derived."""
    fields: dict[str, Field] = {}
    for field in type(mapping.clicks).model_fields:
        spec = getattr(mapping.clicks, field)
        if spec is None or getattr(spec, "derive", None) is not None:
            continue
        try:
            if isinstance(spec, TimeColumn):
                fields[field] = time_field(spec, fetch)
            elif isinstance(spec, TextColumn):
                fields[field] = text_field(spec, fetch)
            elif isinstance(spec, Column):
                fields[field] = number_field(spec, fetch, whole=field != "price")
        except WrongValueError as error:
            raise InputError(f"the mapping for {name}: clicks.{field}.constant: {error}", WHERE) from error
    return fields


def _derived(mapping: Mapping, clicks: list[_Shown]) -> Iterator[_Shown]:
    """With price_2 and page; `clicks` are sorted."""
    clicks_spec = mapping.clicks
    if clicks_spec.price_2.derive is not None:
        means = mean_prices((click.category, click.product, click.price) for click in clicks)
        clicks = [click._replace(price_2=1 if click.price > means[click.category] else 2) for click in clicks]
    if clicks_spec.page.derive is None:
        yield from clicks
        return
    for _, group in groupby(clicks, key=lambda click: click.session_id):
        session = list(group)
        pages = depths(((click.category, click.product) for click in session), clicks_spec.page.at_most)
        for click, page in zip(session, pages, strict=True):
            yield click._replace(page=page)


def _dataset(name: str, sha256: str, mapping: Mapping, clicks: list[_Shown]) -> Dataset:
    """Sessions in the order of their first clicks."""
    sessions = [
        list(group) for _, group in groupby(_derived(mapping, clicks), key=lambda one: one.session_id)
    ]
    sessions.sort(key=lambda session: (session[0].event_time, session[0].session_id))
    views: dict[View, int] = {}
    view_of, orders, times = [], [], []
    for session in sessions:
        for one in session:
            view = View(
                one.country,
                one.product,
                one.category,
                one.colour,
                one.location,
                one.photography,
                one.price,
                one.price_2,
                one.page,
                one.end,
            )
            view_of.append(views.setdefault(view, len(views)))
            orders.append(one.order)
            times.append(one.event_time)
    return Dataset(
        name,
        None,
        sha256,
        tuple(views),
        np.array(view_of, np.int32),
        tuple(session[0].session_id for session in sessions),
        tuple(datetime.fromtimestamp(session[0].event_time / 1_000, UTC).date() for session in sessions),
        np.concatenate(([0], np.cumsum([len(session) for session in sessions]))).astype(np.int64),
        np.array(orders, np.int64),
        np.array(times, np.int64),
        mapping.time_source,
    )


def _notes(mapping: Mapping, unseen: list[str]) -> tuple[str, ...]:
    notes = []
    if unseen:
        notes.append(f"no row has {', '.join(map(repr, unseen))}, which the mapping names")
    if mapping.clicks.price_2.derive is not None:
        notes.append("price_2 is derived: 1 above the mean price of the category's products in this file")
    if mapping.clicks.page.derive is not None:
        notes.append("page is derived: the different products of the category that the session has shown")
    return tuple(notes)
