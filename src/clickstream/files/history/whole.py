"""Whole: a log that only DuckDB reads, in memory, for what looks at all of its clicks at once."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from clickstream.features.shop import UCI553, Shop
from clickstream.files.cleaning import MAX_ROWS, CleanedFile, CleaningReport, RefusedRow
from clickstream.files.history.buckets import ClickBuckets
from clickstream.files.history.inputs import find_files
from clickstream.files.history.opening import open_clicks
from clickstream.files.mapping.rows import dataset_of_rows
from clickstream.files.reading import ClickMapping
from clickstream.files.shop_log import CleanedLog, LoggedClick, shop_log
from clickstream.infra.errors import InputError
from clickstream.records.shop_click import parser_of

_MEMORY_MIB = 1_024
_CHUNK = 1 << 20


def read_whole(paths: Sequence[str | Path], shop: Shop, mapping: ClickMapping) -> CleanedLog | CleanedFile:
    """The clicks of a log, session by session.

    Raises:
        MissingFileError, InputError, ConfigurationError: as `open_clicks`; or it has more than 500,000
            clicks.
    """
    with tempfile.TemporaryDirectory(prefix="clickstream-") as folder:
        found = open_clicks(paths, shop, mapping, work=Path(folder), memory_mib=_MEMORY_MIB, buckets=1)
        if found.kept > MAX_ROWS:
            raise InputError(
                f"{_name(paths)} has {found.kept:,} clicks; at most {MAX_ROWS:,} are held in memory at once",
                "Give fewer files, or fewer days of it.",
            )
        cleaning = _cleaning(_name(paths), found)
        sha256 = _sha256(paths, mapping.sha256)
        rows = (row for batch in found.batches(0) for row in batch.to_pylist())
        if shop is UCI553:
            dataset = dataset_of_rows(cleaning.name, sha256, mapping.time_source, rows)
            return CleanedFile(dataset, cleaning)
        sessions = dict(_sessions(rows, shop, mapping.time_source))
        log = shop_log(shop.definition, cleaning.name, sha256, sessions, mapping.time_source)
        return CleanedLog(log, cleaning)


def _sessions(
    rows: Iterator[dict[str, Any]], shop: Shop, time_source: str
) -> Iterator[tuple[str, list[LoggedClick]]]:
    names = [one.name for one in shop.definition.fields]
    click_of = parser_of(shop.definition).model.model_construct
    known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for session_id, of_session in groupby(rows, key=lambda row: str(row["session_id"])):
        clicks = []
        for row in of_session:
            fields = tuple(row[name] for name in names)
            step = shop.step_of(click_of(**row, time_source=time_source))
            clicks.append(LoggedClick(step, known.setdefault(fields, fields)))
        yield session_id, clicks


def _cleaning(name: str, found: ClickBuckets) -> CleaningReport:
    files = {one.file for one in found.refused.examples}
    refused = tuple(
        RefusedRow(
            one.line or 0, one.reason, one.detail if len(files) < 2 else f"{one.file}: {one.detail}", ""
        )
        for one in found.refused.examples
    )
    return CleaningReport(
        name, "", "", found.rows, found.kept, found.left_out, refused, found.notes, found.refused.reasons
    )


def _name(paths: Sequence[str | Path]) -> str:
    first = Path(paths[0]).name
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1:,} more"


def _sha256(paths: Sequence[str | Path], mapping: str) -> str:
    found = hashlib.sha256()
    for path in find_files(paths):
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
    found.update(mapping.encode())
    return found.hexdigest()
