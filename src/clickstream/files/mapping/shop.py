"""Shop: a log file as the sessions of any shop, each click checked as a record on its topic is."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from clickstream.features.definition import FieldType, ShopDefinition
from clickstream.features.fold import compile_fold
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
from clickstream.records.click import checked
from clickstream.records.shop_click import click_model


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
        self._model = click_model(definition)
        self._step = compile_fold(definition).step
        self._names = self._step.__struct_fields__
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
        click = checked(self._model, found)
        known = self._texts.setdefault
        values = (getattr(click, name) for name in self._names)
        step = self._step(*(known(value, value) if isinstance(value, str) else value for value in values))
        return known(click.session_id, click.session_id), step

    def place(self, click: tuple[str, Any]) -> tuple[str, int]:
        return click[0], click[1].event_time

    def sort_key(self, click: tuple[str, Any]) -> Any:
        step = click[1]
        # What is absent comes first; the fields of an identity make the order total.
        content = ((value is not None, value) for value in msgspec.structs.astuple(step)[2:])
        return (step.event_time, step.order or 0, *content)

    def ended(self, click: tuple[str, Any]) -> tuple[str, Any]:
        return click[0], msgspec.structs.replace(click[1], end=True)
