"""Kafka, as narrow as we need it. No other module imports the client library.

Every wait has a deadline (`settings.patience`), every failure is one of our errors, and a transaction is
only reported as committed when each of its records was acknowledged before the commit was asked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Protocol

import kafka
from kafka import codec
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, MemberToRemove, OffsetSpec
from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.partitioner import murmur2
from kafka.structs import ConsumerGroupMetadata, MemberState, OffsetAndMetadata, TopicPartition

from clickstream.infra.errors import (
    ClickstreamError,
    ConfigurationError,
    FencedError,
    RefusedError,
    UnavailableError,
)
from clickstream.infra.failpoints import failpoint
from clickstream.infra.reach import absence
from clickstream.infra.settings import Settings

# The client logs each retry of a server that is away; what matters reaches the caller as an error.
logging.getLogger("kafka").setLevel(logging.CRITICAL)

_FENCED_AFTER_S = 1.0
_METADATA_AGE_MS = 10_000
"""How long a consumer may not notice that its topic has more partitions; the client's default is 5 min."""
_CLIENT = "clickstream;"
"""Begins the client id of a consumer; its rules follow, so that the group's description carries them."""
_FENCED = (
    kafka_errors.ProducerFencedError,
    kafka_errors.FencedInstanceIdError,
    kafka_errors.InvalidProducerEpochError,
)
_COORDINATOR_AWAY = (
    kafka_errors.CoordinatorNotAvailableError,
    kafka_errors.NotCoordinatorError,
    kafka_errors.CoordinatorLoadInProgressError,
)
_NOT_TAKEN = (kafka_errors.InvalidTimestampError, kafka_errors.InvalidRecordError)
_DENIED = (kafka_errors.AuthorizationError, kafka_errors.SaslAuthenticationFailedError)

_AWAY = (kafka_errors.KafkaConnectionError, kafka_errors.KafkaTimeoutError)


class MissingError(UnavailableError):
    """The broker knows no such topic or group."""


class RecordRefusedError(UnavailableError):
    """The broker answered, and refuses the record itself: its timestamp, or that it has no key."""


class DamagedBatchError(RefusedError):
    """A batch in the log cannot be unpacked; the records before it were delivered.

    `partition`, and `offset`, the first that could not be read.
    """

    def __init__(self, topic: str, partition: int, offset: int, batch: str, reason: str, remedy: str) -> None:
        super().__init__(
            f"partition {partition} of {topic} cannot be read from offset {offset} on: {batch} cannot be"
            f" unpacked ({reason})",
            remedy,
        )
        self.partition = partition
        self.offset = offset


class DeletedError(RefusedError):
    """The log of `partition` does not hold the offset that is to be read next."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(
            f"partition {partition} of {topic} cannot be read from offset {offset} on: the log does not hold"
            " that offset",
            "Retention or a tool deleted it before it was read, or the topic was created anew: those clicks"
            " are lost. To go on without them: stop the consumers, then start one with `clickstream consume"
            f" --restart-from earliest --partition {partition}`: what is open there is forgotten, and what"
            " the log still holds of what was scored is scored again.",
        )
        self.partition, self.offset = partition, offset


class Record(Protocol):
    """A record as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def timestamp(self) -> int | None:
        """In ms; None or -1 where its sender gave none."""


class Outgoing(NamedTuple):
    """A record to publish; `partition` None leaves the choice to the key."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes


class Committed(NamedTuple):
    """An offset (of the next record to process) and the text committed with it."""

    offset: int
    metadata: str


class Topic(NamedTuple):
    """A topic; `id` is unique to this creation of it."""

    name: str
    id: str
    partitions: int


class LogEnd(NamedTuple):
    """The offset after the last record of a partition, and the largest timestamp; None where it is empty."""

    offset: int
    newest: int | None


class Ends(NamedTuple):
    """Of each partition, the offset after the last record that a subscriber with read_committed gets.

    `held`: a transaction that is open holds back records which others have committed by now.
    """

    offsets: dict[int, int]
    held: bool


class Member(NamedTuple):
    """A consumer in a group: its stable name, or the id that the broker gave it, and what it was assigned.

    `rules` is what it gave as the rules it works by; empty where it is not one of ours.
    """

    name: str
    partitions: tuple[int, ...]
    rules: str = ""


class GroupState(NamedTuple):
    """A consumer group by the word of its coordinator: "Stable", "Empty", "PreparingRebalance", "Dead" …"""

    state: str
    members: tuple[Member, ...]


def partition_for(key: bytes, partitions: int) -> int:
    """The partition that the Java client's default partitioner gives a key (murmur2)."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def _absence(settings: Settings) -> tuple[str, str]:
    """Why no broker answers: of the first address where that is a fault."""
    found = ("it cannot be reached", "Set CLICKSTREAM_KAFKA_BOOTSTRAP to host:port.")
    for address in (settings.kafka_bootstrap or "").split(","):
        # As the client reads it: an IPv6 address stands in brackets.
        host, _, port = address.strip().rpartition(":")
        if host and port.isdigit() and int(port) < 2**16:
            return absence(
                host.rpartition("//")[2].strip("[]"), int(port), "Kafka", "CLICKSTREAM_KAFKA_BOOTSTRAP"
            )
    return found


