"""Mapping: a log file of any shop as clicks, by a description of its columns."""

from clickstream.files.mapping.rows import map_dataset
from clickstream.files.mapping.shop import map_log
from clickstream.files.mapping.spec import (
    ColumnMapping,
    UciMapping,
    mapping_by_name,
    read_mapping,
    read_shop_mapping,
)

__all__ = [
    "ColumnMapping",
    "UciMapping",
    "map_dataset",
    "map_log",
    "mapping_by_name",
    "read_mapping",
    "read_shop_mapping",
]
