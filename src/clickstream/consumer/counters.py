"""What a consumer counts of its own work: a few additions a step, none a click.

Counted by the loop's thread, read by scrapes on others. So every label is there from the start, no table
changes its size, and what belongs together is replaced as one value. A step that is discarded is not counted:
it comes again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from clickstream.consumer.idle import WriteResult
from clickstream.consumer.ports import Clock, GroupClient, StateStore
from clickstream.consumer.recovery import Claim, ClaimCase
from clickstream.consumer.scoring import UnscoredWindow
from clickstream.consumer.step import TakenRecords
from clickstream.consumer.store import LostError, OutboxRecord
from clickstream.infra.errors import ClickstreamError, FencedError
from clickstream.infra.placement import PARTITIONERS, Partitioner, partitioner_of
from clickstream.monitoring.metrics import Distribution, Sample
from clickstream.records.reasons import ClosedBy, Reason
from clickstream.windows.partition import NOTHING_SEEN

LoopStage = Literal[
    "poll", "recover", "parse", "load", "advance", "score", "commit", "publish", "trim", "monitor", "shadow"
]

_LOOK_EVERY_S = 1.0

_KEYS_A_STEP = 20
"""Sessions of a step whose place is found: a hash of a key in Python costs 10 µs."""


class HeldPartitions(NamedTuple):
    """The partitions of this consumer a moment ago; `watermark` is that of the one furthest behind.

    None is not known: nothing was observed yet, or the loop recovers.
    """

    served: int = 0
    replayed: int = 0
    refused: int = 0
    open_sessions: int | None = None
    lag: int | None = None
    watermark: int | None = None


class _Letter(msgspec.Struct, gc=False):
    reason: str


class _OpenScore(msgspec.Struct, gc=False):
    conditions: tuple[str, ...]


_letter = msgspec.json.Decoder(_Letter).decode
_opened = msgspec.json.Decoder(_OpenScore).decode


class Counters:
    """Work done since the start, and where the time went.

    Attributes:
        seconds, cpu_seconds: by stage, of the wall clock and of this thread's CPU.
        held: the partitions, as of the last `observe`.
    """

    def __init__(
        self,
        store: StateStore,
        consumer: GroupClient,
        scores_topic: str,
        open_scores_topic: str,
        partitions: int,
        idle: Mapping[WriteResult, int],
        clock: Clock = time.monotonic,
    ) -> None:
        self._clock = clock
        self._idle = idle
        self._scores_topic = scores_topic
        self._open_scores_topic = open_scores_topic
        self._partitions = partitions
        self._store = store
        self._consumer = consumer
        self._observed_at = float("-inf")
        self.held = HeldPartitions()
        self.records = self.clicks = self.heartbeats = self.scores = self.suppressed = self.republished = 0
        self.open_scores = {"click": 0, "condition": 0}
        self.forgotten = 0
        self.steps = self.transactions = self.failures = self.recoveries = 0
        self.late = self.duplicates = self.missing = self.goals_without_visit = 0
        self.closed: dict[ClosedBy, int] = dict.fromkeys(get_args(ClosedBy), 0)
        self.refused: dict[str, int] = dict.fromkeys(get_args(Reason), 0)
        self.keys: dict[Partitioner, int] = dict.fromkeys(PARTITIONERS, 0)
        self.claims: dict[ClaimCase, int] = dict.fromkeys(get_args(ClaimCase), 0)
        self.fenced = {"redis": 0, "kafka": 0}
        self.seconds: dict[LoopStage, float] = dict.fromkeys(get_args(LoopStage), 0.0)
        self.cpu_seconds = dict(self.seconds)
        self.runs: dict[LoopStage, int] = dict.fromkeys(get_args(LoopStage), 0)
        self.close_to_score = Distribution("clickstream_close_to_score_seconds")

    @contextmanager
    def stage(self, name: LoopStage) -> Iterator[None]:
        """Count the time spent inside to `name`."""
        start, cpu_start = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self.cpu_seconds[name] += time.thread_time() - cpu_start
            self.seconds[name] += time.perf_counter() - start
            self.runs[name] += 1

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Count the transaction inside by how it ended."""
        try:
            yield
        except ClickstreamError:
            self.failures += 1
            raise
        self.transactions += 1

    def stepped(
        self,
        taken: Mapping[int, TakenRecords],
        claims: Mapping[int, Claim],
        windows: Iterable[UnscoredWindow],
    ) -> None:
        """Count a step that was written to Redis."""
        self.steps += 1
        for partition, part in taken.items():
            self.records += len(part.records)
            self.clicks += part.clicks
            self.heartbeats += part.heartbeats
            claim = claims[partition]
            self.suppressed += sum(one.offset < claim.publish_from for one in claim.logic.refused)
            self.forgotten += sum(offset >= claim.publish_from for offset in claim.logic.forgotten)
        observed_at = 0
        for window in windows:
            if not window.publish:
                self.suppressed += 1
                continue
            session = window.closed.session
            self.closed[window.closed.closed_by] += 1
            self.late += session.late
            self.duplicates += session.duplicates
            self.missing += session.missing
            self.goals_without_visit += session.is_goal_without_visit
            if observed_at < _KEYS_A_STEP:
                observed_at += 1
                key = window.closed.session_id.encode()
                self.keys[partitioner_of(key, window.partition, self._partitions)] += 1

    def published(self, outboxes: Mapping[int, Sequence[OutboxRecord]], read_at: float) -> None:
        """Count a committed transaction with these records; the last poll returned at `read_at`."""
        scores = sum(self._count(outbox) for outbox in outboxes.values())
        if scores:
            self.close_to_score.add(self._clock() - read_at, scores)

    def claimed(self, claim: Claim) -> None:
        """Count a partition that was claimed and recovered."""
        self.claims[claim.case] += 1
        self.republished += len(claim.republished)
        self._count(claim.republished)

    def _count(self, records: Sequence[OutboxRecord]) -> int:
        """Count records that are committed; how many of them are scores."""
        scores = 0
        for record in records:
            if record.topic == self._scores_topic:
                scores += 1
            elif record.topic == self._open_scores_topic:
                self.open_scores["condition" if _opened(record.value).conditions else "click"] += 1
            else:
                self.refused[_letter(record.value).reason] += 1
        self.scores += scores
        return scores

    def failed(self, error: ClickstreamError) -> None:
        """Count an error of the loop: all partitions are dropped, and what is open or waits is not known."""
        self.held = HeldPartitions()
        self.recoveries += error.retriable
        if isinstance(error, LostError):
            self.fenced["redis"] += 1
        elif isinstance(error, FencedError):
            self.fenced["kafka"] += 1

    def observe(self, claims: Mapping[int, Claim], refused: int) -> None:
        """Observe the partitions, once a second and where their number changed.

        On the loop's thread: the Kafka consumer belongs to it.
        """
        now = self._clock()
        held = self.held
        if now - self._observed_at < _LOOK_EVERY_S and len(claims) == held.served + held.replayed:
            return
        self._observed_at = now
        replayed = open_sessions = lag = 0
        watermark: int | None = None
        for claim in claims.values():
            logic = claim.logic
            replayed += claim.replaying
            open_sessions += logic.open_sessions
            end = self._consumer.end(claim.partition)
            lag += 0 if end is None else max(end - claim.applied, 0)
            if logic.open_sessions and logic.newest != NOTHING_SEEN:
                watermark = logic.watermark if watermark is None else min(watermark, logic.watermark)
        self.held = HeldPartitions(len(claims) - replayed, replayed, refused, open_sessions, lag, watermark)

    def samples(self) -> Iterator[Sample]:
        """The samples of a scrape, as of now."""
        held = self.held
        yield Sample("clickstream_records_total", self.records)
        yield Sample("clickstream_clicks_total", self.clicks)
        yield Sample("clickstream_heartbeats_total", self.heartbeats)
        yield Sample("clickstream_forgotten_total", self.forgotten)
        yield Sample("clickstream_late_total", self.late)
        yield Sample("clickstream_duplicates_total", self.duplicates)
        yield Sample("clickstream_missing_total", self.missing)
        yield Sample("clickstream_goals_without_visit_total", self.goals_without_visit)
        yield Sample("clickstream_scores_total", self.scores)
        for reason, count in self.open_scores.items():
            yield Sample("clickstream_open_scores_total", count, (reason,))
        yield Sample("clickstream_close_to_score_seconds", self.close_to_score)
        if held.open_sessions is not None:
            yield Sample("clickstream_open_sessions", held.open_sessions)
        if held.lag is not None:
            yield Sample("clickstream_lag_records", held.lag)
        if held.watermark is not None:
            yield Sample("clickstream_watermark_lag_seconds", time.time() - held.watermark / 1000)
        yield Sample("clickstream_steps_total", self.steps)
        yield Sample("clickstream_redis_round_trips_total", self._store.round_trips)
        yield Sample("clickstream_transactions_total", self.transactions)
        yield Sample("clickstream_transaction_failures_total", self.failures)
        yield Sample("clickstream_recoveries_total", self.recoveries)
        yield Sample("clickstream_republished_total", self.republished)
        yield Sample("clickstream_suppressed_total", self.suppressed)
        for state in ("served", "replayed", "refused"):
            yield Sample("clickstream_partitions", getattr(held, state), (state,))
        for closed_by, count in self.closed.items():
            yield Sample("clickstream_sessions_closed_total", count, (closed_by,))
        for reason, count in self.refused.items():
            yield Sample("clickstream_dead_letters_total", count, (reason,))
        for partitioner, count in self.keys.items():
            yield Sample("clickstream_keys_total", count, (partitioner,))
        for case, count in self.claims.items():
            yield Sample("clickstream_claims_total", count, (case,))
        for result, count in self._idle.items():
            yield Sample("clickstream_idle_heartbeats_total", count, (result,))
        for by, count in self.fenced.items():
            yield Sample("clickstream_fenced_total", count, (by,))
        for stage, runs in self.runs.items():
            yield Sample("clickstream_stage_seconds_total", self.seconds[stage], (stage,))
            yield Sample("clickstream_stage_runs_total", runs, (stage,))

    def summary(self) -> dict[str, Any]:
        """The totals for the last line of the log."""
        return {
            "records": self.records,
            "scores": self.scores,
            "dead_letters": sum(self.refused.values()),
            "steps": self.steps,
            "transactions": self.transactions,
            "recoveries": self.recoveries,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "cpu_seconds": {name: round(value, 3) for name, value in self.cpu_seconds.items()},
        }
