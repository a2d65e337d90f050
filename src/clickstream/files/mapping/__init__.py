"""Mapping: a log file of any shop as clicks, by a description of its columns."""

from clickstream.files.mapping.guess import ColumnChoice, choices_of, mapped_fields, mapping_file, read_sample
from clickstream.files.mapping.spec import (
    ColumnMapping,
    UciMapping,
    mapping_by_name,
    read_mapping,
    read_shop_mapping,
)

__all__ = [
    "ColumnChoice",
    "ColumnMapping",
    "UciMapping",
    "choices_of",
    "mapped_fields",
    "mapping_by_name",
    "mapping_file",
    "read_mapping",
    "read_sample",
    "read_shop_mapping",
]
