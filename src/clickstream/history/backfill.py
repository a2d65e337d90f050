"""Back-fill: sessions of closed days, from files, onto the topic of scores, each once, beside a live group.

What lies on the topic is the progress: who has taken the transactional id reads the scores that are there,
and publishes the others. Which days are closed says the note beside the group's committed offsets.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import msgspec
import numpy as np
import orjson

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.shop import check_shop
from clickstream.consumer.clients import clients_of
from clickstream.consumer.note import read_note
from clickstream.consumer.ports import TransactionClient
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.history.fold import NO_OFFSET
from clickstream.infra.days import DAY_MS, day_of, midnight
from clickstream.infra.errors import ConfigurationError, RefusedError
from clickstream.infra.failpoints import failpoint
from clickstream.infra.kafka import Admin, Membership, OutgoingRecord, Reader
from clickstream.infra.settings import Settings
from clickstream.records.reading import reader_of
from clickstream.windows.fingerprint import fingerprint, rule_differences, rules_of, rules_text
from clickstream.windows.open_session import FOREVER
from clickstream.windows.partition import ClosedWindow

AT_ONCE = 1_000
"""Scores in a transaction: what others publish behind it waits for its end."""

_NO_PARTITION = NO_OFFSET
_NO_MEMBER = Membership(-1, None)
_NAME_BYTES = 16

BackfillProgress = Callable[["BackfillReport"], None]
"""A function called with what was done so far."""


class Days(NamedTuple):
    """Days, UTC, from `first` to `last`."""

    first: datetime.date
    last: datetime.date

    @property
    def begin(self) -> int:
        """Their first millisecond."""
        return midnight(self.first)

    @property
    def end(self) -> int:
        """The millisecond after their last."""
        return midnight(self.last) + DAY_MS

    def __contains__(self, at: object) -> bool:
        return isinstance(at, int) and self.begin <= at < self.end


@dataclass
class BackfillReport:
    """What became of the sessions of the files.

    Attributes:
        published: scores that were published.
        present: sessions of the days whose score was there.
        other_days: sessions that open on other days.
        unfinished: sessions of the days that the group may still have open.
        headless: sessions that may have begun before the first click of the files.
        endless: sessions that may go on after the last click of the files.
        errors: those published without predictions.
    """

    published: int = 0
    present: int = 0
    other_days: int = 0
    unfinished: int = 0
    headless: int = 0
    endless: int = 0
    errors: int = 0


class _ScoreName(msgspec.Struct):
    score_id: str
    opened_at: int


_read_name = reader_of(_ScoreName)


def backfill(
    sessions: Iterable[ClosedWindow],
    days: Days,
    *,
    bundle: Bundle,
    settings: Settings,
    progress: BackfillProgress = lambda _: None,
) -> BackfillReport:
    """Publish the scores of sessions that open on `days` and are not on the topic of scores.

    Args:
        sessions: of files that reach beyond the days, in any order.
        bundle: whose fitted models answer.
        progress: called after each transaction.

    Raises:
        RefusedError: the group has not passed the days, or works by other rules.
        FencedError: another back-fill of the group has begun.
        UnavailableError: a server does not answer; what is committed stays, and another run goes on.
        BundleError: the bundle is of another shop than the settings name.
    """
    rules = rules_of(settings)
    check_shop(bundle.manifest, rules.shop.definition, f"bundle {bundle.path}")
    passed = _passed(settings)
    if days.end > passed:
        raise RefusedError(
            f"{days.last} is not over for group {settings.group}: its watermark is at {_in_words(passed)}",
            "Let its consumers read on, or name a day before. Where no clicks come any more, a heartbeat"
            " carries the time on.",
        )
    report = BackfillReport()
    # Whoever has the id knows that no other run publishes any more, so what is read then is all.
    client = clients_of(settings).transactions(settings, f"{settings.group}-backfill")
    try:
        known = _PublishedNames(settings, days)
        publisher = _Publisher(client, bundle, settings)
        for some in _batches(_chosen(sessions, days, passed, settings.gap, report)):
            fresh = known.fresh(some)
            report.present += len(some) - len(fresh)
            if fresh:
                report.errors += publisher.publish(fresh)
                report.published += len(fresh)
            progress(report)
    finally:
        client.discard()
    return report


def _chosen(
    sessions: Iterable[ClosedWindow], days: Days, passed: int, gap: int, report: BackfillReport
) -> Iterator[ClosedWindow]:
    """The windows to score; the others are counted."""
    first, last, headless, endless = FOREVER, -FOREVER, 0, 0
    for closed in sessions:
        opened_at, last_click_at = closed.session.opened_at, closed.session.last.event_time
        first, last = min(first, opened_at), max(last, last_click_at)
        if opened_at not in days:
            report.other_days += 1
        elif last_click_at + gap >= passed:
            report.unfinished += 1
        else:
            headless += opened_at - gap < days.begin
            endless += last_click_at + gap >= days.end
            yield closed
    # Files of one day begin and end amid visits.
    report.headless = headless if first >= days.begin else 0
    report.endless = endless if last < days.end else 0


class _Publisher:
    """Scores windows and publishes them, each call one transaction."""

    def __init__(self, client: TransactionClient, bundle: Bundle, settings: Settings) -> None:
        self._client = client
        self._bundle = bundle
        self._settings = settings
        self._fingerprint = fingerprint(settings)
        self._shop = rules_of(settings).shop

    def publish(self, windows: Sequence[ClosedWindow]) -> int:
        """Publish their scores; how many of them have no predictions."""
        records, errors = [], 0
        by_day: dict[datetime.date, list[ClosedWindow]] = {}
        for closed in windows:
            by_day.setdefault(day_of(closed.session.opened_at), []).append(closed)
        for day, some in by_day.items():
            scorer = WindowScorer(self._bundle, f"backfill:{day}", self._fingerprint, self._shop)
            scores = scorer.score([UnscoredWindow(_NO_PARTITION, closed, None) for closed in some])
            for closed, score in zip(some, scores, strict=True):
                key = closed.session_id.encode()
                records.append(OutgoingRecord(self._settings.scores_topic, None, key, score or b""))
                errors += orjson.loads(score or b"")["error"] is not None
        self._client.publish(
            records, self._settings.clicks_topic, {}, _NO_MEMBER, lambda: failpoint("after_produce")
        )
        return errors


class _PublishedNames:
    """The names of the scores of some days that lie on the topic, 16 bytes each."""

    def __init__(self, settings: Settings, days: Days) -> None:
        found = bytearray()
        with closing(Reader(settings, settings.scores_topic)) as reader:
            ends = reader.decided_ends().offsets
            for partition in reader.partitions:
                # A score is published after its first click, but for clocks that disagree.
                reader.seek(partition, reader.offset_since(partition, days.begin - settings.max_ahead))
            for batch in reader.read_to(ends):
                for record in batch:
                    score = _read_name(record.value)
                    if score is not None and score.opened_at in days:
                        found += _digest(score.score_id)
        self._names = np.unique(np.frombuffer(bytes(found), dtype=f"V{_NAME_BYTES}").view(f"S{_NAME_BYTES}"))

    def fresh(self, windows: Sequence[ClosedWindow]) -> list[ClosedWindow]:
        """Those whose scores are not there."""
        names = np.array([_digest(closed.score_id) for closed in windows], dtype=self._names.dtype)
        present = np.isin(names, self._names)
        return [closed for closed, there in zip(windows, present.tolist(), strict=True) if not there]


def _passed(settings: Settings) -> int:
    """The event time, ms, before which the group has closed and published all that it ever will.

    Raises:
        ConfigurationError: there is no clicks topic.
        RefusedError: a partition was never committed, or under other rules.
    """
    rules, topic = rules_text(settings), settings.clicks_topic
    with closing(Admin(settings)) as admin:
        offsets = admin.group_offsets(settings.group, topic)
        if admin.describe_topic(topic) is None:
            raise ConfigurationError(f"there is no topic {topic}", "Check CLICKSTREAM_CLICKS_TOPIC.")
    with closing(Reader(settings, topic)) as reader:
        begins, ends = reader.beginning_offsets(), reader.end_offsets()
    newest, passed = -FOREVER, FOREVER
    for partition, end in ends.items():
        committed = offsets.get(partition)
        if committed is None and begins[partition] == end:
            continue
        note = read_note(committed)
        if committed is None or note is None:
            raise RefusedError(
                f"group {settings.group} has not committed how far it is on partition {partition} of {topic}",
                "Is the name of the group right? Start its consumers, and let them read.",
            )
        if note.settings and note.settings != rules:
            raise RefusedError(
                f"group {settings.group} works by other rules: {rule_differences(note.settings, rules)} here",
                "Give the settings that its consumers run with: by other rules sessions have other names.",
            )
        newest = max(newest, note.newest)
        # What is silent, with nothing open, goes by the time of the others: days can pass without a click.
        if note.open or committed.offset < end:
            passed = min(passed, note.newest)
    now = time.time_ns() // 1_000_000
    return min(passed, now if newest == -FOREVER else newest) - settings.allowed_lateness


def _batches(windows: Iterator[ClosedWindow]) -> Iterator[list[ClosedWindow]]:
    while some := list(islice(windows, AT_ONCE)):
        yield some


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=_NAME_BYTES).digest()


def _in_words(at: int) -> str:
    try:
        return f"{datetime.datetime.fromtimestamp(at / 1_000, datetime.UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return f"{at} ms"
