"""Shop: a log file as the sessions of any shop, each click checked as a record on its topic is."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from clickstream.features.definition import FieldType, ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.files.cleaning import CleaningReport
from clickstream.files.mapping.fields import (
    FieldReader,
    number_field,
    text_field,
    time_field,
    truth_field,
)
from clickstream.files.mapping.reading import ColumnAccess, read_log
from clickstream.files.mapping.spec import Column, ColumnMapping, TimeColumn
from clickstream.files.sifting import SiftingProgress, silent
from clickstream.files.source import FileSource
from clickstream.records.shop_click import parser_of


class ShopLog(NamedTuple):
    """The clicks of a file: session id -> its clicks in (event time, order) order, as the shop's fold takes
    them. `sha256` is that of the file and its mapping.
    """

    name: str
    sha256: str
    sessions: dict[str, list[Any]]
    cleaning: CleaningReport


def map_log(
    source: FileSource,
    definition: ShopDefinition,
    mapping: ColumnMapping,
    name: str | None = None,
    progress: SiftingProgress = silent,
) -> ShopLog:
    """The sessions of a log file: CSV, JSON lines, or a zip that holds one.

    Args:
        mapping: onto the fields of `definition`.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file, lacks a column that the mapping names, or no row can be used.
    """
    log = read_log(source, mapping, _Clicks(definition, mapping), name, progress)
    sessions = {
        session_id: [step for _, step in clicks]
        for session_id, clicks in groupby(log.clicks, key=lambda click: click[0])
    }
    progress(1.0)
    return ShopLog(log.cleaning.name, log.sha256, sessions, log.cleaning)


class _Clicks:
    """Clicks of a shop, each with its session id."""

    def __init__(self, definition: ShopDefinition, mapping: ColumnMapping) -> None:
        self._definition = definition
        self._mapping = mapping
        self._click_of = parser_of(definition).click_of
        self._step_of = shop_of(definition).step_of
        self._texts: dict[str, str] = {}

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

    def click(self, found: dict[str, Any], ends: bool) -> tuple[str, Any]:
        found["end"] = ends or bool(found.get("end"))
        found["time_source"] = self._mapping.time_source
        known = self._texts.setdefault
        click = self._click_of(
            {name: known(value, value) if isinstance(value, str) else value for name, value in found.items()}
        )
        return click.session_id, self._step_of(click)

    def place(self, click: tuple[str, Any]) -> tuple[str, int]:
        return click[0], click[1].event_time

    def sort_key(self, click: tuple[str, Any]) -> Any:
        step = click[1]
        return step.sort_key, step.content

    def ended(self, click: tuple[str, Any]) -> tuple[str, Any]:
        return click[0], msgspec.structs.replace(click[1], end=True)
