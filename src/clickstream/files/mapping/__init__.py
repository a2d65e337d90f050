"""Mapping: a log file of any shop as clicks, by a description of its columns."""

from clickstream.files.mapping.rows import map_dataset
from clickstream.files.mapping.spec import Mapping, read_mapping

__all__ = ["Mapping", "map_dataset", "read_mapping"]
