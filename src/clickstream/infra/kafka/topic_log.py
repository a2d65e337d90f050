"""Topics that are read as far as they reach at one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import NamedTuple

from clickstream.infra.kafka.reader import Reader
from clickstream.infra.kafka.records import Record
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
    """A topic that is read piece by piece. Its connections are kept until `close`, and then opened anew."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self._settings = settings
        self._reader: Reader | None = None

    def extent(self) -> Extent:
        """The committed records of the topic, including every transaction that is decided by now."""
        begin = self._open().beginning_offsets()
        return Extent(begin, *self._open().decided_ends(_MARKERS_S))

    def read(self, start: Mapping[int, int], end: Mapping[int, int]) -> Iterator[list[Record]]:
        """Batches of the committed records from `start` up to `end`, in offset order within each partition.

        Raises:
            UnavailableError: the end was not reached, and nothing came for `settings.patience`.
        """
        reader = self._open()
        for partition, offset in start.items():
            reader.seek(partition, offset)
        for batch in reader.read_to(end):
            yield [record for record in batch if record.offset < end.get(record.partition, 0)]

    def close(self) -> None:
        """Drop the connections."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self._settings, self.topic)
        return self._reader


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
