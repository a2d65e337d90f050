"""Bucket: the sessions of one bucket of clicks, folded by a process of its own, and kept by day.

A bucket is folded whole or again. Its sessions lie in parts of a bounded size: Arrow files, a batch a day,
so that those of a day are found without reading the others.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from clickstream.bundles.bundle import Bundle
from clickstream.files.history import ClickBuckets
from clickstream.history.fold import fold_clicks
from clickstream.history.folder import MAKING, PARTS, HistoryFolder, undamaged
from clickstream.infra.days import DAY_MS, day_of
from clickstream.infra.errors import about
from clickstream.windows.rules import Rules

SESSIONS_OF_A_PART = 100_000

_DAYS = b"days"


class BucketFolder:
    """What a process folds buckets with, one after the other."""

    def __init__(
        self,
        folder: HistoryFolder,
        clicks: ClickBuckets,
        rules: Rules,
        bundle: Bundle | None,
        with_clicks: bool,
    ) -> None:
        self._folder = folder
        self._clicks = clicks
        self._rules = rules
        self._bundle = bundle
        self._with_clicks = with_clicks

    def fold(self, bucket: int) -> None:
        """Fold one bucket."""
        done = self._folder.bucket(bucket)
        making = done.with_name(f"{done.name}-{os.getpid()}{MAKING}")
        making.mkdir(parents=True)
        collecting = gc.isenabled()
        # A fold makes no cycles, and thousands of sessions that live a moment: to search through them, again
        # and again, would take half of the time.
        gc.disable()
        try:
            clicks = self._clicks.batches(bucket)
            sessions = fold_clicks(clicks, self._rules.shop, self._rules, self._bundle, self._with_clicks)
            for number, part in enumerate(_parts(sessions)):
                _write_part(making / f"{number:04}.arrow", part)
            (making / PARTS).write_text(str(len(list(making.iterdir()))))
            making.rename(done)
        finally:
            shutil.rmtree(making, ignore_errors=True)
            gc.collect()
            if collecting:
                gc.enable()


def _parts(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= SESSIONS_OF_A_PART:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _write_part(path: Path, sessions: pa.Table) -> None:
    days = sessions.column("opened_at").to_numpy() // DAY_MS
    places = np.argsort(days, kind="stable")
    different, firsts = np.unique(days[places], return_index=True)
    (batch,) = sessions.take(pa.array(places)).combine_chunks().to_batches()
    names = [day_of(int(day) * DAY_MS).isoformat() for day in different]
    schema = sessions.schema.with_metadata({_DAYS: ",".join(names)})
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        about(path),
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, schema, options=options) as writer,
    ):
        for first, after in zip(firsts, [*firsts[1:], len(batch)], strict=True):
            writer.write_batch(batch.slice(first, after - first))


class Part:
    """A part that was written: the sessions of each day in it.

    Raises:
        InputError: it was damaged since.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Read and not mapped: pages of a map are held as long as the part is open.
        with undamaged(path, path.parent):
            self._file = pa.ipc.open_file(pa.OSFile(str(path)))
        self.schema: pa.Schema = self._file.schema.remove_metadata()
        self._places = {
            day: place for place, day in enumerate(self._file.schema.metadata[_DAYS].decode().split(","))
        }

    @property
    def days(self) -> Iterable[str]:
        """The days on which its sessions open, UTC."""
        return self._places

    def sessions(self, day: str) -> pa.Table | None:
        """Those of a day."""
        place = self._places.get(day)
        if place is None:
            return None
        with undamaged(self._path, self._path.parent):
            return pa.Table.from_batches([self._file.get_batch(place)]).replace_schema_metadata(None)