@contextmanager
def translated(doing: str, settings: Settings) -> Iterator[None]:
    """Turn the client's errors into ours."""
    where = f"Kafka at {settings.kafka_bootstrap}"
    try:
        yield
    except _FENCED as error:
        raise FencedError(
            f"{doing}: another process took over ({error})",
            "Nothing is lost. Run each --instance once only; a supervisor may restart this one.",
        ) from error
    except _DENIED as error:
        raise ConfigurationError(
            f"{doing}: {where} refused the credentials or the permission ({error})",
            "Check CLICKSTREAM_KAFKA_USERNAME, CLICKSTREAM_KAFKA_PASSWORD and the topic's ACLs.",
        ) from error
    except (kafka_errors.OffsetOutOfRangeError, kafka_errors.LogTruncationError) as error:
        raise RefusedError(
            f"{doing}: the log does not hold the offset that is needed ({error})",
            "It was deleted by retention or the topic was created anew; see `clickstream consume --help`"
            " for --restart-from.",
        ) from error
    except (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.GroupIdNotFoundError) as error:
        raise MissingError(
            f"{doing}: {where} does not know it ({error})",
            "Check the name; `clickstream replay` and `clickstream consume` create their topics.",
        ) from error
    except _NOT_TAKEN as error:
        raise RecordRefusedError(
            f"{doing}: {where} refuses the record ({error})",
            "Compare the record's timestamp with message.timestamp.before.max.ms and"
            " message.timestamp.after.max.ms of the topic; a compacted topic takes no record without a key."
            " `clickstream doctor` looks at all three.",
        ) from error
    except kafka_errors.KafkaConfigurationError as error:
        raise ConfigurationError(f"{doing}: {error}", "Correct the CLICKSTREAM_KAFKA_… settings.") from error
    except (*_AWAY, OSError) as error:
        what, remedy = _absence(settings)
        raise UnavailableError(f"{doing}: {where} does not answer: {what} ({error})", remedy) from error
    except kafka_errors.KafkaError as error:
        raise UnavailableError(
            f"{doing}: {where} did not do it ({error})",
            "Check that the broker runs and that CLICKSTREAM_KAFKA_BOOTSTRAP names it; `clickstream doctor`"
            " looks at both.",
        ) from error


@contextmanager
def _routed() -> Iterator[None]:
    """The client has no error of its own for a partition that a topic does not have, or has no more."""
    try:
        yield
    except ValueError as error:
        raise kafka_errors.UnknownTopicOrPartitionError(str(error)) from error


def _connection(settings: Settings) -> dict[str, Any]:
    if not settings.kafka_bootstrap:
        raise ConfigurationError(
            "no Kafka is named and no embedded one runs",
            "Start one with `clickstream up`, or set CLICKSTREAM_KAFKA_BOOTSTRAP to host:port.",
        )
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap.split(","),
        "security_protocol": settings.kafka_security_protocol,
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": 500,
        "bootstrap_timeout_ms": min(5_000, settings.patience),
    }
    if settings.kafka_ca_file is not None:
        options["ssl_cafile"] = str(settings.kafka_ca_file)
    if settings.kafka_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        password = settings.kafka_password
        options["sasl_plain_password"] = password.get_secret_value() if password else None
    return options


_CODECS = {
    0: ("none", lambda: True),
    1: ("gzip", codec.has_gzip),
    2: ("snappy", codec.has_snappy),
    3: ("lz4", codec.has_lz4),
    4: ("zstd", codec.has_zstd),
}


def codecs() -> dict[str, bool]:
    """Every codec that a producer may compress with, and whether it can be unpacked here."""
    return {name: bool(there()) for name, there in _CODECS.values()}


