"""What the engine needs of Kafka, of Redis and of time, and no more. `assembly.py` hands it the real ones.

Every wait has a deadline, `settings.patience`, and every failure is a ClickstreamError. What a client of
Kafka must keep to beyond the signatures is in `tests/integration/test_kafka_contract.py`, tried on a broker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from clickstream.consumer.recall import RecordSpan
from clickstream.consumer.store import Basis, Changes, ClaimedState, LoadedSessions, OutboxRecord
from clickstream.infra.kafka import CommittedOffset, Membership, OutgoingRecord, Record
from clickstream.windows.partition import Needs, PublishedClosing

Clock = Callable[[], float]
"""Seconds since an arbitrary moment; they never go back."""


class ClicksLog(Protocol):
    """The clicks topic, as a claim of a partition looks at it."""

    def committed(self, partition: int, timeout_ms: int, /) -> CommittedOffset | None:
        """The group's committed offset; UnavailableError while a transaction with offsets is open."""

    def log_range(self, partition: int, /) -> tuple[int, int]:
        """First offset in the log and the one after the last."""

    def start(self, partition: int, offset: int, /) -> None:
        """Deliver records of an assigned partition from `offset` on."""


class GroupClient(ClicksLog, Protocol):
    """A member of the group on the clicks topic. What it is assigned delivers nothing until it is started."""

    def poll(self, timeout_ms: int, max_records: int, /) -> dict[int, list[Record]]:
        """Records by partition, in offset order; empty when none came in time.

        Raises:
            DamagedBatchError, DeletedError: of one partition; it is held from here on, and the others go on.
        """

    def membership(self) -> Membership | None:
        """Our membership at this moment; None while we are no member.

        Raises:
            FencedError: another process has this instance's name.
        """

    def partitions(self) -> int:
        """The number of partitions of the topic, by metadata that is seconds old; 0 where it is not known."""

    def assignment(self) -> frozenset[int]:
        """The partitions that the group assigned to us last."""

    def newly_assigned(self) -> frozenset[int]:
        """Partitions assigned since the last call: a claim from before is void, even where we had one."""

    def rejoin(self) -> None:
        """Ask for a new assignment. A group that is settled begins a rebalance for its leader only."""

    def hold(self, partitions: Sequence[int], /) -> None:
        """Deliver nothing of these partitions until `start`."""

    def lag(self, partition: int, /) -> int | None:
        """How many records of a partition are not yet delivered, by the last fetch; None before the first."""

    def end(self, partition: int, /) -> int | None:
        """The offset after the last record of a partition, by the last fetch; None before the first."""

    def close(self, leave: bool = True, /) -> None:
        """Drop the connection, and `leave` the group at once, a static member too."""


class TransactionClient(Protocol):
    """A producer with a transactional id: opening one fences the former, and aborts what it left open."""

    def partitions(self, topic: str, /) -> int:
        """The number of partitions of `topic`."""

    def publish(
        self,
        records: Sequence[OutgoingRecord],
        topic: str,
        offsets: Mapping[int, CommittedOffset],
        membership: Membership,
        before_commit: Callable[[], None],
        /,
    ) -> None:
        """Commit `records` and, for the group, the `offsets` of `topic`'s partitions, all or nothing.

        `before_commit` is called once each record was acknowledged. After any error the outcome is unknown.

        Raises:
            FencedError: another process uses this transactional id.
            UnavailableError: not known to be committed within the deadline, or the group moved on.
        """

    def discard(self) -> None:
        """Drop the connection at once; what is open is aborted by whoever takes the id next."""


class OutboxPublisher(Protocol):
    """Publishes what steps put into outboxes, in transactions of one id."""

    transactional_id: str

    def publish(
        self,
        outboxes: Mapping[int, Sequence[OutboxRecord]],
        offsets: Mapping[int, CommittedOffset],
        membership: Membership,
    ) -> None:
        """Publish the records of each partition's outbox, and commit `offsets` with them, all or nothing."""

    def connect(self) -> object:
        """Take the transactional id, which settles what a former life of this consumer left open."""

    def fence(self, transactional_id: str, /) -> None:
        """Abort what a dead or stopped owner of another transactional id left open."""

    def discard(self) -> None:
        """Drop the connection; the next publication makes a new one."""


class StateStore(Protocol):
    """The state of partitions. Of each, a call does its work whole, or raises LostError: it is not ours."""

    @property
    def round_trips(self) -> int:
        """Requests to the server so far."""

    def claim(
        self, partition: int, token: str, generation: int, transactional_id: str, proven: bool = False
    ) -> ClaimedState:
        """Take the partition over, and read what its last owner left.

        Raises:
            StaleError: an owner of a later group generation claimed it, and we have not `proven` ourselves.
        """

    def load(self, asked: Mapping[int, tuple[Basis, Needs]], /) -> Mapping[int, Callable[[], LoadedSessions]]:
        """Load what steps of partitions need; by partition, a function that gives its sessions or raises."""

    def commit(self, steps: Mapping[int, Changes], /) -> None:
        """Write a step of each partition, all of a partition's part or nothing."""

    def trim(self, committed: Mapping[int, tuple[str, int]], /) -> None:
        """Forget what a transaction published: by partition, our token and the committed offset."""

    def wipe(self, partition: int, token: str) -> None:
        """Delete the partition's state, to build it anew from the log."""

    def close(self) -> None:
        """Drop the connection."""


class PublishedScores(Protocol):
    """The scores topic, as a claim of a partition looks at it."""

    def closed(self, span: RecordSpan, /) -> Mapping[int, Sequence[PublishedClosing]]:
        """What the records of `span` closed, by offset, in the order of closing.

        Raises:
            RefusedError: the topic does not hold all of it.
            UnavailableError: it takes longer; call again.
        """


class Ports(NamedTuple):
    """What the engine is handed."""

    consumer: GroupClient
    publisher: OutboxPublisher
    store: StateStore
    clock: Clock
