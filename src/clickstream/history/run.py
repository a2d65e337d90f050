"""Run: a log of any size as Parquet of sessions by day, out of core, and on where a run before was ended.

Three steps, each of which is done in pieces that are there whole or not at all: clicks into buckets, buckets
into sessions, sessions into days. Where there are several buckets, worker processes read and fold: what one
of them took the system has again. Which worker did what leaves no trace.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clickstream.bundles.bundle import find_bundle, load_bundle
from clickstream.files.history import ClickBuckets, RefusedRows, open_clicks
from clickstream.files.history.engine import LEAST_MIB_OF_AN_ENGINE
from clickstream.files.history.inputs import other_files
from clickstream.files.history.stored import LogSource, StoredFile, at_hand, find_log
from clickstream.history.bucket import BucketFolder, Part
from clickstream.history.folder import (
    HistoryFolder,
    Source,
    check_unchanged,
    open_folder,
    source_of,
    undamaged,
)
from clickstream.infra.errors import UnavailableError
from clickstream.infra.files import replacing
from clickstream.infra.settings import Settings
from clickstream.infra.words import counted
from clickstream.windows.fingerprint import rules_of, rules_text

BYTES_OF_A_BUCKET = 16 << 20
"""Of a log, packed as it is: some million clicks, which are sorted in memory."""

MOST_BUCKETS = 256
SESSIONS_OF_A_ROW_GROUP = 65_536
MIB_OF_A_WORKER = 400
"""What a worker holds beside DuckDB: the libraries, the models, and a part of sessions."""

MIB_OF_THE_PARENT = 200
LEAST_MIB = 1_024


def workers_within(memory_mib: int) -> int:
    """How many workers there may be, so that all together stay within this memory; one at least."""
    return max((memory_mib - MIB_OF_THE_PARENT) // (MIB_OF_A_WORKER + LEAST_MIB_OF_AN_ENGINE), 1)


HistoryProgress = Callable[[float, str], None]
"""A function called with the share done, from 0 to 1, and what is being done."""


@dataclass(frozen=True)
class HistoryReport:
    """What became of a log.

    Attributes:
        rows, kept, left_out, refused, notes: of the log.
        days: that sessions opened on.
        errors: sessions without predictions.
        expected: mean chance of conversion by `batch`; None without predictions.
    """

    rows: int
    kept: int
    left_out: int
    refused: RefusedRows
    notes: tuple[str, ...]
    days: int
    sessions: int
    converted: int
    errors: int
    expected: float | None


def make_sessions(
    paths: Sequence[str | Path],
    out: Path,
    settings: Settings,
    *,
    mapping: Path | None = None,
    scored: bool = True,
    with_clicks: bool = False,
    memory_mib: int = 2_048,
    workers: int = 2,
    progress: HistoryProgress = lambda _share, _words: None,
) -> HistoryReport | None:
    """Write the sessions of a log to `out`, each once; a run that was ended goes on.

    Args:
        paths: files, folders and patterns, of this machine or of `s3://bucket/…`.
        settings: the rules, the shop and the bundle.
        scored: whether sessions have predictions.
        with_clicks: whether they carry their clicks, to train on.
        memory_mib: of all processes together.

    Returns:
        None where an earlier run had written all of them.

    Raises:
        MissingFileError: a file is not there.
        InputError: one is no log, or no row can be used.
        BundleError: the bundle is of another shop than the settings name.
        UsageError: `out` is in use, or holds something else.
        RefusedError: `out` holds sessions that are made of something else.
        UnavailableError: a worker was killed, or a store does not answer.
        StorageError, OSError: the disk is full, or fails; what was done stays.
        ConfigurationError: the memory does not suffice.
    """
    rules = rules_of(settings)
    # Opened by those who fold.
    found = find_bundle(settings) if scored else None
    bundle, path = ("", None) if found is None else (found.manifest.id, found.path)
    files = find_log(paths, settings.patience / 1_000)
    size, buckets = size_of(files), buckets_for(files)
    workers = min(workers, buckets, workers_within(memory_mib))
    source = source_of(files, mapping, rules_text(settings), bundle, buckets, with_clicks)
    with open_folder(out, source) as folder:
        if folder.is_finished:
            return None
        folder.discard_drafts()
        progress(0.0, f"reading {counted(len(files), 'file')}, {size / 1e9:,.2f} GB")
        each = (memory_mib - MIB_OF_THE_PARENT) // workers - MIB_OF_A_WORKER
        clicks = folder.clicks(rules.shop, source, each)
        partition = partial(
            _partition, files, source, settings, mapping, folder, memory_mib - MIB_OF_THE_PARENT, buckets
        )
        if clicks is None:
            clicks = replace(partition() if buckets == 1 else _apart(partition), memory_mib=each)
        todo = [number for number in range(buckets) if not folder.bucket(number).exists()]
        told = counted(clicks.kept, "click")
        if buckets == 1:
            progress(_READING, f"sessions of {told}")
            # Most of it is done before a process has started.
            for number in todo:
                _open(folder, clicks, settings, path, with_clicks).fold(number)
        else:
            with _processes(workers, _ready_to_fold, (folder, clicks, settings, path, with_clicks)) as pool:
                for left in _each_done([pool.submit(_fold, number) for number in todo]):
                    progress(_READING + (_WRITING - _READING) * (1 - left / buckets), f"sessions of {told}")
        report = _gather(folder, clicks, progress)
    return replace(report, notes=(*other_files(paths), *report.notes))


def size_of(files: Sequence[LogSource]) -> int:
    """Bytes of a log, packed as it is."""
    return sum(one.bytes if isinstance(one, StoredFile) else one.stat().st_size for one in files)


def buckets_for(files: Sequence[LogSource]) -> int:
    """Into how many buckets the clicks of a log are brought, so that those of one fit into memory."""
    return min(max(-(-size_of(files) // BYTES_OF_A_BUCKET), 1), MOST_BUCKETS)


_READING, _WRITING = 0.2, 0.95


def _partition(
    files: Sequence[LogSource],
    source: Source,
    settings: Settings,
    mapping: Path | None,
    folder: HistoryFolder,
    memory_mib: int,
    buckets: int,
) -> ClickBuckets:
    shop = rules_of(settings).shop
    with at_hand(files, folder.work / "stored", settings.patience / 1_000) as paths:
        clicks = open_clicks(paths, shop, mapping, work=folder.work, memory_mib=memory_mib, buckets=buckets)
        check_unchanged(source)
        folder.note(clicks)
    return clicks


_opened: Callable[[], BucketFolder]


def _ready_to_fold(
    folder: HistoryFolder, clicks: ClickBuckets, settings: Settings, bundle: Path | None, with_clicks: bool
) -> None:
    global _opened
    _ready()
    # There is a worker a core.
    pa.set_cpu_count(1)
    # Not here: an error of an initializer is told to nobody.
    _opened = cache(partial(_open, folder, clicks, settings, bundle, with_clicks))


def _open(
    folder: HistoryFolder, clicks: ClickBuckets, settings: Settings, bundle: Path | None, with_clicks: bool
) -> BucketFolder:
    models = None if bundle is None else load_bundle(settings, bundle)
    return BucketFolder(folder, clicks, rules_of(settings), models, with_clicks)


def _fold(bucket: int) -> None:
    _opened().fold(bucket)


def _ready() -> None:
    """Begin as a worker: whoever started it stops it, and it ends when that process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise AssertionError("a worker is a process of its own")

    def follow() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _processes(
    workers: int, ready: Callable[..., None], given: tuple[Any, ...]
) -> Iterator[ProcessPoolExecutor]:
    """Workers that are stopped at once where the block fails."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, ready, given)

    def stop() -> None:
        for process in multiprocessing.active_children():
            process.terminate()
        pool.shutdown(cancel_futures=True)

    with ExitStack() as undo:
        undo.callback(stop)
        yield pool
        undo.pop_all()
    pool.shutdown()


def _apart(work: Callable[[], ClickBuckets]) -> ClickBuckets:
    """What a process of its own makes of it."""
    with _processes(1, _ready, ()) as pool:
        clicks: ClickBuckets = _result(pool.submit(work))
    return clicks


def _each_done(tasks: Sequence[Future[None]]) -> Iterator[int]:
    """How many are left, whenever some are done."""
    left = set(tasks)
    while left:
        done, left = wait(left, return_when=FIRST_COMPLETED)
        for task in done:
            _result(task)
        yield len(left)


def _result(task: Future[Any]) -> Any:
    try:
        return task.result()
    except BrokenProcessPool:
        raise UnavailableError(
            "a worker was killed, as the system does where memory is short",
            "Run the command again: it goes on where it was. Give it --workers 1, or a smaller --memory.",
        ) from None


def _gather(folder: HistoryFolder, clicks: ClickBuckets, progress: HistoryProgress) -> HistoryReport:
    # A part is open until the last day is written; of a billion clicks there are more than a thousand.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    parts = [Part(path) for path in folder.parts()]
    days = sorted({day for part in parts for day in part.days})
    for number, day in enumerate(days):
        progress(_WRITING + (1 - _WRITING) * number / len(days), f"{counted(len(days), 'day')}: {day}")
        path = folder.day(day)
        if path.exists():
            continue
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file, pq.ParquetWriter(file, parts[0].schema, compression="zstd") as writer:
            for sessions in _row_groups(parts, day):
                writer.write_table(sessions)
    return concluded(folder, clicks)


def _row_groups(parts: Sequence[Part], day: str) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    for part in parts:
        sessions = part.sessions(day)
        if sessions is None:
            continue
        held.append(sessions)
        if sum(map(len, held)) >= SESSIONS_OF_A_ROW_GROUP:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


class RowCounts(Protocol):
    """What became of the rows of a log."""

    @property
    def rows(self) -> int: ...

    @property
    def kept(self) -> int: ...

    @property
    def left_out(self) -> int: ...

    @property
    def refused(self) -> RefusedRows: ...

    @property
    def notes(self) -> tuple[str, ...]: ...


def concluded(folder: HistoryFolder, clicks: RowCounts) -> HistoryReport:
    """The report on the days of a folder, in which nothing is left to do."""
    report = _report(folder, clicks)
    folder.finish(clicks.refused)
    return report


def _report(folder: HistoryFolder, clicks: RowCounts) -> HistoryReport:
    """As it lies there."""
    sessions = converted = errors = 0
    expected = 0.0
    days = folder.days()
    for path in days:
        with undamaged(path, path):
            file = pq.ParquetFile(path)
            scored = "predictions" in file.schema_arrow.names
            names = ["outcome.converted", *(["predictions.batch.conversion", "error"] if scored else [])]
            for group in file.iter_batches(columns=names):
                sessions += len(group)
                converted += pc.sum(group["outcome"].field("converted")).as_py() or 0
                if scored:
                    errors += len(group) - group["error"].null_count
                    chances = group["predictions"].field("batch").field("conversion")
                    expected += pc.sum(chances).as_py() or 0.0
    answered = sessions - errors
    return HistoryReport(
        clicks.rows,
        clicks.kept,
        clicks.left_out,
        clicks.refused,
        clicks.notes,
        len(days),
        sessions,
        converted,
        errors,
        expected / answered if scored and answered else None,
    )
