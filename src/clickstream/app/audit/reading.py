"""What an audit reads: a topic from its first record to an end noted before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from clickstream.infra.kafka import Reader, Record
from clickstream.infra.settings import Settings

Progress = Callable[[str, int, int], None]
"""Called with a topic's name, the offsets of it passed so far, and those to pass in all."""

_MARKERS_S = 2.0


def silent(_topic: str, _passed: int, _total: int) -> None:
    """Tell nobody."""


class Extent(NamedTuple):
    """First offset in the log and the one after the last, by partition."""

    begin: dict[int, int]
    end: dict[int, int]


def extent(settings: Settings, topic: str) -> Extent:
    """The committed records of a topic, including every transaction that is decided by now.

    A transaction is decided before each partition has its marker. So the end is looked at again until it
    has come to the last record that is there now, unless a transaction that is still open holds it back.
    """
    with closing(Reader(settings, topic, committed_only=False)) as reader:
        written = reader.end_offsets()
    with closing(Reader(settings, topic)) as reader:
        begin = reader.beginning_offsets()
        deadline = time.monotonic() + _MARKERS_S
        while True:
            end = reader.end_offsets()
            if all(end[p] >= offset for p, offset in written.items()) or time.monotonic() > deadline:
                return Extent(begin, end)
            time.sleep(0.05)


def read(settings: Settings, topic: str, part: Extent, progress: Progress) -> Iterator[Record]:
    """Every committed record of `part` of a topic, in offset order within each partition.

    Raises:
        UnavailableError: the end was not reached, and nothing came for `settings.patience`.
    """
    total = sum(part.end.values()) - sum(part.begin.values())
    passed = 0
    with closing(Reader(settings, topic)) as reader:
        for batch in reader.read_to(part.end):
            for record in batch:
                if record.offset < part.end[record.partition]:
                    passed += 1
                    yield record
            progress(topic, passed, total)
    progress(topic, total, total)
