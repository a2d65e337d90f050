"""Mark: what a replayed record says of its own place, so that a killed replay can go on exactly there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from clickstream.infra.kafka import Record

HEADER = "replay"


class Mark(NamedTuple):
    """Record number `sequence` (from 0) of its partition, in run `run`, moved by `days`, of a plan."""

    plan: str
    run: int
    days: int
    sequence: int


def mark_prefix(plan: str, run: int, days: int) -> bytes:
    """What all marks of a run begin with; the sequence number follows."""
    return b"%s:%d:%d:" % (plan.encode(), run, days)


def mark_of(headers: Sequence[tuple[str, bytes]]) -> Mark | None:
    """The mark in the headers of a record; None when it is not a replay's."""
    for name, value in headers:
        if name == HEADER:
            try:
                plan, run, days, sequence = value.decode().split(":")
                return Mark(plan, int(run), int(days), int(sequence))
            except ValueError:
                return None
    return None


def missing_before(mark: Mark, records: Iterable[Record]) -> list[int]:
    """Sequence numbers before `mark` that none of `records`, of its partition, has in its run."""
    there = {
        other.sequence
        for record in records
        if (other := mark_of(record.headers)) is not None and (other.plan, other.run) == (mark.plan, mark.run)
    }
    return sorted(set(range(mark.sequence)) - there)
