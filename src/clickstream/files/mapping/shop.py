"""Shop: a log file as the sessions of any shop, each click checked as a record on its topic is."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from clickstream.features.definition import FieldType, ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.files.mapping.fields import (
    FieldReader,
    number_field,
    text_field,
    time_field,
    truth_field,
)
from clickstream.files.mapping.judge import ColumnAccess
from clickstream.files.mapping.reading import read_log
from clickstream.files.mapping.spec import Column, ColumnMapping, TimeColumn
from clickstream.files.shop_log import CleanedLog, LoggedClick, shop_log
from clickstream.files.sifting import SiftingProgress, silent
from clickstream.files.source import FileSource
from clickstream.records.shop_click import parser_of


def map_log(
    source: FileSource,
    definition: ShopDefinition,
    mapping: ColumnMapping,
    name: str | None = None,
    progress: SiftingProgress = silent,
) -> CleanedLog:
    """The sessions of a log file: CSV, JSON lines, or a zip that holds one.

    Args:
        mapping: onto the fields of `definition`.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file, lacks a column that the mapping names, or no row can be used.
    """
    log = read_log(source, mapping, ShopClicks(definition, mapping), name, progress)
    sessions = {
        session_id: [one.click for one in found]
        for session_id, found in groupby(log.clicks, key=lambda one: one.session_id)
    }
    progress(1.0)
    cleaning = log.cleaning
    shown = shop_log(definition, cleaning.name, log.sha256, sessions, mapping.time_source)
    return CleanedLog(shown, cleaning)


class _Found(NamedTuple):
    session_id: str
    click: LoggedClick


class ShopClicks:
    """Clicks of a shop, each with its session id."""

    def __init__(self, definition: ShopDefinition, mapping: ColumnMapping) -> None:
        self._definition = definition
        self._mapping = mapping
        self._click_of = parser_of(definition).click_of
        self._step_of = shop_of(definition).step_of
        self._texts: dict[str, str] = {}
        self._fields: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def field(self, name: str, spec: Column | TimeColumn, fetch: ColumnAccess) -> FieldReader:
        if isinstance(spec, TimeColumn):
            return time_field(spec, fetch)
        if name == "session_id":
            return text_field(spec, fetch)
        if name == "order":
            return number_field(spec, fetch, whole=True, optional=True)
        if name == "end":
            return truth_field(spec, fetch, optional=True)
        field = self._definition.field(name)
        match field.type:
            case FieldType.TEXT:
                return text_field(spec, fetch, field.optional)
            case FieldType.BOOLEAN:
                return truth_field(spec, fetch, field.optional)
        return number_field(spec, fetch, field.type is FieldType.INTEGER, field.optional)

    def click(self, found: dict[str, Any], ends: bool) -> _Found:
        found["end"] = ends or bool(found.get("end"))
        found["time_source"] = self._mapping.time_source
        known = self._texts.setdefault
        click = self._click_of(
            {name: known(value, value) if isinstance(value, str) else value for name, value in found.items()}
        )
        fields = tuple(getattr(click, field.name) for field in self._definition.fields)
        fields = self._fields.setdefault(fields, fields)
        return _Found(click.session_id, LoggedClick(self._step_of(click), fields))

    def place(self, click: _Found) -> tuple[str, int]:
        return click.session_id, click.click.step.event_time

    def sort_key(self, click: _Found) -> Any:
        step = click.click.step
        return step.sort_key, step.content

    def ended(self, click: _Found) -> _Found:
        step = msgspec.structs.replace(click.click.step, end=True)
        return click._replace(click=click.click._replace(step=step))
