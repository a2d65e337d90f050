"""Requests answered, counted: by one worker in memory, by several together through a folder.

Each worker writes what it counted into a file of its own, and whichever is scraped adds the files up. One
that was killed leaves its file, so no counter ever falls.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson

from clickstream.monitoring.metrics import Distribution, Sample

_WRITE_EVERY_S = 0.5


class RequestCounters:
    """Requests by status, and how long they took. `folder` is shared by several workers; None for one."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._answers: Counter[str] = Counter()
        self._seconds = Distribution("clickstream_lookup_seconds")
        self._written = 0

    def answered(self, status: int, seconds: float) -> None:
        """One request was answered with this HTTP status."""
        self._answers[str(status)] += 1
        self._seconds.add(seconds)

    def samples(self) -> Iterator[Sample]:
        """For a scrape: of all workers, as they last wrote it."""
        answers, seconds = self._answers, self._seconds
        if self._folder is not None:
            answers, seconds = Counter(), Distribution("clickstream_lookup_seconds")
            for file in self._folder.glob("*.json"):
                written = orjson.loads(file.read_bytes())
                answers.update(written["answers"])
                seconds.include(written["buckets"], written["sum"])
        for status, count in sorted(answers.items()):
            yield Sample("clickstream_lookups_total", count, (status,))
        yield Sample("clickstream_lookup_seconds", seconds)

    async def keep_written(self) -> None:
        """Write twice a second what was counted, until cancelled; nothing where there is one worker."""
        while self._folder is not None:
            self.write()
            await asyncio.sleep(_WRITE_EVERY_S)

    def write(self) -> None:
        """Write what was counted, if it is new."""
        count = self._answers.total()
        if self._folder is not None and count > self._written:
            buckets, total = self._seconds.state()
            content = {"answers": self._answers, "buckets": buckets, "sum": total}
            # In one step for whoever reads; nothing of it need survive a crash of the machine.
            draft = self._folder / f"{os.getpid()}.draft"
            draft.write_bytes(orjson.dumps(content))
            draft.replace(self._folder / f"{os.getpid()}.json")
            self._written = count
