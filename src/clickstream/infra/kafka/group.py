"""A member of a consumer group, and what the client library needs to be one reliably."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import kafka
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import ConsumerGroupMetadata, MemberState, TopicPartition

from clickstream.infra.errors import ClickstreamError, FencedError, UnavailableError
from clickstream.infra.failpoints import failpoint
from clickstream.infra.kafka.admin import leave_for_good
from clickstream.infra.kafka.connection import CLIENT, connection_options, request_timeout_ms
from clickstream.infra.kafka.errors import DamagedBatchError, DeletedError
from clickstream.infra.kafka.records import CommittedOffset, Membership, Record
from clickstream.infra.kafka.refusal import refusal
from clickstream.infra.kafka.translation import translated
from clickstream.infra.kafka.unpacking import new_consumer
from clickstream.infra.settings import Settings

_FENCED_AFTER_S = 1.0
_METADATA_AGE_MS = 10_000
"""How long a consumer may not notice that its topic has more partitions; the client's default is 5 min."""


class _PauseOnAssignment(kafka.ConsumerRebalanceListener):  # type: ignore[misc]
    """Runs on the client's I/O thread, where nothing may block: it only holds new partitions back.

    The seek spares the client its own look-up of committed offsets; the true position comes with the claim.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.new: set[int] = set()

    def on_partitions_assigned(self, assigned: set[Any]) -> None:
        for partition in assigned:
            self.new.add(partition.partition)
            self._consumer.seek(partition, 0)
            self._consumer.pause(partition)

    def on_partitions_revoked(self, revoked: set[Any]) -> None:
        if revoked:
            failpoint("after_revoke")

    def on_partitions_lost(self, lost: set[Any]) -> None:
        pass


class _OutlastsPolls:
    """A join that is under way when a poll ends.

    One that ended while nobody polled the client would throw away and begin anew, which sets all others back:
    members that poll now and then can miss each other for minutes. It is awaited instead, unless it ended so
    long ago, `lasts_s`, that the group may have put out a member of which it heard nothing since.
    """

    def __init__(self, join: Any, lasts_s: float) -> None:
        self.add_callback = join.add_callback
        self.add_errback = join.add_errback
        self._lasts_s = lasts_s
        self._ended_at: float | None = None
        join.add_callback(self._end)

    def _end(self, _: object) -> None:
        self._ended_at = time.monotonic()

    @property
    def is_done(self) -> bool:
        """Whether the client is to begin another one."""
        return self._ended_at is not None and time.monotonic() - self._ended_at > self._lasts_s


class GroupConsumer:
    """A member of the consumer group on one topic. New partitions stay paused until `start` is called."""

    def __init__(self, settings: Settings, topic: str, rules: str = "") -> None:
        """Subscribe; `rules` is what the group's other members can read of this one, see `Member.rules`."""
        self._settings = settings
        self._topic = topic
        self._rules = rules
        self._silent_since: float | None = None
        self._out_since: float | None = None
        self._usable = True
        self._open()

    def _open(self) -> None:
        settings, topic = self._settings, self._topic
        with translated("joining the consumer group", settings):
            self._consumer = new_consumer(
                **connection_options(settings),
                client_id=f"{CLIENT}{self._rules}",
                group_id=settings.group,
                group_instance_id=settings.instance,
                session_timeout_ms=settings.session_timeout,
                heartbeat_interval_ms=min(500, settings.session_timeout // 4),
                max_poll_interval_ms=60_000,
                # Without it the offsets of a zombie's open transaction would not be waited for.
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="none",
                partition_assignment_strategy=[CooperativeStickyAssignor],
                retry_backoff_ms=50,
                metadata_max_age_ms=_METADATA_AGE_MS,
                fetch_max_wait_ms=100,
                # Small, so that partitions with a backlog advance together and not one after the other.
                max_partition_fetch_bytes=256 * 1024,
                # A broker that is frozen or cut off keeps its connections and answers nothing. For a join the
                # client waits longer of itself.
                request_timeout_ms=request_timeout_ms(settings),
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            # A join before the topic's metadata is known can end with an empty assignment for ever.
            self._consumer.topics()
            self._listener = _PauseOnAssignment(self._consumer)
            self._consumer.subscribe([topic], listener=self._listener)

    def poll(self, timeout_ms: int, max_records: int) -> dict[int, list[Record]]:
        """Records by partition, in offset order; empty when none came in time.

        Raises:
            DamagedBatchError, DeletedError: of one partition; it is held from here on, and the others go on.
            UnavailableError: the broker is away, or the client failed and is replaced with the next poll.
            ConfigurationError: the broker does not take our connections.
        """
        self._check_let_in()
        if not self._usable:
            self._consumer.close(autocommit=False, timeout_ms=2_000)
            self._open()
            self._usable = True
        # A connection that fails on our side (no token, no file) ends it. The client starts it again with a
        # join only, and without it never learns that the group has put this member out.
        self._consumer._coordinator._maybe_start_heartbeat_loop()
        try:
            with translated(f"reading {self._topic}", self._settings):
                polled = self._polled(timeout_ms, max_records)
        except (DamagedBatchError, DeletedError) as error:
            self.hold([error.partition])
            raise
        except ClickstreamError:
            raise
        except Exception as error:
            # A fault of the client's own: what it holds by now is not known, and it may hang the next time.
            self._usable = False
            raise UnavailableError(
                f"reading {self._topic}: the Kafka client failed ({type(error).__name__}: {error})",
                "It is replaced by a new one. If that happens again and again, please report it.",
            ) from error
        # A join that outlasts a poll is taken up by the next one only while the client sees a reason to join.
        # New metadata is none any more once a join has begun: the member would stay without heartbeats.
        coordinator = self._consumer._coordinator
        if coordinator._join_task is not None:
            if not isinstance(coordinator._join_task, _OutlastsPolls):
                lasts_s = self._settings.session_timeout / 2_000
                coordinator._join_task = _OutlastsPolls(coordinator._join_task, lasts_s)
            self.rejoin()
        return {tp.partition: records for tp, records in polled.items()}

    def _check_let_in(self) -> None:
        """The client tries to connect for ever, also where it is refused, and says nothing of it."""
        raw: ConsumerGroupMetadata = self._consumer.group_metadata()
        now = time.monotonic()
        if raw.generation_id >= 0 or self._out_since is None:
            self._out_since = None if raw.generation_id >= 0 else now
        elif now - self._out_since > self._settings.patience / 1000:
            self._out_since = now
            if (refused := refusal(self._settings)) is not None:
                raise refused

    def _polled(self, timeout_ms: int, max_records: int) -> dict[Any, list[Record]]:
        try:
            polled: dict[Any, list[Record]] = self._consumer.poll(
                timeout_ms=timeout_ms, max_records=max_records
            )
        except kafka_errors.OffsetOutOfRangeError as error:
            ((tp, offset),) = error.args[0].items()
            raise DeletedError(self._topic, tp.partition, offset) from error
        return polled

    def partitions(self) -> int:
        """How many the topic has, by metadata that is seconds old; 0 where they are not known."""
        return len(self._consumer._cluster.partitions_for_topic(self._topic) or ())

    def assignment(self) -> frozenset[int]:
        """The partitions that are ours by the group's last word."""
        return frozenset(tp.partition for tp in self._consumer.assignment())

    def newly_assigned(self) -> frozenset[int]:
        """Partitions assigned since the last call: a claim from before is void, even where we had one."""
        new = frozenset(self._listener.new)
        self._listener.new -= new
        return new

    def membership(self) -> Membership | None:
        """Ours at this moment; None while we are no member. To be taken right after `poll`.

        Raises:
            FencedError: another process has this instance's name.
        """
        raw: ConsumerGroupMetadata = self._consumer.group_metadata()
        self._check_not_fenced(raw)
        return Membership(raw.generation_id, raw) if raw.generation_id >= 0 and raw.member_id else None

    def _check_not_fenced(self, raw: ConsumerGroupMetadata) -> None:
        # A fenced static member is told so in answer to a heartbeat; the client then only stops its
        # heartbeats and would poll on for ever. Right after a join they have not begun yet.
        beats = self._consumer._coordinator._heartbeat_enabled
        if self._settings.instance is None or beats or raw.state != MemberState.STABLE:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = time.monotonic()
        elif time.monotonic() - self._silent_since > _FENCED_AFTER_S:
            raise FencedError(
                f"another process runs as --instance {self._settings.instance}",
                "Nothing is lost. Run each --instance once only; a supervisor may restart this one.",
            )

    def rejoin(self) -> None:
        """Ask for a new assignment. A group that is settled begins a rebalance for its leader only."""
        self._consumer._coordinator.request_rejoin()

    def committed(self, partition: int, timeout_ms: int) -> CommittedOffset | None:
        """The group's committed offset; None when there is none.

        Raises:
            UnavailableError: no stable answer in time (also while a transaction with offsets is open).
        """
        with translated(f"reading the committed offset of partition {partition}", self._settings):
            found = self._consumer.committed(self._tp(partition), metadata=True, timeout_ms=timeout_ms)
        return (
            None if found is None or found.offset < 0 else CommittedOffset.read(found.offset, found.metadata)
        )

    def log_range(self, partition: int) -> tuple[int, int]:
        """First offset in the log and the one after the last."""
        tp = self._tp(partition)
        with translated(f"reading the offsets of partition {partition}", self._settings):
            begin = self._consumer.beginning_offsets([tp], timeout_ms=self._settings.patience)
            end = self._consumer.end_offsets([tp], timeout_ms=self._settings.patience)
        return begin[tp], end[tp]

    def start(self, partition: int, offset: int) -> None:
        """Deliver records of an assigned partition from `offset` on."""
        with translated(f"seeking in partition {partition}", self._settings):
            self._consumer.seek(self._tp(partition), offset)
            # The client sets aside what it had unpacked of a held partition; once it has unpacked others, it
            # neither delivers that any more nor fetches the partition again.
            self._consumer._fetcher._paused_partition_records.pop(self._tp(partition), None)
            self._consumer.resume(self._tp(partition))

    def hold(self, partitions: Sequence[int]) -> None:
        """Deliver nothing of these partitions until `start`."""
        for partition in partitions:
            if self._tp(partition) in self._consumer.assignment():
                self._consumer.pause(self._tp(partition))

    def lag(self, partition: int) -> int | None:
        """Records not yet delivered, by the last fetch; None before the first."""
        end = self.end(partition)
        try:
            position = self._consumer.position(self._tp(partition), timeout_ms=100)
        except (kafka_errors.KafkaError, AssertionError):
            return None
        return None if end is None else int(end - position)

    def end(self, partition: int) -> int | None:
        """The offset after the last record, by the last fetch; None before the first."""
        with suppress(kafka_errors.KafkaError, AssertionError):
            found: int | None = self._consumer.highwater(self._tp(partition))
            return found
        return None

    def close(self, leave: bool = True) -> None:
        """Leave the group at once, a static member too, so that others need not wait for its timeout.

        `leave` False: another process has our name by now, and must not be taken out in our stead.
        """
        with suppress(kafka_errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=2_000)
        if leave:
            leave_for_good(self._settings)

    def _tp(self, partition: int) -> Any:
        return TopicPartition(self._topic, partition)
