"""Opening: which files and which mapping are meant, and the engine that may open these and no others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import Shop
from clickstream.files.history.buckets import ClickBuckets
from clickstream.files.history.engine import open_engine
from clickstream.files.history.inputs import (
    WHERE,
    EmptyFileError,
    LogFile,
    describe,
    find_files,
    first_of,
    other_files,
    unchanged,
)
from clickstream.files.history.partition import Partitioning
from clickstream.files.history.select import (
    LONGEST_LINE_IN_SQL,
    SelectMapping,
    create_views,
    mapping_of_view,
)
from clickstream.files.history.select import WHERE as WHERE_OF_SELECT
from clickstream.files.history.sound import sound_text
from clickstream.files.history.spoiled import EXAMPLES, SpoiledError, mend
from clickstream.files.mapping.spec import ColumnMapping, FileLayout, mapping_by_name
from clickstream.files.mapping.table import columns_of
from clickstream.files.reading import ClickMapping, read_any_mapping
from clickstream.files.text import LONGEST_LINE
from clickstream.infra.errors import ClickstreamError, InputError, UsageError, about
from clickstream.infra.words import counted

if TYPE_CHECKING:
    import duckdb

_TIME_OF_NO_CALENDAR = "Could not convert Timestamp(MS)"
_WRITE_TIMES = (
    "Its Parquet has a time in ms that no calendar has, and DuckDB reads none of it: write times in µs."
)
_NULL_INSTEAD = "TRY_CAST and try_strptime give NULL where a row has not what it should have."


def open_clicks(
    paths: Sequence[str | Path],
    shop: Shop,
    mapping: Path | ClickMapping | None,
    *,
    work: Path,
    memory_mib: int,
    buckets: int,
) -> ClickBuckets:
    """The clicks of a log, in buckets by session id.

    Args:
        paths: files, folders and patterns of CSV, JSON lines and Parquet, packed by gz, zst or zip.
        mapping: onto the clicks of `shop`, or a file of one, in TOML or SQL; None: columns are named as the
            fields.
        work: a folder for what is between; it takes about as much room as the log in Parquet, and what is in
            it of an earlier call is replaced.
        memory_mib: of the whole process.

    Raises:
        MissingFileError: a file is not there.
        InputError: one is no log, lacks a column that the mapping names, or changes while it is read; or no
            row can be used.
        StorageError: the disk is full, or fails.
        ConfigurationError: the memory does not suffice, or the extra `history` is not installed.
    """
    if not 1 <= buckets <= 1_024:
        raise UsageError(f"{buckets} buckets", "Take 1 to 1,024.")
    definition, work = shop.definition, work.resolve()
    chosen = mapping_of(mapping, definition)
    files = find_files(paths)
    for folder in ("clicks", "text", "spilled"):
        shutil.rmtree(work / folder, ignore_errors=True)
    with about(work), unchanged(files):
        if chosen is not None:
            log, notes = describe_all(files, chosen, work)
            read = open_described(log, definition, chosen, work, memory_mib, buckets)
            return replace(read, notes=(*other_files(paths), *notes, *read.notes))
        (work / "clicks").mkdir(parents=True)
        with _opened(work, memory_mib, [], chosen) as engine:
            run = Partitioning(engine, definition, mapping_by_name(definition), work, buckets)
            run.take_layout_of_uci(files)
            return run.finish(memory_mib)


def describe_all(
    files: Sequence[Path],
    mapping: ClickMapping,
    work: Path,
    name: str | None = None,
    examples: int = EXAMPLES,
) -> tuple[list[LogFile], list[str]]:
    """What each file of a log is, and sentences about those that are empty. Args and errors as of `describe`
    and `sound_text`.
    """
    if isinstance(mapping, SelectMapping):
        given = partial(
            _described, layout=mapping.log, columns=mapping.log.columns, longest=LONGEST_LINE_IN_SQL
        )
    else:
        given = partial(_described, layout=mapping.file, wanted=columns_of(mapping))
    found, empty = [], []
    for path in files:
        try:
            found.append(given(path, work=work, name=name, examples=examples))
        except EmptyFileError:
            empty.append(path.name)
            if len(empty) == len(files):
                raise
    if not empty:
        return found, []
    return found, [f"{len(empty):,} of {counted(len(files), 'file')} are empty: {first_of(empty)}"]


def _described(
    path: Path,
    layout: FileLayout,
    work: Path,
    wanted: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    name: str | None = None,
    longest: int = LONGEST_LINE,
    examples: int = EXAMPLES,
) -> LogFile:
    file = describe(path, layout, list(wanted), work, columns, name, longest)
    return sound_text(file, work, layout.encoding, examples)


def open_described(
    log: Sequence[LogFile],
    definition: ShopDefinition,
    mapping: ClickMapping,
    work: Path,
    memory_mib: int,
    buckets: int,
    examples: int = EXAMPLES,
) -> ClickBuckets:
    """The clicks of files of which it is known what they are, in a folder without those of others.

    Args:
        examples: how many refused rows are kept.

    Raises:
        InputError, ConfigurationError: as `open_clicks`.
    """
    work = work.resolve()
    beside = _described_beside(mapping, work) if isinstance(mapping, SelectMapping) else {}
    while True:
        (work / "clicks").mkdir(parents=True, exist_ok=True)
        try:
            return _in_buckets(log, beside, definition, mapping, work, memory_mib, buckets, examples)
        except SpoiledError as error:
            shutil.rmtree(work / "clicks")
            mended = {
                file.path: mend(file, work, examples)
                for file in (*log, *beside.values())
                if file.path in error.paths
            }
            log = [mended.get(file.path, file) for file in log]
            beside = {name: mended.get(file.path, file) for name, file in beside.items()}


def _described_beside(mapping: SelectMapping, work: Path) -> dict[str, LogFile]:
    """Name of a table -> what its file beside the mapping is."""
    return {
        name: _described(
            path,
            mapping.files[name],
            work,
            columns=mapping.files[name].columns,
            longest=LONGEST_LINE_IN_SQL,
        )
        for name, path in mapping.paths().items()
    }


def _in_buckets(
    log: Sequence[LogFile],
    beside: Mapping[str, LogFile],
    definition: ShopDefinition,
    mapping: ClickMapping,
    work: Path,
    memory_mib: int,
    buckets: int,
    examples: int,
) -> ClickBuckets:
    if isinstance(mapping, ColumnMapping):
        with _opened(work, memory_mib, log, mapping) as engine:
            run = Partitioning(engine, definition, mapping, work, buckets, examples)
            for _, group in groupby(sorted(log, key=lambda one: str(one.layout)), lambda one: one.layout):
                run.take(list(group))
            return run.finish(memory_mib)
    with _opened(work, memory_mib, [*log, *beside.values()], mapping) as engine:
        create_views(engine, mapping, log, beside)
        by_name, places = mapping_of_view(engine, mapping, definition)
        run = Partitioning(engine, definition, by_name, work, buckets, examples)
        run.take_selected(log, mapping.name, places)
        run.note_unread(beside)
        return run.finish(memory_mib)


@contextmanager
def _opened(
    work: Path, memory_mib: int, files: Sequence[LogFile], mapping: ClickMapping | None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine that reads these files; what it cannot read is the fault of one of them, or of a SELECT."""
    paths = [file.path for file in files]
    said = partial(_wrong, files=files, mapping=mapping)
    with open_engine(work, memory_mib, paths, said) as engine:
        try:
            yield engine
        except UnicodeDecodeError as error:
            raise InputError("the log is damaged: the name of a column is no text in UTF-8", WHERE) from error


def _wrong(
    error: Exception, said: str, files: Sequence[LogFile], mapping: ClickMapping | None
) -> ClickstreamError:
    import duckdb

    named = [file for file in files if file.path in said]
    for file in named:
        said = said.replace(file.path, file.name)
    is_time = any(file.format == "parquet" for file in files) and _TIME_OF_NO_CALENDAR in said
    if named or is_time or not isinstance(mapping, SelectMapping):
        read = named or files
        return InputError(
            f"{read[0].name if len(read) == 1 else 'the log'} cannot be read: {said}",
            _WRITE_TIMES if is_time else WHERE,
        )
    is_cast = isinstance(error, duckdb.ConversionException)
    return InputError(f"{mapping.name}: {said}", _NULL_INSTEAD if is_cast else WHERE_OF_SELECT)


def mapping_of(given: Path | ClickMapping | None, definition: ShopDefinition) -> ClickMapping | None:
    """The mapping that `open_clicks` takes; None: the files are in the layout of UCI 553."""
    if isinstance(given, ColumnMapping | SelectMapping):
        return given
    return read_any_mapping(given, definition)
