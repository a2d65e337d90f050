"""One Kafka transaction per step: scores, dead letters and the consumed offsets, all or nothing.

After any failure the outcome is unknown; the producer is dropped, the next one with the same transactional
id settles what was open, and recovery learns from the committed offset which way it went.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence

from clickstream.consumer.ports import TransactionClient
from clickstream.consumer.store import OutboxRecord
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.failpoints import failpoint
from clickstream.infra.kafka import CommittedOffset, Membership, OutgoingRecord
from clickstream.infra.settings import Settings, score_topics

_SLOT = uuid.uuid4().hex[:12]


def transactional_id(settings: Settings) -> str:
    """The name of this process's consumer, in Kafka and in the log.

    Stable with --instance, so that a restart aborts at once what its predecessor left open.
    """
    return f"{settings.group}-{settings.instance or _SLOT}"


class Publisher:
    """Publishes what steps put into outboxes.

    While a topic of scores has as many partitions as the clicks topic (`partitions`), a score goes to the
    partition of its clicks, else to that of its key. Each new producer looks anew: the topic may have been
    created again, with another number. `open_client` takes a transactional id and gives its producer.
    """

    def __init__(
        self, settings: Settings, partitions: int, open_client: Callable[[str], TransactionClient]
    ) -> None:
        self._settings = settings
        self._partitions = partitions
        self._open_client = open_client
        self._topics = score_topics(settings)
        self._aligned: frozenset[str] = frozenset()
        self.transactional_id = transactional_id(settings)
        self._producer: TransactionClient | None = None

    def publish(
        self,
        outboxes: Mapping[int, Sequence[OutboxRecord]],
        offsets: Mapping[int, CommittedOffset],
        membership: Membership,
    ) -> None:
        """Publish the records of each partition's outbox and commit `offsets` with them.

        Raises:
            FencedError: another process has this consumer's identity.
            UnavailableError: not known to be published; recover before anything else.
        """
        producer = self.connect()
        records = [
            self._route(partition, record) for partition, outbox in outboxes.items() for record in outbox
        ]
        try:
            producer.publish(
                records, self._settings.clicks_topic, offsets, membership, lambda: failpoint("after_produce")
            )
        except ClickstreamError:
            self.discard()
            raise

    def connect(self) -> TransactionClient:
        """The producer, with transactions initialised: this fences a former one of the same id."""
        if self._producer is None:
            producer = self._open_client(self.transactional_id)
            try:
                self._aligned = frozenset(
                    topic for topic in self._topics if producer.partitions(topic) == self._partitions
                )
            except ClickstreamError:
                producer.discard()
                raise
            self._producer = producer
        return self._producer

    def fence(self, transactional_id: str) -> None:
        """Abort what a dead or stopped owner of another transactional id left open."""
        self._open_client(transactional_id).discard()

    def discard(self) -> None:
        """Drop the producer; the next publication builds a new one."""
        if self._producer is not None:
            self._producer.discard()
            self._producer = None

    def _route(self, partition: int, record: OutboxRecord) -> OutgoingRecord:
        aligned = record.topic in self._aligned
        return OutgoingRecord(record.topic, partition if aligned else None, record.key or None, record.value)