class _Batches:
    """The batches of one fetch of a partition; remembers which one is being unpacked."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.current: Any = None

    def next_batch(self) -> Any:
        self.current = None
        self.current = self._records.next_batch()
        return self.current


class _Unpacked(Fetcher.PartitionRecords):  # type: ignore[misc]
    """Records of one fetch of a partition, which end with the first that cannot be unpacked.

    The client's own do not: a generator that raised is exhausted and still there, and the fetcher asks it for
    records for ever, inside one poll.
    """

    def __init__(self, fetch_offset: int, tp: Any, records: Any, **more: Any) -> None:
        self._batches = _Batches(records)
        super().__init__(fetch_offset, tp, self._batches, **more)

    def take(self, n: int | None = None) -> list[Record]:
        """The next records; raises DamagedBatchError where there is one that cannot be unpacked."""
        try:
            taken: list[Record] = super().take(n)
        except Exception as error:
            # Whatever a codec raises: OSError, EOFError, RuntimeError, errors of its own.
            self.drain()
            raise _damaged(
                self.topic_partition, self.next_fetch_offset, self._batches.current, error
            ) from error
        return taken


def _damaged(tp: Any, offset: int, batch: Any, error: Exception) -> DamagedBatchError:
    name, behind = "a batch", "after it"
    if getattr(batch, "magic", 0) == 2:
        packed = _CODECS.get(batch.compression_type, (f"unknown codec {batch.compression_type}",))[0]
        name = f"the batch of offsets {batch.base_offset} to {batch.last_offset}, compression {packed},"
        behind = f"{batch.next_offset}"
    return DamagedBatchError(
        tp.topic,
        tp.partition,
        offset,
        name,
        f"{type(error).__name__}: {error}",
        f"Read it with another client: kafka-console-consumer.sh --topic {tp.topic}"
        f" --partition {tp.partition} --offset {offset}. If that can, `clickstream doctor` names the codec"
        " that is missing here. If none can, its clicks are lost: have them sent again, and set the group's"
        f" offset of this partition behind the batch ({behind}) while no consumer runs, then start one with"
        f" `clickstream consume --restart-from committed --partition {tp.partition}`: what is open there is"
        " forgotten.",
    )


def _reading(**options: Any) -> Any:
    """A consumer of the client's that cannot hang in a batch that it fails to unpack."""
    consumer = kafka.KafkaConsumer(**options)
    if not callable(getattr(consumer._fetcher, "PartitionRecords", None)):
        raise ConfigurationError(
            f"kafka-python {kafka.__version__} has no PartitionRecords", "Install kafka-python==3.0.12."
        )
    consumer._fetcher.PartitionRecords = _Unpacked
    return consumer


def _producer(settings: Settings, **more: Any) -> Any:
    options = _connection(settings) | {
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": "lz4",
        "batch_size": 262_144,
        "retry_backoff_ms": 5,
        "request_timeout_ms": settings.patience - 2_000 if settings.patience > 4_000 else 2_000,
        "delivery_timeout_ms": settings.patience - 1_000 if settings.patience > 4_000 else 3_000,
        "max_block_ms": 5_000,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }
    with translated("connecting a producer", settings):
        return kafka.KafkaProducer(**(options | more))


def _discard(producer: Any) -> None:
    # close() flushes first and can wait for ever on a broker that is away; forcing the sender ends it.
    producer._sender.force_close()
    with suppress(kafka_errors.KafkaError):
        producer.close(timeout=1)


