"""Recorded: the sessions of a clicks topic, to train on. A shop learns from its own stream.

The topic is read once from its first record to the end that it has at the start, committed records only, by
the same event-time logic as the consumer's: what closes there, closes here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

from clickstream.audit.partition import AuditedPartition, CommittedRange
from clickstream.infra.errors import InputError
from clickstream.infra.kafka import Record
from clickstream.infra.kafka.topic_log import ReadingProgress, extent, read, silent
from clickstream.infra.settings import Settings
from clickstream.models.examples import TrainingSession
from clickstream.models.shop.examples import ShopWindow
from clickstream.offline.sample import Sample, Taught, as_session, as_window, sha256_of
from clickstream.records.click import Click
from clickstream.windows.fingerprint import rules_of
from clickstream.windows.listing import ListingPartition
from clickstream.windows.partition import ClosedWindow

T = TypeVar("T")


class RecordedSessions(NamedTuple, Generic[T]):
    """What a topic holds.

    Attributes:
        sessions: closed ones to train on, by the time of their first click: all, or a sample of many.
        sha256: of these sessions, click by click.
        found: closed sessions in all.
        clicks: on the topic, the refused ones too.
        refused: why records could not be counted -> how many.
        late: clicks that came too late to take their place in the order, and count all the same.
        open: sessions that had not closed at the end of the topic; left out.
        cut: sessions that may have begun before the first record that the topic still holds; left out.
    """

    topic: str
    sessions: list[T]
    sha256: str
    found: int
    clicks: int
    refused: dict[str, int]
    late: int
    open: int
    cut: int


def read_recorded(
    settings: Settings, progress: ReadingProgress = silent
) -> RecordedSessions[TrainingSession]:
    """The sessions of the clicks topic of `settings`, of shop uci553; their day is in UTC.

    Raises:
        InputError: no session on it has closed.
        UnavailableError: the broker does not answer, or there is no such topic.
    """
    return _read(settings, progress, as_session)


def read_recorded_windows(
    settings: Settings, progress: ReadingProgress = silent
) -> RecordedSessions[ShopWindow]:
    """The windows of the clicks topic of `settings`, of the shop that they name; else as `read_recorded`."""
    return _read(settings, progress, as_window)


def _read(
    settings: Settings, progress: ReadingProgress, taught: Callable[[ClosedWindow], Taught[T]]
) -> RecordedSessions[T]:
    part = extent(settings, settings.clicks_topic)
    records = read(settings, settings.clicks_topic, part, progress)
    return sessions_of(records, part.begin, settings, taught)


def sessions_of(
    records: Iterable[Record],
    begin: Mapping[int, int],
    settings: Settings,
    taught: Callable[[ClosedWindow], Taught[T]],
) -> RecordedSessions[T]:
    """The sessions that `records` close, which are in offset order within each partition.

    Args:
        begin: the first offset that each partition still holds.

    Raises:
        InputError: they close none.
    """
    rules = rules_of(settings)
    partitions = {
        partition: AuditedPartition(rules, CommittedRange(offset), -1, -1, ListingPartition)
        for partition, offset in begin.items()
    }
    refused: Counter[str] = Counter()
    sample = Sample(taught)
    clicks = late = cut = 0
    for record in records:
        audited = partitions[record.partition]
        parsed = audited.advance(record)
        refused.update(one.reason for one in audited.logic.refused)
        if isinstance(parsed, Click):
            clicks += 1
        for closed in audited.logic.closed:
            if audited.is_blind_to(closed):
                cut += 1
                continue
            late += closed.session.late
            sample.add(closed)
    if not sample.seen:
        raise InputError(
            f"no session on {settings.clicks_topic} has closed: {clicks:,} clicks were read",
            "Let the shop run for longer, or name another topic with --clicks-topic.",
        )
    taken = sample.taken()
    return RecordedSessions(
        settings.clicks_topic,
        [one.session for one in taken],
        sha256_of(taken),
        sample.seen,
        clicks,
        dict(refused),
        late,
        sum(audited.logic.open_sessions for audited in partitions.values()),
        cut,
    )
