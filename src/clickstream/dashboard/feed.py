"""Feed: one subscription to the scores, shared by all tabs.

A thread reads the scores without a group, so it disturbs nobody, and once a second the group's offsets. It
begins with the first snapshot and ends a minute after the last. What it keeps is bounded, however many scores
come. A broker that is away is reported and waited for.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from clickstream.dashboard.arrived import score_reader
from clickstream.features.shop import Shop
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka import MissingError, Reader, Record
from clickstream.infra.settings import Settings
from clickstream.models.drift import Alarm
from clickstream.models.quality import Quality
from clickstream.operate.group import GroupObserver
from clickstream.operate.quality import WatchedScores
from clickstream.operate.summary import Summary
from clickstream.terminal.scores.fields import ScoreObject

WINDOW = 2_000
"""Scores that averages and rolling figures are over."""

SHOWN = 50
"""Last scores that are kept to be shown."""

RATE_S = 10
"""Seconds that the rate is a mean over."""

HISTORY_S = 600
"""Seconds that the time series go back."""

_READ_BACK = 250
"""Scores of a partition that are read at the start, so that the first snapshot is not empty."""

_OFFSETS_EVERY_S = 1.0
_FORGOTTEN_AFTER_S = 60.0
_PATIENCE_MS = 3_000
_FRESH_S = 0.5
_OTHERS_KEPT = 20

FeedState = Literal["starting", "following", "away"]


@dataclass(frozen=True)
class GroupTotals:
    """How far the consumers are.

    `open_sessions` is None where nobody has committed a note that says it; `dead_letters` counts from the
    beginning of the subscription on; `written` is the end of the clicks topic, over all partitions;
    `consumers` are the members of the group.
    """

    open_sessions: int | None
    lag: int
    dead_letters: int
    written: int
    consumers: int


@dataclass(frozen=True)
class Sample:
    """One second of the stream.

    Attributes:
        at: seconds since the epoch.
        records: written to the clicks topic, heartbeats among them, a second.
        scores: arrived, a second.
        delay_ms: median and 99th percentile of the scores that arrived within this second; None without any.
    """

    at: float
    records: float
    scores: float
    lag: int
    open_sessions: int | None
    delay_ms: tuple[int, int] | None


@dataclass(frozen=True)
class FeedSnapshot:
    """All that is known at one moment.

    Attributes:
        others: name and hash of other shops -> their scores, which are in no other figure here.
        problem: why `state` is `away`.
        silent_s: seconds since the last score arrived; None before the first.
        quiet_s: seconds since a record came onto the clicks topic, or since this is looked at; None where
            nobody knows.
        live: scores that arrived since the subscription began.
        rate: of them, a second, over the last `RATE_S` seconds.
        history: the stream second by second, oldest first, `HISTORY_S` of them at most.
        delay_ms: median and 99th percentile from the moment of scoring to our hands, of live scores.
        last: the last scores, newest first.
        window: over the last `WINDOW` scores; `rolling` and `since_start` evaluate the models over those with
            evidence.
    """

    shop: Shop
    state: FeedState
    problem: ClickstreamError | None
    where: str
    silent_s: float | None
    quiet_s: float | None
    live: int
    rate: float
    history: Sequence[Sample]
    delay_ms: tuple[int, int] | None
    group: GroupTotals | None
    last: Sequence[ScoreObject]
    window: Summary
    rolling: Quality | None
    since_start: Quality | None
    alarms: Sequence[Alarm]
    others: Mapping[str, int]

    @property
    def has_revenue(self) -> bool:
        """Whether a conversion of the shop has a value."""
        return self.shop.definition.goal.value is not None


class Feed:
    """The subscription; a `snapshot` may be asked for as often as wanted, from any thread."""

    _made: tuple[float, FeedSnapshot] | None

    def __init__(self, settings: Settings, shop: Shop) -> None:
        self._shop = shop
        self._arrived = score_reader(shop)
        self._settings = settings.model_copy(update={"patience": min(settings.patience, _PATIENCE_MS)})
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._asked_at = 0.0
        self._forget()

    def snapshot(self) -> FeedSnapshot:
        """What is known now. The first one starts the subscription."""
        with self._lock:
            self._asked_at = now = time.monotonic()
            if self._thread is None or not self._thread.is_alive():
                self._forget()
                self._ended.clear()
                self._thread = threading.Thread(target=self._follow, name="feed", daemon=True)
                self._thread.start()
            # Many tabs at once cost no more than one.
            if self._made is None or now - self._made[0] > _FRESH_S:
                self._made = now, self._now(now)
            return self._made[1]

    def score_of(self, session_id: str) -> ScoreObject | None:
        """The last score of a session among the last `WINDOW` of them; None where there is none."""
        with self._lock:
            return next((one for one, _ in reversed(self._scores) if one["session_id"] == session_id), None)

    def close(self) -> None:
        """End the subscription, once the call under way is answered. A later `snapshot` starts another."""
        self._ended.set()

    def _forget(self) -> None:
        self._state: FeedState = "starting"
        self._problem: ClickstreamError | None = None
        self._group: GroupTotals | None = None
        self._watched = WatchedScores(WINDOW, shop=self._shop)
        self._scores: deque[tuple[ScoreObject, int]] = deque(maxlen=WINDOW)
        self._delays: deque[int] = deque(maxlen=WINDOW)
        self._by_second: deque[tuple[int, int]] = deque(maxlen=RATE_S + 1)
        self._history: deque[Sample] = deque(maxlen=HISTORY_S)
        self._sampled: tuple[float, int, int] | None = None
        self._fresh_delays: list[int] = []
        self._written_at: float | None = None
        self._others: Counter[str] = Counter()
        self._live = 0
        self._arrived_at: float | None = None
        self._made = None

    def _now(self, now: float) -> FeedSnapshot:
        second = int(now)
        counts = dict(self._by_second)
        # The present second is not over: it would look like a dip.
        recent = [counts.get(s, 0) for s in range(second - RATE_S, second)]
        window = Summary()
        for score, received_ms in self._scores:
            window.add(score, received_ms)
        return FeedSnapshot(
            shop=self._shop,
            state=self._state,
            problem=self._problem,
            where=f"{self._settings.scores_topic} at {self._settings.kafka_bootstrap}",
            silent_s=None if self._arrived_at is None else now - self._arrived_at,
            quiet_s=None if self._written_at is None else now - self._written_at,
            live=self._live,
            rate=sum(recent) / RATE_S,
            history=tuple(self._history),
            delay_ms=_percentiles(self._delays),
            group=self._group,
            last=[score for score, _ in list(self._scores)[: -SHOWN - 1 : -1]],
            window=window,
            rolling=self._watched.rolling(),
            since_start=self._watched.since_start(),
            alarms=tuple(self._watched.alarms),
            others=dict(self._others),
        )

    def _follow(self) -> None:
        reader: Reader | None = None
        watcher = _GroupWatcher(self._settings)
        offsets_at = float("-inf")
        try:
            while not self._ended.is_set() and time.monotonic() - self._asked_at < _FORGOTTEN_AFTER_S:
                try:
                    if reader is None:
                        reader, ends = _subscribe(self._settings)
                    self._take(reader.poll(timeout_ms=200), ends)
                    if time.monotonic() - offsets_at >= _OFFSETS_EVERY_S:
                        offsets_at = time.monotonic()
                        # A poll does not notice that the broker is away; this does.
                        group = watcher.totals()
                        with self._lock:
                            self._state, self._problem, self._group = "following", None, group
                            self._sample(group)
                except ClickstreamError as error:
                    with self._lock:
                        self._state, self._problem = "away", error
                    # The reader stays: it goes on where it was once the broker is back.
                    self._ended.wait(_OFFSETS_EVERY_S)
        finally:
            watcher.close()
            if reader is not None:
                reader.close()

    def _sample(self, group: GroupTotals) -> None:
        now = time.monotonic()
        if self._sampled is None or group.written > self._sampled[1]:
            self._written_at = now
        if self._sampled is not None:
            before, written, live = self._sampled
            seconds = max(now - before, 1e-3)
            self._history.append(
                Sample(
                    time.time(),
                    max(group.written - written, 0) / seconds,
                    (self._live - live) / seconds,
                    group.lag,
                    group.open_sessions,
                    _percentiles(self._fresh_delays),
                )
            )
        self._sampled = now, group.written, self._live
        self._fresh_delays.clear()

    def _take(self, records: Sequence[Record], ends: Mapping[int, int]) -> None:
        if not records:
            return
        now_ms, now = time.time_ns() // 1_000_000, time.monotonic()
        read = [(record, self._arrived(record.value)) for record in records]
        scores = [(record, found) for record, found in read if isinstance(found, Mapping)]
        with self._lock:
            self._watched.add([record for record, _ in scores])
            for label in (found for _, found in read if isinstance(found, str)):
                if label in self._others or len(self._others) < _OTHERS_KEPT:
                    self._others[label] += 1
            fresh = 0
            for record, score in scores:
                self._scores.append((score, now_ms))
                if record.offset >= ends.get(record.partition, 0):
                    fresh += 1
                    delay = now_ms - score["scored_at"]
                    self._delays.append(delay)
                    self._fresh_delays.append(delay)
            if fresh:
                self._live += fresh
                self._arrived_at = now
                second = int(now)
                if self._by_second and self._by_second[-1][0] == second:
                    fresh += self._by_second.pop()[1]
                self._by_second.append((second, fresh))


def _percentiles(delays: Collection[int]) -> tuple[int, int] | None:
    """Median and 99th percentile; None of nothing."""
    ordered = sorted(delays)
    return (ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]) if ordered else None


def _subscribe(settings: Settings) -> tuple[Reader, dict[int, int]]:
    """A reader placed some scores before the end, and the end."""
    reader = Reader(settings, settings.scores_topic)
    try:
        begin, ends = reader.beginning_offsets(), reader.end_offsets()
        for partition, end in ends.items():
            reader.seek(partition, max(end - _READ_BACK, begin[partition]))
    except ClickstreamError:
        reader.close()
        raise
    return reader, ends


class _GroupWatcher:
    """How far the group is, and how many dead letters it has written since the first question."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._observer = GroupObserver(settings)
        self._is_connected = False
        self._letter_reader: Reader | None = None
        self._letters = 0

    def totals(self) -> GroupTotals:
        """Raises UnavailableError where the broker does not answer."""
        try:
            group, partitions = self._observer.progress()
            self._count_letters()
        except ClickstreamError:
            self.close()
            raise
        committed = [one for one in partitions if one.committed is not None]
        return GroupTotals(
            open_sessions=sum(one.open_sessions for one in committed) if committed else None,
            lag=sum(one.lag for one in partitions),
            dead_letters=self._letters,
            written=sum(one.end for one in partitions),
            consumers=len(group.members),
        )

    def close(self) -> None:
        """Drop the connections."""
        self._observer.close()
        if self._letter_reader is not None:
            self._letter_reader.close()
        self._letter_reader = None
        self._is_connected = False

    def _count_letters(self) -> None:
        if not self._is_connected:
            self._is_connected = True
            # Scores of others may have come without that topic; to look for it takes its time.
            with suppress(MissingError):
                self._letter_reader = Reader(self._settings, self._settings.dead_letter_topic)
                for partition, end in self._letter_reader.end_offsets().items():
                    self._letter_reader.seek(partition, end)
        if self._letter_reader is not None:
            self._letters += len(self._letter_reader.poll(timeout_ms=0))
