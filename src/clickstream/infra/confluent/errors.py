"""The errors of librdkafka as ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from clickstream.infra.kafka.errors import Kind, failure
from clickstream.infra.settings import Settings

_KINDS: Mapping[int, Kind] = {
    KafkaError._FENCED: "fenced",
    KafkaError.PRODUCER_FENCED: "fenced",
    KafkaError.INVALID_PRODUCER_EPOCH: "fenced",
    KafkaError.FENCED_INSTANCE_ID: "fenced",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "denied",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "denied",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "denied",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "denied",
    KafkaError.OFFSET_OUT_OF_RANGE: "deleted",
    KafkaError._AUTO_OFFSET_RESET: "deleted",
    KafkaError._LOG_TRUNCATION: "deleted",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "missing",
    KafkaError._UNKNOWN_TOPIC: "missing",
    KafkaError._UNKNOWN_PARTITION: "missing",
    KafkaError.GROUP_ID_NOT_FOUND: "missing",
    KafkaError.INVALID_TIMESTAMP: "not taken",
    KafkaError.INVALID_RECORD: "not taken",
    KafkaError._INVALID_ARG: "misconfigured",
    KafkaError._AUTHENTICATION: "away",
    KafkaError.SASL_AUTHENTICATION_FAILED: "away",
    KafkaError._SSL: "away",
    KafkaError._TRANSPORT: "away",
    KafkaError._RESOLVE: "away",
    KafkaError._ALL_BROKERS_DOWN: "away",
    KafkaError._TIMED_OUT: "away",
    KafkaError._TIMED_OUT_QUEUE: "away",
    KafkaError._MSG_TIMED_OUT: "away",
    KafkaError.REQUEST_TIMED_OUT: "away",
}

UNREADABLE = frozenset(
    (
        KafkaError._BAD_MSG,
        KafkaError._BAD_COMPRESSION,
        KafkaError._UNDERFLOW,
        KafkaError._NOT_IMPLEMENTED,
        KafkaError.INVALID_MSG,
    )
)
"""A batch that librdkafka could not unpack, and skips."""

OUT_OF_RANGE = frozenset(
    (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION)
)
"""The log does not hold the offset that is next."""


@contextmanager
def translated(doing: str, settings: Settings) -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except KafkaException as error:
        said: KafkaError = error.args[0]
        raise failure(_KINDS.get(said.code(), "failed"), doing, settings, said.str()) from error
