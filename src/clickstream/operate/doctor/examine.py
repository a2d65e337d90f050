"""All checks in order; what needs a server that does not answer is left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from clickstream.consumer.state_format import Meta
from clickstream.infra.errors import ClickstreamError, RefusedError
from clickstream.infra.kafka import ClusterAdmin, Topic
from clickstream.infra.settings import Settings
from clickstream.operate.doctor.broker import check_broker, check_group, check_topics, log_range
from clickstream.operate.doctor.certificates import (
    check_kafka_certificates,
    check_redis_certificates,
    check_secret_files,
)
from clickstream.operate.doctor.check import Check, failed
from clickstream.operate.doctor.machine import check_machine
from clickstream.operate.doctor.memory import check_partition_state, check_redis, read_partition_state
from clickstream.operate.doctor.plaintext import check_plaintext
from clickstream.operate.doctor.replication import check_replication
from clickstream.operate.doctor.sentinels import check_sentinels
from clickstream.operate.doctor.writers import check_keys, check_other_groups

HOUR = 3_600_000


def examine(settings: Settings, survive: int = HOUR) -> Iterator[Check]:
    """Run every check; `survive` is the longest loss of Redis to get over, in ms. Changes nothing."""
    yield from check_machine(settings)
    yield from check_secret_files(settings)
    yield from check_plaintext(settings)
    topic: Topic | None = None
    if settings.kafka_bootstrap is not None:
        yield from check_kafka_certificates(settings)
        try:
            with closing(ClusterAdmin(settings)) as admin:
                yield Check("kafka", "ok", f"Kafka at {settings.kafka_bootstrap} answers")
                yield from check_broker(settings, admin)
                topic = admin.describe_topic(settings.clicks_topic)
                yield from check_topics(settings, admin, topic, survive)
                yield from check_replication(settings, admin)
        except ClickstreamError as error:
            topic = None
            yield failed("kafka", error)
    state: dict[int, Meta | RefusedError] | None = None
    if settings.redis_url is not None:
        yield from check_redis_certificates(settings)
        try:
            yield from check_sentinels(settings)
            yield from check_redis(settings)
            if topic is not None:
                state = read_partition_state(settings, topic)
        except ClickstreamError as error:
            yield failed("redis", error)
    if topic is not None:
        try:
            yield from _check_position(settings, topic, state)
        except ClickstreamError as error:
            yield failed("group", error)


def _check_position(
    settings: Settings, topic: Topic, state: dict[int, Meta | RefusedError] | None
) -> Iterator[Check]:
    """Where the group stands in the log; after the state was read, whose offsets are never ahead of these."""
    with closing(ClusterAdmin(settings)) as admin:
        offsets = admin.group_offsets(settings.group, topic.name)
        log = log_range(settings)
        yield from check_group(settings, admin, log, offsets)
        yield from check_keys(settings, topic)
        if admin.describe_topic(settings.scores_topic) is not None:
            yield from check_other_groups(settings, admin, topic)
    if state is not None:
        yield from check_partition_state(settings, topic, state, offsets, log)
