"""Event time on partitions where clicks stay away (T6): a heartbeat, written by who owns the partition.

An effort, no duty: a broker that refuses one, or is away, delays the closing of sessions there until clicks
come again. Nothing is wrong or lost by it, so it stops nothing; it is reported once, and tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal

import orjson

from clickstream.consumer.ports import Clock
from clickstream.consumer.recovery import Claim
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka import Producer, RecordRefusedError
from clickstream.infra.logs import logger
from clickstream.infra.settings import Settings

log = logger("idle")

WriteResult = Literal["written", "failed"]


def record_time(event_time: int, now: int, max_ahead: int) -> int:
    """The Kafka timestamp of a heartbeat, in ms: event time, as clicks have it (all in ms since the epoch).

    Where event time is ahead of the clock `now`, the broker may refuse it; then it is the clock, but never
    more than `max_ahead` before event time, or the rules would refuse the heartbeat (T8).
    """
    return max(min(event_time, now), event_time - max_ahead)


class IdleHeartbeats:
    """Writes heartbeats with a plain producer of its own.

    Attributes:
        results: heartbeats by what became of them.
        problems: the partitions to which the last one could not be written; the log says why.
    """

    def __init__(self, settings: Settings, topic: str, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        self._topic = topic
        self._clock = clock
        self._producer: Producer | None = None
        self._tried_at: dict[int, float] = {}
        self.results: dict[WriteResult, int] = {"written": 0, "failed": 0}
        self.problems: set[int] = set()

    def write(self, claims: Iterable[Claim], caught_up: Callable[[int], bool]) -> None:
        """Write a heartbeat to each partition that has open sessions and was silent for `idle_after`.

        `caught_up` is asked whether all of a partition was read. An error is logged, never raised.
        """
        idle_s = self._settings.idle_after / 1000
        if not idle_s:
            return
        now = self._clock()
        for claim in claims:
            p = claim.partition
            waited = now - max(claim.read_at, self._tried_at.get(p, 0.0))
            if waited < idle_s or not claim.logic.open_sessions or not caught_up(p):
                continue
            self._tried_at[p] = now
            try:
                self._send(p, claim.logic.newest + round((now - claim.read_at) * 1000))
            except RecordRefusedError as error:
                self._failed(p, error)
            except ClickstreamError as error:
                # The broker is away, or permits nothing: the next partition would wait as long.
                self._failed(p, error)
                return
            else:
                self._written(p)

    def close(self) -> None:
        """Drop the connection."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def _send(self, partition: int, event_time: int) -> None:
        clock = round(time.time() * 1000)
        first = record_time(event_time, clock, self._settings.max_ahead)
        try:
            self._offer(partition, event_time, first)
        except RecordRefusedError:
            if first >= clock:
                raise
            # The topic takes no old timestamps: then the clock, as a sender of clicks must do there too.
            self._offer(partition, event_time, clock)

    def _offer(self, partition: int, event_time: int, timestamp: int) -> None:
        value = orjson.dumps({"type": "heartbeat", "event_time": event_time})
        try:
            self._producer = self._producer or Producer(self._settings)
            self._producer.send(self._topic, partition, None, value, timestamp=timestamp)
            self._producer.flush()
        except ClickstreamError:
            # One that failed stays so.
            self.close()
            raise

    def _written(self, partition: int) -> None:
        self.results["written"] += 1
        if partition in self.problems:
            self.problems.remove(partition)
            log.info("idle heartbeats are written again", partition=partition)

    def _failed(self, partition: int, error: ClickstreamError) -> None:
        self.results["failed"] += 1
        if partition not in self.problems:
            log.warning(
                "no idle heartbeat can be written: sessions close here only when clicks come",
                partition=partition,
                error=error.what,
                remedy=f"{error.remedy} Or send heartbeats of your own, and set CLICKSTREAM_IDLE_AFTER=0.",
            )
        self.problems.add(partition)