class Producer:
    """Idempotent and checked, without transactions: for clicks and heartbeats."""

    def __init__(self, settings: Settings, linger_ms: int = 5) -> None:
        self._settings = settings
        self._producer = _producer(settings, linger_ms=linger_ms)
        self._failure: Exception | None = None

    def send(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Queue one record; may block on back-pressure.

        Raises:
            UnavailableError: an earlier record could not be delivered, or this one could not be queued.
        """
        self._check()
        with translated(f"sending to {topic}", self._settings), _routed():
            self._producer.send(
                topic,
                value=value,
                key=key,
                headers=list(headers),
                partition=partition,
                timestamp_ms=timestamp,
            ).add_errback(self._note)

    def flush(self) -> None:
        """Wait until every record is acknowledged.

        Raises:
            UnavailableError: one was not.
        """
        with translated("delivering records", self._settings):
            self._producer.flush(timeout=self._settings.patience / 1000)
        self._check()

    def close(self) -> None:
        """Drop what was not flushed, and the connection."""
        _discard(self._producer)

    def _note(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _check(self) -> None:
        if self._failure is not None:
            with translated("delivering records", self._settings):
                raise self._failure


class Membership(NamedTuple):
    """Who we are in the group; goes into each transaction, so that a zombie's is refused."""

    generation: int
    raw: Any


class TransactionalProducer:
    """Publishes records and consumed offsets in one transaction, each step bounded in time.

    The client's own calls for this wait for ever once the coordinator refused a connection, so the
    transaction manager behind them is used directly; `__init__` checks that its names are still there.
    """

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self._settings = settings
        self.transactional_id = transactional_id
        self._producer = _producer(
            settings, transactional_id=transactional_id, transaction_timeout_ms=settings.patience, linger_ms=0
        )
        manager, sender = self._producer._transaction_manager, self._producer._sender
        for owner, name in (
            (manager, "begin_commit"),
            (manager, "send_offsets_to_transaction"),
            (sender, "wakeup"),
            (sender, "force_close"),
        ):
            if not callable(getattr(owner, name, None)):
                raise ConfigurationError(
                    f"kafka-python {kafka.__version__} has no {name}", "Install kafka-python==3.0.12."
                )
        try:
            with translated(f"initialising transactions of {transactional_id}", settings):
                self._producer.init_transactions()
        except ClickstreamError:
            self.discard()
            raise

    def partitions(self, topic: str) -> int:
        """How many `topic` has.

        Raises:
            UnavailableError: the broker does not answer, or knows no such topic.
        """
        with translated(f"reading the partitions of {topic}", self._settings):
            return len(self._producer.partitions_for(topic))

    def publish(
        self,
        records: Sequence[Outgoing],
        topic: str,
        offsets: Mapping[int, Committed],
        membership: Membership,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """Commit `records` and, for the group, the `offsets` of `topic`'s partitions, all or nothing.

        After any error the outcome is unknown and this producer must be discarded.

        Raises:
            FencedError: another process uses this transactional id.
            UnavailableError: not known to be committed within the deadline, or the group moved on.
        """
        manager = self._producer._transaction_manager
        seconds = self._settings.patience / 1000
        until = time.monotonic() + seconds
        with translated("publishing scores", self._settings), _routed():
            self._producer.begin_transaction()
            futures = [
                self._producer.send(r.topic, value=r.value, key=r.key, partition=r.partition) for r in records
            ]
            claims = {
                TopicPartition(topic, p): OffsetAndMetadata(c.offset, c.metadata, -1)
                for p, c in offsets.items()
            }
            if claims:
                self._await(manager.send_offsets_to_transaction(claims, membership.raw), "offsets")
            if futures:
                # A batch that is split as too large is "not done" to it; the records say what became of them.
                with suppress(kafka_errors.UnknownError):
                    self._producer.flush(timeout=seconds)
            # An expired batch does not fail the transaction: without this look it would be lost silently.
            for future in futures:
                if not future.succeeded():
                    future.get(timeout=max(until - time.monotonic(), 0))
            before_commit()
            self._await(manager.begin_commit(), "commit")

    def discard(self) -> None:
        """Free threads and sockets at once; an open transaction is aborted by whoever takes the id next."""
        _discard(self._producer)

    def _await(self, result: Any, what: str) -> None:
        self._producer._sender.wakeup()
        if not result.wait(timeout_ms=self._settings.patience):
            raise kafka_errors.KafkaTimeoutError(f"no answer to {what} in {self._settings.patience} ms")


def fence(settings: Settings, transactional_id: str) -> None:
    """Abort what a dead or stopped owner of this transactional id left open."""
    TransactionalProducer(settings, transactional_id).discard()


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


class GroupConsumer:
    """A member of the consumer group on one topic. New partitions stay paused until `start` is called."""

    def __init__(self, settings: Settings, topic: str, rules: str = "") -> None:
        """Subscribe; `rules` is what the group's other members can read of this one, see `Member.rules`."""
        self._settings = settings
        self._topic = topic
        self._rules = rules
        self._silent_since: float | None = None
        self._usable = True
        self._open()

    def _open(self) -> None:
        settings, topic = self._settings, self._topic
        with translated("joining the consumer group", settings):
            self._consumer = _reading(
                **_connection(settings),
                client_id=f"{_CLIENT}{self._rules}",
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
                request_timeout_ms=61_000,
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
        """
        if not self._usable:
            self._consumer.close(autocommit=False, timeout_ms=2_000)
            self._open()
            self._usable = True
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
        if self._consumer._coordinator._join_task is not None:
            self.rejoin()
        return {tp.partition: records for tp, records in polled.items()}

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

    def committed(self, partition: int, timeout_ms: int) -> Committed | None:
        """The group's committed offset; None when there is none.

        Raises:
            UnavailableError: no stable answer in time (also while a transaction with offsets is open).
        """
        with translated(f"reading the committed offset of partition {partition}", self._settings):
            found = self._consumer.committed(self._tp(partition), metadata=True, timeout_ms=timeout_ms)
        return None if found is None or found.offset < 0 else Committed(found.offset, found.metadata or "")

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
        if leave and self._settings.instance is not None:
            with suppress(ClickstreamError):
                admin = Admin(self._settings)
                try:
                    admin.remove_member(self._settings.group, self._settings.instance)
                finally:
                    admin.close()

    def _tp(self, partition: int) -> Any:
        return TopicPartition(self._topic, partition)


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
            self._consumer = _reading(
                **_connection(settings),
                isolation_level="read_committed" if committed_only else "read_uncommitted",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=100,
                max_partition_fetch_bytes=4 * 1024 * 1024,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            known = self._consumer.topics()
        if topic not in known:
            self.close()
            raise MissingError(
                f"there is no topic {topic!r} at {settings.kafka_bootstrap}",
                "Check the name; `clickstream replay` and `clickstream consume` create their topics.",
            )
        self.partitions = sorted(self._consumer.partitions_for_topic(topic) if only is None else only)
        self._tps = [TopicPartition(topic, p) for p in self.partitions]
        self._consumer.assign(self._tps)

    def beginning_offsets(self) -> dict[int, int]:
        """The first offset of each partition."""
        with translated(f"reading the offsets of {self.topic}", self._settings):
            found = self._consumer.beginning_offsets(self._tps, timeout_ms=self._settings.patience)
        return {tp.partition: offset for tp, offset in found.items()}

    def end_offsets(self) -> dict[int, int]:
        """The offset after the last (committed) record of each partition, now: see `decided_ends`."""
        with translated(f"reading the offsets of {self.topic}", self._settings):
            found = self._consumer.end_offsets(self._tps, timeout_ms=self._settings.patience)
        return {tp.partition: offset for tp, offset in found.items()}

    def decided_ends(self, within_s: float | None = None) -> Ends:
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
                return Ends(ends, held)
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


class Admin:
    """Topics, groups and brokers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        with translated("connecting", settings):
            self._client = KafkaAdminClient(
                **_connection(settings), request_timeout_ms=settings.patience, retry_backoff_ms=50
            )

    def create_topic(
        self, name: str, partitions: int, config: Mapping[str, str], replication_factor: int = 1
    ) -> bool:
        """Create a topic and wait for its leaders; False when it was there."""
        with translated(f"creating topic {name}", self._settings):
            try:
                self._client.create_topics(
                    {
                        name: {
                            "num_partitions": partitions,
                            "replication_factor": replication_factor,
                            "configs": dict(config),
                        }
                    },
                    timeout_ms=self._settings.patience,
                    wait_for_metadata=True,
                )
            except kafka_errors.TopicAlreadyExistsError:
                return False
        return True

    def describe_topic(self, name: str) -> Topic | None:
        """None when there is no such topic."""
        try:
            with translated(f"describing topic {name}", self._settings):
                found = self._client.describe_topics([name])
        except MissingError:
            return None
        if not found or found[0].get("error_code") or not found[0].get("partitions"):
            return None
        return Topic(name, str(found[0]["topic_id"]), len(found[0]["partitions"]))

    def topic_config(self, name: str) -> dict[str, str]:
        """All settings of a topic, defaults included."""
        return self._config(ConfigResource(ConfigResourceType.TOPIC, name), f"topic {name}")

    def broker_config(self) -> dict[str, str]:
        """All settings of one broker, defaults included."""
        with translated("describing the brokers", self._settings):
            cluster = self._client.describe_cluster()
        brokers = cluster["brokers"]
        node = brokers[0].get("broker_id", brokers[0].get("node_id"))
        return self._config(ConfigResource(ConfigResourceType.BROKER, str(node)), "a broker")

    def remove_member(self, group: str, instance: str) -> None:
        """Take a static member out of the group."""
        member = MemberToRemove(group_instance_id=instance)
        self._ask(
            f"removing {instance} from {group}", lambda: self._client.remove_group_members(group, [member])
        )

    def group_members(self, group: str) -> int:
        """How many members the group has; 0 when it does not exist."""
        try:
            described = self._ask(f"describing group {group}", lambda: self._client.describe_groups([group]))
        except MissingError:
            return 0
        return len(described[group].get("members") or [])

    def group_state(self, group: str, topic: str) -> GroupState:
        """Who is in the group, and which partitions of `topic` each has; "Dead" when it does not exist."""
        try:
            found = self._ask(f"describing group {group}", lambda: self._client.describe_groups([group]))
        except MissingError:
            return GroupState("Dead", ())
        return GroupState(
            str(found[group]["group_state"]),
            tuple(_member(one, topic) for one in found[group].get("members") or []),
        )

    def log_ends(self, topic: Topic) -> dict[int, LogEnd]:
        """Of each partition."""
        tps = [TopicPartition(topic.name, partition) for partition in range(topic.partitions)]
        with translated(f"reading the offsets of {topic.name}", self._settings):
            ends, newest = (
                self._client.list_partition_offsets(
                    dict.fromkeys(tps, spec), timeout_ms=self._settings.patience
                )
                for spec in (OffsetSpec.LATEST, OffsetSpec.MAX_TIMESTAMP)
            )
        return {
            tp.partition: LogEnd(ends[tp].offset, newest[tp].timestamp if newest[tp].offset >= 0 else None)
            for tp in tps
        }

    def group_offsets(self, group: str, topic: str) -> dict[int, Committed]:
        """Committed offsets of a group by partition."""
        found = self._ask(
            f"reading the offsets of {group}", lambda: self._client.list_group_offsets([group])[group]
        )
        return {
            tp.partition: Committed(o.offset, o.metadata or "")
            for tp, o in found.items()
            if tp.topic == topic and o.offset >= 0
        }

    def offsets_of_all_groups(self, topic: str) -> dict[str, dict[int, Committed]]:
        """Committed offsets on a topic, of every group that has some there."""
        groups = [str(one["group_id"]) for one in self._ask("listing groups", self._client.list_groups)]
        if not groups:
            return {}
        found = self._ask(
            "reading the offsets of all groups", lambda: self._client.list_group_offsets(groups)
        )
        by_group = {
            group: {
                tp.partition: Committed(o.offset, o.metadata or "")
                for tp, o in offsets.items()
                if tp.topic == topic and o.offset >= 0
            }
            for group, offsets in found.items()
        }
        return {group: offsets for group, offsets in by_group.items() if offsets}

    def set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, Committed]) -> None:
        """Set a group's offsets; the group must have no members."""
        wanted = {
            TopicPartition(topic, p): OffsetAndMetadata(c.offset, c.metadata, -1) for p, c in offsets.items()
        }
        self._ask(f"setting the offsets of {group}", lambda: self._client.alter_group_offsets(group, wanted))

    def close(self) -> None:
        """Drop the connection."""
        with suppress(kafka_errors.KafkaError):
            self._client.close()

    def _ask(self, doing: str, call: Callable[[], Any]) -> Any:
        """The answer of a group's coordinator, which a young or restarted broker has not yet."""
        deadline = time.monotonic() + self._settings.patience / 1000
        with translated(doing, self._settings):
            while True:
                try:
                    return call()
                except _COORDINATOR_AWAY:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)

    def _config(self, resource: Any, what: str) -> dict[str, str]:
        with translated(f"reading the configuration of {what}", self._settings):
            described = self._client.describe_configs([resource], config_filter="all")
        entries = next(iter(next(iter(described.values())).values()))
        return {
            name: str(entry["value"] if isinstance(entry, dict) else entry) for name, entry in entries.items()
        }


def _member(described: Mapping[str, Any], topic: str) -> Member:
    # Empty bytes while the group is rebalancing.
    assignment = described.get("member_assignment") or {}
    topics = assignment.get("assigned_partitions", ()) if isinstance(assignment, dict) else ()
    partitions = (p for one in topics if one["topic"] == topic for p in one["partitions"])
    client, member_id = str(described.get("client_id") or ""), str(described["member_id"])
    ours = client.startswith(_CLIENT)
    # The broker's id of a member is that of its client, which is long, and a number.
    short = "clickstream" + member_id.removeprefix(client) if ours else member_id
    return Member(
        described.get("group_instance_id") or short,
        tuple(sorted(partitions)),
        client.removeprefix(_CLIENT) if ours else "",
    )
