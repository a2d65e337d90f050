"""Lessons: sessions to train on, of a log of any size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from clickstream.files.history import open_clicks
from clickstream.files.history.stored import at_hand, find_log
from clickstream.history.fold import fold_windows
from clickstream.history.run import RowCounts, buckets_for
from clickstream.infra.settings import Settings
from clickstream.offline.sample import Sample, Taught, sha256_of
from clickstream.windows.fingerprint import rules_of
from clickstream.windows.listing import ListedOpenSession
from clickstream.windows.partition import ClosedWindow

T = TypeVar("T")


class LoggedSessions(NamedTuple, Generic[T]):
    """What a log holds.

    Attributes:
        sessions: those to train on, by the time of their first click.
        sha256: of these sessions, click by click.
        found: sessions in all.
        log: what became of its rows.
    """

    sessions: list[T]
    sha256: str
    found: int
    log: RowCounts


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
    taken = sample.taken()
    return LoggedSessions([one.session for one in taken], sha256_of(taken), sample.seen, clicks)
