"""What an audit reads: topics, each up to an end noted before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import NamedTuple

from clickstream.audit.report import Place
from clickstream.infra.errors import RefusedError, UnavailableError
from clickstream.infra.kafka import Reader, Record
from clickstream.infra.settings import Settings

ReadingProgress = Callable[[str, int, int], None]
"""A function called with the name of a topic, the offsets of it passed so far, and those to pass in all."""

# A transaction that is open for longer is not waited for.
_MARKERS_S = 2.0


def silent(_topic: str, _passed: int, _total: int) -> None:
    """Report to nobody."""


class Extent(NamedTuple):
    """First offset in the log and the one after the last, by partition.

    `held`: a transaction that is open holds back records which others have committed by now.
    """

    begin: dict[int, int]
    end: dict[int, int]
    held: bool


class TopicLog:
    """A topic that is read piece by piece, over connections that are kept. To be closed."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self._settings = settings
        self._reader = Reader(settings, topic)

    def extent(self) -> Extent:
        """The committed records of the topic, including every transaction that is decided by now."""
        begin = self._reader.beginning_offsets()
        return Extent(begin, *self._reader.decided_ends(_MARKERS_S))

    def read(self, start: Mapping[int, int], end: Mapping[int, int]) -> Iterator[list[Record]]:
        """Batches of the committed records from `start` up to `end`, in offset order within each partition.

        Raises:
            UnavailableError: the end was not reached, and nothing came for `settings.patience`.
        """
        for partition, offset in start.items():
            self._reader.seek(partition, offset)
        for batch in self._reader.read_to(end):
            yield [record for record in batch if record.offset < end.get(record.partition, 0)]

    def lookup(self, places: Iterable[Place]) -> Iterator[Record]:
        """The records at these places, those that are still there."""
        for place in places:
            start = {place.partition: place.offset}
            for batch in self.read(start, {p: offset + 1 for p, offset in start.items()}):
                yield from (record for record in batch if record.offset == place.offset)

    def check_kept(self, position: Mapping[int, int], there: Extent) -> None:
        """Check that the log still holds what comes at these positions.

        Raises:
            RefusedError: it was deleted.
            UnavailableError: the log is shorter than it was: its broker has just begun, or it is another one.
        """
        if position and position.keys() != there.end.keys():
            raise RefusedError(
                f"{self.topic} has {len(there.end)} partitions, and had {len(position)}",
                "Start the audit again.",
            )
        for partition, offset in position.items():
            if offset < there.begin[partition]:
                raise RefusedError(
                    f"{self.topic}/{partition} begins at {there.begin[partition]}, and the audit was at"
                    f" {offset}: records were deleted before they were audited",
                    "Start the audit again, and keep the topic for longer.",
                )
            if offset > there.end[partition]:
                raise UnavailableError(
                    f"{self.topic}/{partition} ends at {there.end[partition]}, and was read to {offset}",
                    "Was the topic created anew? Then start the audit again.",
                )

    def close(self) -> None:
        """Drop the connections."""
        self._reader.close()


def extent(settings: Settings, topic: str) -> Extent:
    """As `TopicLog.extent`, once."""
    with closing(TopicLog(settings, topic)) as log:
        return log.extent()


def read(settings: Settings, topic: str, part: Extent, progress: ReadingProgress) -> Iterator[Record]:
    """Every committed record of `part` of a topic, in offset order within each partition.

    Raises:
        UnavailableError: the end was not reached, and nothing came for `settings.patience`.
    """
    total = sum(part.end.values()) - sum(part.begin.values())
    passed = 0
    with closing(TopicLog(settings, topic)) as log:
        for batch in log.read(part.begin, part.end):
            passed += len(batch)
            yield from batch
            progress(topic, passed, total)
    progress(topic, total, total)
