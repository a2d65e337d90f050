"""A member of a consumer group, on librdkafka."""

from __future__ import annotations

import json
import struct
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec import Struct

from clickstream.infra.confluent.connection import Refusals
from clickstream.infra.confluent.errors import OUT_OF_RANGE, UNREADABLE, translated
from clickstream.infra.confluent.unreadable import damaged_batch
from clickstream.infra.errors import ClickstreamError, ConfigurationError, UnavailableError
from clickstream.infra.failpoints import failpoint
from clickstream.infra.kafka import (
    CommittedOffset,
    DamagedBatchError,
    DeletedError,
    Membership,
    Record,
)
from clickstream.infra.kafka.admin import Admin, leave_for_good
from clickstream.infra.kafka.connection import CLIENT
from clickstream.infra.settings import Settings

_METADATA_AGE_S = 10.0
_METADATA_WAIT_S = 0.5
_GROUP_METADATA = b"CGMDv2:"
"""What librdkafka begins a member's identity with; the generation follows, a C int of 32 bits."""


class ReadRecord(Struct, gc=False):
    """A Record. It holds nothing that could hold it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int | None
    headers: Any


class ConfluentGroupConsumer:
    """A `consumer.ports.GroupClient`. librdkafka joins and fetches on threads of its own.

    It delivers, and calls us about assignments, inside `poll` only.
    """

    def __init__(self, settings: Settings, topic: str, rules: str = "") -> None:
        """Subscribe; `rules` is what the group's other members can read of this one, see `Member.rules`."""
        self._settings = settings
        self._topic = topic
        self._rules = rules
        self._assigned: set[int] = set()
        self._new: set[int] = set()
        self._next: dict[int, int] = {}
        """By partition that was started, the offset after the last that was delivered or passed over."""
        self._unreadable: deque[DamagedBatchError | DeletedError] = deque()
        self._member_id = ""
        self._fenced = False
        self._replaced_next = False
        self._open()

    def _open(self) -> None:
        settings = self._settings
        self._refusals = Refusals(settings)
        options = self._refusals.options() | {
            "client.id": f"{CLIENT}{self._rules}",
            "group.id": settings.group,
            "session.timeout.ms": settings.session_timeout,
            "heartbeat.interval.ms": min(500, settings.session_timeout // 4),
            "max.poll.interval.ms": max(60_000, settings.session_timeout),
            # Without it the offsets of a zombie's open transaction would not be waited for.
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "partition.assignment.strategy": "cooperative-sticky",
            "topic.metadata.refresh.interval.ms": round(_METADATA_AGE_S * 1000),
            # The end of a partition may lie behind markers of transactions, which are never delivered.
            "enable.partition.eof": True,
            "check.crcs": True,
            "fetch.wait.max.ms": min(100, settings.patience // 2),
            # A partition that is started waits so long for its first fetch.
            "fetch.queue.backoff.ms": 10,
            # Small, so that partitions with a backlog advance together and not one after the other.
            "max.partition.fetch.bytes": 256 * 1024,
            # Of each partition; the default, 100,000, would hold a backlog in memory.
            "queued.min.messages": settings.max_poll_records,
            "queued.max.messages.kbytes": 16_384,
        }
        if settings.instance is not None:
            options["group.instance.id"] = settings.instance
        with translated("joining the consumer group", settings):
            self._consumer = Consumer(options)
            self._refusals.renew(self._consumer)
            try:
                self._partitions = self._count_partitions(min(5.0, settings.patience / 1000))
                self._subscribe()
            except KafkaException:
                self._consumer.poll(0)
                self._consumer.close()
                self._refusals.check()
                raise
        self._counted_at = time.monotonic()

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # At some offset, and held: the true position comes with the claim.
        consumer.incremental_assign([TopicPartition(p.topic, p.partition, 0) for p in partitions])
        consumer.pause(partitions)
        numbers = {p.partition for p in partitions}
        self._forget(numbers)
        self._assigned |= numbers
        self._new |= numbers

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            failpoint("after_revoke")
        self._give_up(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions)
        if self._another_has_our_name():
            self._fenced = True
            # Without a subscription the client does not join anew, which would take the name back from it.
            # Where the broker has told it already, it does nothing any more.
            with suppress(KafkaException):
                consumer.unsubscribe()

    def _another_has_our_name(self) -> bool:
        """Whether a twin is in the group. After a silence librdkafka forgets its own id, and asks nobody."""
        instance = self._settings.instance
        if instance is None or not self._member_id:
            return False
        try:
            with closing(Admin(self._settings)) as admin:
                owner = admin.static_member(self._settings.group, instance)
        except ClickstreamError:
            return False
        return owner is not None and owner != self._member_id

    def _give_up(self, partitions: list[TopicPartition]) -> None:
        numbers = {p.partition for p in partitions}
        self._forget(numbers)
        self._assigned -= numbers

    def _forget(self, partitions: set[int]) -> None:
        for partition in partitions:
            self._next.pop(partition, None)
        self._unreadable = deque(error for error in self._unreadable if error.partition not in partitions)

    def poll(self, timeout_ms: int, max_records: int) -> dict[int, list[Record]]:
        """Records by partition, in offset order; empty when none came in time.

        Raises:
            DamagedBatchError, DeletedError: of one partition; it is held from here on, and the others go on.
            FencedError: another process has this instance's name.
            UnavailableError: the broker reports a fault; the next poll goes on.
        """
        if self._unreadable:
            raise self._unreadable.popleft()
        if self._replaced_next:
            with suppress(KafkaException, RuntimeError):
                self._consumer.close()
            self._give_up([self._tp(partition) for partition in self._assigned])
            self._open()
            self._replaced_next = False
        polled: dict[int, list[Record]] = {}
        with translated(f"reading {self._topic}", self._settings):
            # `consume` would wait until it has as many as it is asked for.
            first = self._consumer.poll(timeout_ms / 1000)
            self._look_for_refusals()
            if self._fenced:
                raise KafkaException(KafkaError(KafkaError.FENCED_INSTANCE_ID))
            if first is not None:
                for message in (first, *self._consumer.consume(max_records - 1, 0)):
                    self._take(message, polled)
        # In the middle of it, a partition may have been taken away and given anew.
        found = {p: records for p, records in polled.items() if p in self._next or self._refused(p)}
        if self._unreadable and not found:
            raise self._unreadable.popleft()
        return found

    def _look_for_refusals(self) -> None:
        try:
            self._refusals.check()
        except KafkaException as error:
            if not self._refusals.outdated:
                raise
            self._replaced_next = True
            raise UnavailableError(
                f"reading {self._topic}: a connection was refused ({error.args[0].str()}), and files of"
                " certificates are others now",
                "A new client takes them up.",
            ) from error

    def _refused(self, partition: int) -> bool:
        return any(error.partition == partition for error in self._unreadable)

    def _take(self, message: Message, polled: dict[int, list[Record]]) -> None:
        partition, offset = message.partition(), message.offset()
        error = message.error()
        if partition is None or partition < 0 or offset is None:
            if error is not None:
                self._take_event(error)
            return
        if (next_offset := self._next.get(partition)) is None:
            return
        if error is not None:
            self._take_event_of(partition, next_offset, offset, error)
        elif offset >= next_offset:
            try:
                record = ReadRecord(
                    self._topic,
                    partition,
                    offset,
                    message.key(),
                    message.value(),
                    message.timestamp()[1],
                    message.headers() or (),
                )
            except (SystemError, UnicodeDecodeError) as fault:
                # Of a header whose name is no text the library makes one of these, now or with the next call.
                self._refuse_batch(partition, offset, str(fault.__cause__ or fault))
                return
            self._next[partition] = offset + 1
            polled.setdefault(partition, []).append(record)

    def _take_event(self, error: KafkaError) -> None:
        if error.code() == KafkaError._FATAL:
            # There is one fault only that ends a member for good.
            raise KafkaException(KafkaError(KafkaError.FENCED_INSTANCE_ID, error.str()))
        # Of one that did not poll for too long, the partitions are taken away by `on_lost`.
        if error.code() != KafkaError._MAX_POLL_EXCEEDED:
            raise KafkaException(error)

    def _take_event_of(self, partition: int, next_offset: int, offset: int, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._next[partition] = max(next_offset, offset)
        elif error.code() in OUT_OF_RANGE:
            self._refuse(DeletedError(self._topic, partition, next_offset))
        elif error.code() in UNREADABLE:
            self._refuse_batch(partition, next_offset, error.str())
        else:
            raise KafkaException(error)

    def _refuse_batch(self, partition: int, offset: int, reason: str) -> None:
        self._refuse(damaged_batch(self._settings, self._topic, partition, offset, reason))

    def _refuse(self, error: DamagedBatchError | DeletedError) -> None:
        self.hold([error.partition])
        self._unreadable.append(error)

    def partitions(self) -> int:
        """How many the topic has, by metadata that is seconds old; 0 where they are not known."""
        if time.monotonic() - self._counted_at > _METADATA_AGE_S:
            self._counted_at = time.monotonic()
            with suppress(KafkaException):
                self._partitions = self._count_partitions(_METADATA_WAIT_S)
        return self._partitions

    def _count_partitions(self, seconds: float) -> int:
        return len(self._consumer.list_topics(self._topic, seconds).topics[self._topic].partitions)

    def assignment(self) -> frozenset[int]:
        """The partitions that are ours by the group's last word."""
        return frozenset(self._assigned)

    def newly_assigned(self) -> frozenset[int]:
        """Partitions assigned since the last call: a claim from before is void, even where we had one."""
        new = frozenset(self._new)
        self._new.clear()
        return new

    def membership(self) -> Membership | None:
        """Ours at this moment; None while we are no member. To be taken right after `poll`."""
        member_id = self._consumer.memberid()
        if not member_id:
            return None
        self._member_id = member_id
        raw: bytes = self._consumer.consumer_group_metadata()
        if not raw.startswith(_GROUP_METADATA):
            raise ConfigurationError(
                f"confluent-kafka {confluent_kafka.__version__} writes a member's identity in a form that is"
                " not known here",
                "Install confluent-kafka==2.16.1, or set CLICKSTREAM_KAFKA_CLIENT=kafka-python.",
            )
        (generation,) = struct.unpack_from("=i", raw, len(_GROUP_METADATA))
        return Membership(generation, raw) if generation >= 0 else None

    def rejoin(self) -> None:
        """Ask for a new assignment. A group that is settled begins a rebalance for its leader only."""
        with translated("joining the consumer group anew", self._settings):
            # To subscribe to the same once more changes nothing: it takes a member that begins anew.
            self._consumer.unsubscribe()
            self._subscribe()

    def committed(self, partition: int, timeout_ms: int) -> CommittedOffset | None:
        """The group's committed offset; None when there is none.

        Raises:
            UnavailableError: no stable answer in time (also while a transaction with offsets is open).
        """
        with translated(f"reading the committed offset of partition {partition}", self._settings):
            (found,) = self._consumer.committed([self._tp(partition)], timeout_ms / 1000)
            if found.error is not None:
                raise KafkaException(found.error)
        if found.offset < 0:
            return None
        try:
            text = found.metadata or ""
            json.loads(text.rstrip("\0") or "{}")
        except ValueError:
            # A text committed by kafka-python has no NUL at its end, and librdkafka adds none: what
            # lies behind it in memory is read with it, and may be no text at all. Ours is JSON.
            return self._committed_exactly(partition, found.offset)
        return CommittedOffset.read(found.offset, text)

    def _committed_exactly(self, partition: int, offset: int) -> CommittedOffset:
        with closing(Admin(self._settings)) as admin:
            exact = admin.group_offsets(self._settings.group, self._topic).get(partition)
        if exact is None or exact.offset != offset:
            raise UnavailableError(
                f"the committed offset of partition {partition} changed while it was read",
                "It is read again.",
            )
        return exact

    def log_range(self, partition: int) -> tuple[int, int]:
        """First offset in the log and the one after the last."""
        with translated(f"reading the offsets of partition {partition}", self._settings):
            begin, end = self._consumer.get_watermark_offsets(
                self._tp(partition), self._settings.patience / 1000
            )
        return begin, end

    def start(self, partition: int, offset: int) -> None:
        """Deliver records of an assigned partition from `offset` on."""
        with translated(f"seeking in partition {partition}", self._settings):
            self._seek(self._tp(partition, offset))
            self._consumer.resume([self._tp(partition)])
        self._next[partition] = offset

    def _seek(self, place: TopicPartition) -> None:
        try:
            self._consumer.seek(place)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:
                raise
            # librdkafka has given up reading it, at an offset that was deleted.
            self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([place])

    def hold(self, partitions: Sequence[int]) -> None:
        """Deliver nothing of these partitions until `start`."""
        ours = self._assigned.intersection(partitions)
        self._forget(ours)
        with translated("holding partitions", self._settings):
            self._consumer.pause([self._tp(partition) for partition in ours])

    def lag(self, partition: int) -> int | None:
        """Records not yet delivered, by the last fetch; None before the first."""
        end, at = self.end(partition), self._next.get(partition)
        return None if end is None or at is None or end < at else end - at

    def end(self, partition: int) -> int | None:
        """The offset after the last record, by the last fetch; None before the first."""
        if partition not in self._next:
            return None
        with suppress(KafkaException, RuntimeError):
            _, end = self._consumer.get_watermark_offsets(self._tp(partition), cached=True)
            return end if end >= 0 else None
        return None

    def close(self, leave: bool = True) -> None:
        """Leave the group at once, a static member too, so that others need not wait for its timeout.

        `leave` False: another process has our name by now, and must not be taken out in our stead.
        """
        with suppress(KafkaException, RuntimeError):
            self._consumer.close()
        if leave:
            leave_for_good(self._settings)

    def _tp(self, partition: int, offset: int = -1001) -> TopicPartition:
        return TopicPartition(self._topic, partition, offset)
