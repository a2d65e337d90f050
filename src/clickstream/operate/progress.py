"""What a few seconds of snapshots show: rates, lag, latency. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from clickstream.operate.group import GroupSnapshot, PartitionProgress
from clickstream.operate.scrape import Scrape, quantile

_SNAPSHOTS = 6
"""Snapshots that rates are over: consumers commit about once a second."""


class Throughput(NamedTuple):
    """Records a second that arrived and that were committed, and scores a second."""

    arriving: float = 0.0
    done: float = 0.0
    scores: float = 0.0


class Latency(NamedTuple):
    """Seconds from the close of a session to its score, as quantiles; None without a score."""

    p50: float | None
    p99: float | None


class GroupProgress:
    """The last snapshots of a group, and the last scrapes of its consumers.

    `closes_after_ms` is the event time after which a silent session closes (T1, T3).
    """

    def __init__(self, group: str, closes_after_ms: int) -> None:
        self.group = group
        self._closes_after_ms = closes_after_ms
        self._snapshots: deque[GroupSnapshot] = deque(maxlen=_SNAPSHOTS)
        self._scrapes: deque[list[Scrape]] = deque(maxlen=_SNAPSHOTS)

    def add(self, snapshot: GroupSnapshot | None, scrapes: Sequence[Scrape] = ()) -> None:
        """Add a snapshot, None where Kafka did not answer (the last one stays), and a scrape a consumer."""
        self._scrapes.append(list(scrapes))
        if snapshot is not None:
            self._snapshots.append(snapshot)

    @property
    def now(self) -> GroupSnapshot | None:
        """The last snapshot; None before the first."""
        return self._snapshots[-1] if self._snapshots else None

    @property
    def consumers(self) -> list[Scrape]:
        """The last scrape of each consumer."""
        return self._scrapes[-1] if self._scrapes else []

    def rates(self, partition: int | None = None) -> Throughput:
        """The throughput of one partition, or of all; zeros before the second snapshot."""
        if self._seconds() <= 0:
            return Throughput()
        partitions = [
            pair
            for pair in zip(self._snapshots[0].partitions, self._snapshots[-1].partitions, strict=False)
            if partition in (None, pair[0].partition)
        ]
        arriving = sum(now.end - before.end for before, now in partitions)
        done = sum((now.committed or 0) - (before.committed or 0) for before, now in partitions)
        scores = sum(now.scores - before.scores for before, now in partitions)
        if partition is None:
            scores = self._snapshots[-1].scores - self._snapshots[0].scores
        return Throughput(*(max(count, 0) / self._seconds() for count in (arriving, done, scores)))

    def dead_letters_a_second(self) -> float:
        """Dead letters a second, 0 before the second snapshot."""
        if self._seconds() <= 0:
            return 0.0
        return (self._snapshots[-1].dead_letters - self._snapshots[0].dead_letters) / self._seconds()

    def event_time(self) -> int | None:
        """The largest event time (ms) that was worked through; None before any was."""
        return max(_times(self.now.partitions), default=None) if self.now else None

    def speed(self) -> float | None:
        """Event time that passes in a second of the clock; None before it is known."""
        if self._seconds() <= 0:
            return None
        before, now = (max(_times(self._snapshots[i].partitions), default=None) for i in (0, -1))
        return None if before is None or now is None else (now - before) / 1000 / self._seconds()

    def closes_within_s(self) -> float | None:
        """Seconds of the clock after which a silent session is closed; None where event time stands."""
        speed = self.speed()
        return self._closes_after_ms / 1000 / speed if speed and speed > 0 else None

    def latency(self, consumer: int) -> Latency:
        """The latency of one consumer in the last seconds; of all its time where nothing closed lately."""
        now = self.consumers[consumer]
        then = self._scrapes[0][consumer] if len(self._scrapes[0]) > consumer else now
        before = then.latency if quantile(0.5, now.latency, then.latency) is not None else ()
        return Latency(quantile(0.5, now.latency, before), quantile(0.99, now.latency, before))

    def as_dict(self, state: str = "") -> dict[str, Any]:
        """Everything, for JSON; `state` is what a person should know, null where all is well."""
        snapshot = self.now
        if snapshot is None:
            return {"group": self.group, "state": state or None}
        rates = self.rates()
        return {
            "group": self.group,
            "state": state or None,
            "group_state": snapshot.group.state,
            "members": {member.name: list(member.partitions) for member in snapshot.group.members},
            "records_a_second": round(rates.arriving, 1),
            "committed_a_second": round(rates.done, 1),
            "scores_a_second": round(rates.scores, 1),
            "open_sessions": sum(partition.open_sessions for partition in snapshot.partitions),
            "lag_records": sum(partition.lag for partition in snapshot.partitions),
            "lag_event_seconds": max((partition.behind_ms for partition in snapshot.partitions), default=0)
            / 1000,
            "dead_letters_seen": snapshot.dead_letters,
            "event_time": self.event_time(),
            "event_seconds_a_second": self.speed(),
            "silent_session_closes_within_seconds": self.closes_within_s(),
            "partitions": [
                {
                    **partition._asdict(),
                    "lag_records": partition.lag,
                    "lag_event_seconds": partition.behind_ms / 1000,
                    "records_a_second": round(self.rates(partition.partition).arriving, 1),
                    "committed_a_second": round(self.rates(partition.partition).done, 1),
                }
                for partition in snapshot.partitions
            ],
            "consumers": [
                {
                    "address": scrape.address,
                    "away": scrape.away or None,
                    "ready": scrape.ready,
                    "reasons": scrape.reasons,
                    "partitions": scrape.partitions,
                    "latency": self.latency(number)._asdict(),
                    "metrics": scrape.values,
                }
                for number, scrape in enumerate(self.consumers)
            ],
        }

    def _seconds(self) -> float:
        return self._snapshots[-1].at - self._snapshots[0].at if self._snapshots else 0.0


def _times(partitions: Sequence[PartitionProgress]) -> list[int]:
    return [partition.newest for partition in partitions if partition.newest is not None]
