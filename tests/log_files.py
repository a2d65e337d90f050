"""Logs read by a mapping, as the commands and the dashboard read them."""

from __future__ import annotations

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553, shop_of
from clickstream.files.cleaning import CleanedFile
from clickstream.files.mapping import ColumnMapping, UciMapping
from clickstream.files.reading import read_clicks
from clickstream.files.shop_log import CleanedLog
from clickstream.files.source import FileSource


def map_log(
    source: FileSource, definition: ShopDefinition, mapping: ColumnMapping, name: str | None = None
) -> CleanedLog:
    """The sessions of a log of any shop."""
    read = read_clicks(source, shop_of(definition), mapping, name)
    assert isinstance(read, CleanedLog)
    return read


def map_dataset(source: FileSource, mapping: UciMapping, name: str | None = None) -> CleanedFile:
    """The clicks of a log onto shop uci553."""
    read = read_clicks(source, UCI553, mapping, name)
    assert isinstance(read, CleanedFile)
    return read
