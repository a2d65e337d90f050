"""Reading a topic from a place to a place, without a group."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any

from kafka import errors as kafka_errors
from kafka.structs import TopicPartition

from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka.admin import Admin
from clickstream.infra.kafka.connection import connection_options, request_timeout_ms
from clickstream.infra.kafka.errors import MissingError
from clickstream.infra.kafka.records import DecidedEnds, Record
from clickstream.infra.kafka.translation import translated
from clickstream.infra.kafka.unpacking import new_consumer
from clickstream.infra.settings import Settings


class Reader:
    """Reads committed records of a topic, or `only` of some of its partitions, without a group."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        committed_only: bool = True,
        only: Collection[int] | None = None,
    ) -> None:
        self._settings = settings
        self.topic = topic
        self._written: Reader | None = None
        with translated(f"opening {topic}", settings):
            self._consumer = new_consumer(
                **connection_options(settings),
                isolation_level="read_committed" if committed_only else "read_uncommitted",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=100,
                request_timeout_ms=request_timeout_ms(settings),
                max_partition_fetch_bytes=4 * 1024 * 1024,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            known = self._consumer.topics()
        if topic not in known:
            self.close()
            with closing(Admin(settings)) as admin:
                # Says so where it is there, and we may not know it.
                admin.describe_topic(topic)
            raise MissingError(
                f"there is no topic {topic!r} at {settings.kafka_bootstrap}",
                "Check the name; `clickstream replay` and `clickstream consume` create their topics.",
            )
        self.partitions = sorted(self._consumer.partitions_for_topic(topic) if only is None else only)
        self._tps = [TopicPartition(topic, p) for p in self.partitions]
        self._consumer.assign(self._tps)

    def beginning_offsets(self) -> dict[int, int]:
        """The first offset of each partition."""
        return self._offsets(self._consumer.beginning_offsets)

    def end_offsets(self) -> dict[int, int]:
        """The offset after the last (committed) record of each partition, now: see `decided_ends`."""
        return self._offsets(self._consumer.end_offsets)

    def _offsets(self, ask: Callable[..., Mapping[Any, int]]) -> dict[int, int]:
        patience = self._settings.patience
        deadline = time.monotonic() + patience / 1000
        with translated(f"reading the offsets of {self.topic}", self._settings):
            while True:
                try:
                    found = ask(self._tps, timeout_ms=patience)
                except KeyError as error:
                    # The client forgets those that have no leader at the moment, where others have one.
                    if time.monotonic() > deadline:
                        raise kafka_errors.LeaderNotAvailableError(f"{error.args[0]}") from error
                    time.sleep(0.05)
                else:
                    return {tp.partition: offset for tp, offset in found.items()}

    def offset_since(self, partition: int, timestamp: int) -> int:
        """The first offset whose record has this timestamp (ms) or a later one; the end where none has."""
        tp = TopicPartition(self.topic, partition)
        with translated(f"looking for a time in {self.topic}", self._settings):
            found = self._consumer.offsets_for_times({tp: timestamp}, timeout_ms=self._settings.patience)
        place = found.get(tp)
        return self.end_offsets()[partition] if place is None else int(place.offset)

    def decided_ends(self, within_s: float | None = None) -> DecidedEnds:
        """The ends, with every transaction that is decided by now.

        A transaction is decided, and its offsets are committed, before each partition has its marker: until
        then `end_offsets` stops short of its records. So the ends are asked for again until they have come to
        the last record that is there now, unless a transaction that is still open holds them back.

        Args:
            within_s: how long to wait; by default `settings.patience`, after which the broker has aborted
                what hangs.
        """
        if self._written is None:
            self._written = Reader(self._settings, self.topic, committed_only=False)
        written = self._written.end_offsets()
        deadline = time.monotonic() + (self._settings.patience / 1000 if within_s is None else within_s)
        while True:
            ends = self.end_offsets()
            held = any(ends[p] < offset for p, offset in written.items())
            if not held or time.monotonic() > deadline:
                return DecidedEnds(ends, held)
            time.sleep(0.05)

    def seek(self, partition: int, offset: int) -> None:
        """Go on from `offset`."""
        self._consumer.seek(TopicPartition(self.topic, partition), offset)

    def poll(self, timeout_ms: int = 500, max_records: int = 10_000) -> list[Record]:
        """The next records of any partition, in offset order within each; empty when none came in time."""
        with translated(f"reading {self.topic}", self._settings):
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=max_records)
        return [record for records in polled.values() for record in records]

    def position(self, partition: int) -> int:
        """The offset after the last record delivered (markers of transactions count)."""
        with translated(f"reading the position in {self.topic}", self._settings):
            return int(
                self._consumer.position(
                    TopicPartition(self.topic, partition), timeout_ms=self._settings.patience
                )
            )

    def read_to(self, end: Mapping[int, int]) -> Iterator[list[Record]]:
        """Batches until each partition's position has reached its `end`; silence is never taken for it.

        Raises:
            UnavailableError: nothing moved for `settings.patience`.
        """
        silent_ms = 0
        while any(self.position(p) < offset for p, offset in end.items()):
            batch = self.poll()
            if batch:
                silent_ms = 0
                yield batch
                continue
            silent_ms += 500
            if silent_ms > self._settings.patience:
                raise UnavailableError(
                    f"{self.topic}: no record came for {self._settings.patience} ms, before the end",
                    "Is a transaction hanging, or the broker overloaded? Try again.",
                )

    def close(self) -> None:
        """Drop the connections."""
        if self._written is not None:
            self._written.close()
        with suppress(kafka_errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=1_000)
