"""A producer that does not lose silently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import kafka
from kafka import errors as kafka_errors

from clickstream.infra.kafka.connection import connection_options
from clickstream.infra.kafka.opening import opened
from clickstream.infra.kafka.translation import translated
from clickstream.infra.settings import Settings


def new_producer(settings: Settings, **more: Any) -> Any:
    """The client's producer, idempotent, its waits bounded by `settings.patience`; `more` of its options."""
    options = connection_options(settings) | {
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
        return opened(kafka.KafkaProducer, options | more)


@contextmanager
def reasoned(producer: Any) -> Iterator[None]:
    """Errors of the client's producer that say why.

    Once a request failed, each later call says only that it cannot go on. For a partition that a topic does
    not have, or has no more, there is no error of its own.
    """
    try:
        yield
    except ValueError as error:
        raise kafka_errors.UnknownTopicOrPartitionError(str(error)) from error
    except kafka_errors.KafkaError as error:
        reason = producer._transaction_manager.last_error
        if reason is None or reason is error:
            raise
        raise reason from error


def discard(producer: Any) -> None:
    """Drop what the client's producer still holds, and its connections."""
    # close() flushes first and can wait for ever on a broker that is away; forcing the sender ends it.
    producer._sender.force_close()
    with suppress(kafka_errors.KafkaError):
        producer.close(timeout=1)


class Producer:
    """Idempotent and checked, without transactions: for clicks and heartbeats."""

    def __init__(self, settings: Settings, linger_ms: int = 5) -> None:
        self._settings = settings
        self._producer = new_producer(settings, linger_ms=linger_ms)
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
        with translated(f"sending to {topic}", self._settings), reasoned(self._producer):
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
        with translated("delivering records", self._settings), reasoned(self._producer):
            self._producer.flush(timeout=self._settings.patience / 1000)
        self._check()

    def close(self) -> None:
        """Drop what was not flushed, and the connection."""
        discard(self._producer)

    def _note(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _check(self) -> None:
        if self._failure is not None:
            with translated("delivering records", self._settings):
                raise self._failure
