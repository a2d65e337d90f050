"""Records and consumed offsets in one transaction, committed when each record was acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import kafka
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata, TopicPartition

from clickstream.infra.errors import ClickstreamError, ConfigurationError
from clickstream.infra.kafka.producer import discard, new_producer, reasoned
from clickstream.infra.kafka.records import CommittedOffset, Membership, OutgoingRecord
from clickstream.infra.kafka.translation import translated
from clickstream.infra.settings import Settings


class TransactionalProducer:
    """Publishes records and consumed offsets in one transaction, each step bounded in time.

    The client's own calls for this wait for ever once the coordinator refused a connection, so the
    transaction manager behind them is used directly; `__init__` checks that its names are still there.
    """

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self._settings = settings
        self.transactional_id = transactional_id
        self._producer = new_producer(
            settings, transactional_id=transactional_id, transaction_timeout_ms=settings.patience, linger_ms=0
        )
        manager, sender = self._producer._transaction_manager, self._producer._sender
        for owner, name in (
            (manager, "begin_commit"),
            (manager, "last_error"),
            (manager, "send_offsets_to_transaction"),
            (sender, "wakeup"),
            (sender, "force_close"),
        ):
            if not hasattr(owner, name):
                raise ConfigurationError(
                    f"kafka-python {kafka.__version__} has no {name}", "Install kafka-python==3.0.12."
                )
        doing = f"initialising transactions of {transactional_id}"
        try:
            with translated(doing, settings), reasoned(self._producer):
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
        manager = self._producer._transaction_manager
        seconds = self._settings.patience / 1000
        until = time.monotonic() + seconds
        with translated("publishing scores", self._settings), reasoned(self._producer):
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
        discard(self._producer)

    def _await(self, result: Any, what: str) -> None:
        self._producer._sender.wakeup()
        if not result.wait(timeout_ms=self._settings.patience):
            raise kafka_errors.KafkaTimeoutError(f"no answer to {what} in {self._settings.patience} ms")
