"""Recorded: the sessions of a clicks topic, to train on. A shop learns from its own stream.

The topic is read once from its first record to the end that it has at the start, committed records only, by
the same event-time logic as the consumer's: what closes there, closes here.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from clickstream.audit.partition import AuditedPartition, CommittedRange
from clickstream.infra.errors import InputError
from clickstream.infra.kafka import Record
from clickstream.infra.kafka.topic_log import ReadingProgress, extent, read, silent
from clickstream.infra.settings import Settings
from clickstream.models.examples import TrainingSession
from clickstream.models.shop.examples import ShopWindow
from clickstream.records.click import Click, Forget
from clickstream.windows.fingerprint import rules_of
from clickstream.windows.listing import ListingPartition, clicks_of, ordered_clicks_of, unlisted
from clickstream.windows.partition import ClosedWindow

T = TypeVar("T")


class RecordedSessions(NamedTuple, Generic[T]):
    """What a topic holds.

    Attributes:
        sessions: closed ones, by the time of their first click.
        sha256: of these sessions, click by click.
        clicks: on the topic, the refused ones too.
        refused: why records could not be counted -> how many.
        late: clicks that came too late to take their place in the order, and count all the same.
        open: sessions that had not closed at the end of the topic; left out.
        cut: sessions that may have begun before the first record that the topic still holds; left out.
        forgotten: closed sessions of which the topic says later that they are to be forgotten; left out.
    """

    topic: str
    sessions: list[T]
    sha256: str
    clicks: int
    refused: dict[str, int]
    late: int
    open: int
    cut: int
    forgotten: int = 0


class Taught(NamedTuple, Generic[T]):
    """A closed window as training takes it, and what it is hashed by."""

    session: T
    content: tuple[Any, ...]


class _Found(NamedTuple, Generic[T]):
    partition: int
    closed: ClosedWindow
    taught: Taught[T]

    @property
    def home(self) -> tuple[int, str]:
        return self.partition, self.closed.session_id


def read_recorded(
    settings: Settings, progress: ReadingProgress = silent
) -> RecordedSessions[TrainingSession]:
    """The sessions of the clicks topic of `settings`, of shop uci553; their day is in UTC.

    Raises:
        InputError: no session on it has closed.
        UnavailableError: the broker does not answer, or there is no such topic.
    """
    return _read(settings, progress, _as_session)


def read_recorded_windows(
    settings: Settings, progress: ReadingProgress = silent
) -> RecordedSessions[ShopWindow]:
    """The windows of the clicks topic of `settings`, of the shop that they name; else as `read_recorded`.

    Of each the clicks in order: one that came too late for its place was not known where it stands.
    """
    return _read(settings, progress, as_window)


def _read(
    settings: Settings, progress: ReadingProgress, taught: Callable[[ClosedWindow], Taught[T]]
) -> RecordedSessions[T]:
    part = extent(settings, settings.clicks_topic)
    records = read(settings, settings.clicks_topic, part, progress)
    return sessions_of(records, part.begin, settings, taught)


def _as_session(closed: ClosedWindow) -> Taught[TrainingSession]:
    session, steps = unlisted(closed.session), clicks_of(closed.session)
    day = datetime.datetime.fromtimestamp(session.opened_at / 1_000, datetime.UTC).date()
    return Taught(
        TrainingSession(closed.session_id, day, session, steps), (closed.session_id, session, list(steps))
    )


def as_window(closed: ClosedWindow) -> Taught[ShopWindow]:
    """A window as models of any shop learn from it."""
    window = ShopWindow(closed.session_id, ordered_clicks_of(closed.session))
    return Taught(window, (window.session_id, list(window.clicks)))


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
    found: list[_Found[T]] = []
    # By partition and session id: how many were found before all of it was to be forgotten.
    forgotten: dict[tuple[int, str], int] = {}
    clicks = cut = 0
    for record in records:
        audited = partitions[record.partition]
        parsed = audited.advance(record)
        refused.update(one.reason for one in audited.logic.refused)
        if isinstance(parsed, Click):
            clicks += 1
        elif isinstance(parsed, Forget):
            forgotten[record.partition, parsed.session_id] = len(found)
        for closed in audited.logic.closed:
            if audited.is_blind_to(closed):
                cut += 1
                continue
            found.append(_Found(record.partition, closed, taught(closed)))
    kept = [one for at, one in enumerate(found) if at >= forgotten.get(one.home, 0)]
    if not kept:
        raise InputError(
            f"no session on {settings.clicks_topic} has closed: {clicks:,} clicks were read",
            "Let the shop run for longer, or name another topic with --clicks-topic.",
        )
    kept.sort(key=lambda one: (one.closed.session.opened_at, one.closed.session_id))
    return RecordedSessions(
        settings.clicks_topic,
        [one.taught.session for one in kept],
        _sha256(one.taught.content for one in kept),
        clicks,
        dict(refused),
        sum(one.closed.session.late for one in kept),
        sum(audited.logic.open_sessions for audited in partitions.values()),
        cut,
        len(found) - len(kept),
    )


def _sha256(contents: Iterable[tuple[Any, ...]]) -> str:
    digest = hashlib.sha256()
    encoder = msgspec.msgpack.Encoder(order="deterministic")
    for one in contents:
        digest.update(encoder.encode(one))
    return digest.hexdigest()
