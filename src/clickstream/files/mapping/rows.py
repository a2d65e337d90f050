"""Rows: a log file as the dataset of its clicks, each checked as a record on the clicks topic is.

Clicks are put in (event time, order) order session by session, so the order of rows in the file has no
part in the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from clickstream.features.shop import UCI553
from clickstream.files.cleaning import CleanedFile
from clickstream.files.dataset import Dataset
from clickstream.files.mapping.derive import depths, mean_prices
from clickstream.files.mapping.fields import FieldReader, number_field, text_field, time_field
from clickstream.files.mapping.judge import ColumnAccess
from clickstream.files.mapping.reading import read_log
from clickstream.files.mapping.spec import Column, TextColumn, TimeColumn, UciMapping
from clickstream.files.rows import PageView
from clickstream.files.sifting import SiftingProgress, silent
from clickstream.files.source import FileSource
from clickstream.infra.days import day_of
from clickstream.records.shop_click import parser_of

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


def map_dataset(
    source: FileSource, mapping: UciMapping, name: str | None = None, progress: SiftingProgress = silent
) -> CleanedFile:
    """The clicks of a log file: CSV, JSON lines, or a zip that holds one.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file, lacks a column that the mapping names, or no row can be used.
    """
    log = read_log(source, mapping, UciClicks(), name, progress)
    clicks = _derived(mapping, log.clicks)
    dataset = _dataset(log.cleaning.name, log.sha256, mapping.time_source, clicks)
    progress(1.0)
    return CleanedFile(dataset, replace(log.cleaning, notes=(*log.cleaning.notes, *_notes(mapping))))


class UciClicks:
    """Clicks of shop uci553."""

    def __init__(self) -> None:
        self._click_of = parser_of(UCI553.definition).click_of
        self._texts: dict[str, str] = {}

    def field(self, name: str, spec: Column | TimeColumn, fetch: ColumnAccess) -> FieldReader | None:
        if getattr(spec, "derive", None) is not None:
            return None
        if isinstance(spec, TimeColumn):
            return time_field(spec, fetch)
        if isinstance(spec, TextColumn):
            return text_field(spec, fetch)
        return number_field(spec, fetch, whole=name != "price")

    def click(self, found: dict[str, Any], ends: bool) -> _Shown:
        click = self._click_of(_DERIVED | found)
        known = self._texts.setdefault
        return _Shown(
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

    def place(self, click: _Shown) -> tuple[str, int]:
        return click.session_id, click.event_time

    def sort_key(self, click: _Shown) -> Any:
        return click.sort_key

    def ended(self, click: _Shown) -> _Shown:
        return click._replace(end=True)


def _derived(mapping: UciMapping, clicks: list[_Shown]) -> Iterator[_Shown]:
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


def dataset_of_rows(name: str, sha256: str, time_source: str, rows: Iterable[Mapping[str, Any]]) -> Dataset:
    """The dataset of rows that are clicks already, by the names of their fields, sorted by session id."""
    fields = _Shown._fields
    clicks = (_Shown(*(row[name] for name in fields)) for row in rows)
    return _dataset(name, sha256, time_source, (one._replace(order=one.order or 0) for one in clicks))


def _dataset(name: str, sha256: str, time_source: str, clicks: Iterable[_Shown]) -> Dataset:
    """Sessions in the order of their first clicks."""
    sessions = [list(group) for _, group in groupby(clicks, key=lambda one: one.session_id)]
    sessions.sort(key=lambda session: (session[0].event_time, session[0].session_id))
    views: dict[PageView, int] = {}
    view_of, orders, times = [], [], []
    for session in sessions:
        for one in session:
            view = PageView(
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
        tuple(day_of(session[0].event_time) for session in sessions),
        np.concatenate(([0], np.cumsum([len(session) for session in sessions]))).astype(np.int64),
        np.array(orders, np.int64),
        np.array(times, np.int64),
        time_source,
    )


def _notes(mapping: UciMapping) -> tuple[str, ...]:
    notes = []
    if mapping.clicks.price_2.derive is not None:
        notes.append("price_2 is derived: 1 above the mean price of the category's products in this file")
    if mapping.clicks.page.derive is not None:
        notes.append("page is derived: the different products of the category that the session has shown")
    return tuple(notes)
