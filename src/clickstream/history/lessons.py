"""Lessons: sessions to train on, of a log of any size, or of a folder of sessions that a log became."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clickstream.files.history import open_clicks
from clickstream.files.history.stored import at_hand, find_log
from clickstream.history.clicks import steps_of
from clickstream.history.fold import NO_OFFSET, fold_windows, settled
from clickstream.history.folder import days_to_train_on
from clickstream.history.run import RowCounts, buckets_for
from clickstream.history.schema import CLICKS, clicks_type
from clickstream.infra.errors import InputError
from clickstream.infra.settings import Settings
from clickstream.offline.sample import Sample, Taught, sha256_of
from clickstream.windows.fingerprint import rules_of, rules_text
from clickstream.windows.listing import ListedOpenSession
from clickstream.windows.open_session import FOREVER, PendingClick
from clickstream.windows.partition import ClosedWindow
from clickstream.windows.rules import Rules

T = TypeVar("T")

_AT_ONCE = 8_192


class LoggedSessions(NamedTuple, Generic[T]):
    """What a log holds, or a folder of sessions.

    Attributes:
        sessions: those to train on, by the time of their first click.
        sha256: of these sessions, click by click; the same of a log and of the folder that it became.
        found: sessions in all.
        log: what became of its rows; None of a folder of sessions.
    """

    sessions: list[T]
    sha256: str
    found: int
    log: RowCounts | None


def read_lessons(
    paths: Sequence[str | Path],
    settings: Settings,
    taught: Callable[[ClosedWindow], Taught[T]],
    mapping: Path | None = None,
    memory_mib: int = 2_048,
) -> LoggedSessions[T]:
    """The sessions of files, folders and patterns, also of a store, or a sample of them where they are many.

    Raises:
        MissingFileError: a file is not there.
        UnavailableError, ConfigurationError: a store does not answer, or refuses.
        InputError: one is no log, or no row can be used.
    """
    rules, sample = rules_of(settings), Sample(taught)
    patience_s = settings.patience / 1_000
    files = find_log(paths, patience_s)
    with tempfile.TemporaryDirectory(prefix="clickstream-", dir=settings.home) as folder:
        work, buckets = Path(folder), buckets_for(files)
        with at_hand(files, work / "stored", patience_s) as here:
            clicks = open_clicks(here, rules.shop, mapping, work=work, memory_mib=memory_mib, buckets=buckets)
        for closed in fold_windows(clicks.all_batches(), rules.shop, rules, ListedOpenSession):
            sample.add(closed)
    return _logged(sample, clicks)


def read_folder(
    path: Path, settings: Settings, taught: Callable[[ClosedWindow], Taught[T]]
) -> LoggedSessions[T]:
    """The sessions of a folder that `make_sessions` wrote with their clicks, or a sample of them.

    They are those that the logs give: only what is taken is folded.

    Raises:
        RefusedError: they are of another shop or by other rules, not all there, or carry no clicks.
        InputError: a file cannot be read.
    """
    rules, sample = rules_of(settings), Sample(taught)
    for day in days_to_train_on(path, rules_text(settings)):
        try:
            file = pq.ParquetFile(day)
            for batch in file.iter_batches(
                _AT_ONCE, columns=["session_id", "opened_at", "duplicates", CLICKS]
            ):
                _add(batch, sample, rules)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{day} cannot be read: {error}", "Make the folder anew.") from error
    return _logged(sample, None)


def _add(batch: pa.RecordBatch, sample: Sample[T], rules: Rules) -> None:
    """Add the sessions of a batch to a sample: those that may be in it are folded again from their clicks."""
    names = zip(batch["session_id"].to_pylist(), batch["opened_at"].to_pylist(), strict=True)
    wanted = batch.filter(pa.array([sample.wants(*name) for name in names], pa.bool_()))
    sample.seen += len(batch) - len(wanted)
    clicks = wanted[CLICKS].cast(clicks_type(rules.shop))
    steps = iter(steps_of(pa.RecordBatch.from_struct_array(clicks.flatten()), rules.shop))
    columns = (wanted["session_id"], wanted["duplicates"], pc.list_value_length(clicks))
    for session_id, duplicates, count in zip(*(column.to_pylist() for column in columns), strict=True):
        state = ListedOpenSession(pending=[PendingClick(step, NO_OFFSET) for step in islice(steps, count)])
        windows = list(settled(state, session_id, FOREVER, rules))
        if len(windows) != 1:
            raise pa.ArrowInvalid(f"the clicks of {session_id} are {len(windows)} sessions")
        windows[0].session.duplicates = duplicates
        sample.add(windows[0])


def _logged(sample: Sample[T], log: RowCounts | None) -> LoggedSessions[T]:
    taken = sample.taken()
    return LoggedSessions([one.session for one in taken], sha256_of(taken), sample.seen, log)
