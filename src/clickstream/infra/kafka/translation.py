"""The errors of kafka-python as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as kafka_errors

from clickstream.infra.kafka.errors import Kind, failure
from clickstream.infra.settings import Settings

_KINDS: tuple[tuple[Kind, tuple[type[Exception], ...]], ...] = (
    (
        "fenced",
        (
            kafka_errors.ProducerFencedError,
            kafka_errors.FencedInstanceIdError,
            kafka_errors.InvalidProducerEpochError,
        ),
    ),
    ("denied", (kafka_errors.AuthorizationError,)),
    ("deleted", (kafka_errors.OffsetOutOfRangeError, kafka_errors.LogTruncationError)),
    ("missing", (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.GroupIdNotFoundError)),
    ("not taken", (kafka_errors.InvalidTimestampError, kafka_errors.InvalidRecordError)),
    ("misconfigured", (kafka_errors.KafkaConfigurationError,)),
    (
        "away",
        (
            kafka_errors.KafkaConnectionError,
            kafka_errors.KafkaTimeoutError,
            kafka_errors.SaslAuthenticationFailedError,
            OSError,
        ),
    ),
)


@contextmanager
def translated(doing: str, settings: Settings) -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except (kafka_errors.KafkaError, OSError) as error:
        kinds = (kind for kind, types in _KINDS if isinstance(error, types))
        raise failure(next(kinds, "failed"), doing, settings, error) from error
