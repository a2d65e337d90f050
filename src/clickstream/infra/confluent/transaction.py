"""Records and consumed offsets in one transaction, committed when each record was acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from clickstream.infra.confluent.bounded import bounded
from clickstream.infra.confluent.connection import Refusals
from clickstream.infra.confluent.errors import translated
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka import CommittedOffset, Membership, OutgoingRecord
from clickstream.infra.settings import Settings

_ANY = -1
"""The partitioner chooses."""

_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)


class _Failures:
    """The first record that could not be delivered. No part of the producer, so that no circle keeps it."""

    def __init__(self) -> None:
        self._first: KafkaError | None = None

    def note(self, error: KafkaError | None, _: object) -> None:
        """Called by the client with the fate of a record; of those delivered it is not.

        Once one has failed, the client purges the others. Should only that be known, the commit says why.
        """
        if error is not None and error.code() not in _PURGED:
            self._first = self._first or error

    def check(self) -> None:
        if self._first is not None:
            raise KafkaException(self._first)


class ConfluentTransactionalProducer:
    """A `consumer.ports.TransactionClient`; each of its waits is bounded by `settings.patience`."""

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self._settings = settings
        self.transactional_id = transactional_id
        self._failures, self._refusals = _Failures(), Refusals(settings)
        self._seconds = settings.patience / 1000
        with translated(f"initialising transactions of {transactional_id}", settings):
            self._producer: Producer | None = Producer(
                self._refusals.options()
                | {
                    "transactional.id": transactional_id,
                    "transaction.timeout.ms": settings.patience,
                    "message.timeout.ms": max(settings.patience - 1_000, 1_000),
                    # The broker refuses what comes while it still ends the transaction before, for some ms.
                    "retry.backoff.ms": 5,
                    "compression.type": "lz4",
                    "batch.size": 262_144,
                    # A flush does not wait for it.
                    "linger.ms": 5,
                    # As Java and kafka-python place keys; those without one anywhere.
                    "partitioner": "murmur2_random",
                    # A step holds what it publishes anyway.
                    "queue.buffering.max.messages": 0,
                    "queue.buffering.max.kbytes": 2_147_483_647,
                    "delivery.report.only.error": True,
                    "on_delivery": self._failures.note,
                }
            )
        try:
            with self._asking(f"initialising transactions of {transactional_id}") as producer:
                bounded(producer.init_transactions, self._seconds)
        except ClickstreamError:
            self.discard()
            raise

    def partitions(self, topic: str) -> int:
        """How many `topic` has.

        Raises:
            UnavailableError: the broker does not answer, or knows no such topic.
        """
        with self._asking(f"reading the partitions of {topic}") as producer:
            found = producer.list_topics(topic, self._seconds).topics[topic]
            if found.error is not None:
                raise KafkaException(found.error)
            return len(found.partitions)

    def publish(
        self,
        records: Sequence[OutgoingRecord],
        topic: str,
        offsets: Mapping[int, CommittedOffset],
        membership: Membership,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """Commit `records` and, for the group, the `offsets` of `topic`'s partitions, all or nothing.

        After any error the outcome is unknown and this producer must be discarded.

        Raises:
            FencedError: another process uses this transactional id.
            UnavailableError: not known to be committed within the deadline, or the group moved on.
        """
        # Where one of them is not permitted, the library does not say which.
        topics = ", ".join(sorted({record.topic for record in records}))
        with self._asking(f"publishing scores to {topics}" if topics else "publishing offsets") as producer:
            producer.begin_transaction()
            claims = [TopicPartition(topic, p, c.offset, c.metadata) for p, c in offsets.items()]
            if claims:
                # Before the records: while the broker still ends the transaction before, this is asked again
                # after 5 ms, and a partition for records after 20, whatever `retry.backoff.ms` says.
                bounded(partial(producer.send_offsets_to_transaction, claims, membership.raw), self._seconds)
            for record in records:
                partition = _ANY if record.partition is None else record.partition
                producer.produce(record.topic, record.value, record.key, partition)
            left = producer.flush(self._seconds)
            self._failures.check()
            if left:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{left} records not acknowledged"))
            before_commit()
            bounded(producer.commit_transaction, self._seconds)

    def discard(self) -> None:
        """Free threads and sockets at once; an open transaction is aborted by whoever takes the id next."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()

    @contextmanager
    def _asking(self, doing: str) -> Iterator[Producer]:
        """The producer; its error is that of our credentials, where they were refused meanwhile."""
        with translated(doing, self._settings):
            if self._producer is None:
                raise KafkaException(KafkaError(KafkaError._STATE, "this producer was discarded"))
            try:
                yield self._producer
            except SystemError as error:
                # A fatal error that the client met on its way to report a record.
                if isinstance(error.__cause__, KafkaException):
                    raise error.__cause__ from error
                raise
            except KafkaException:
                self._producer.poll(0)
                self._refusals.check()
                raise
