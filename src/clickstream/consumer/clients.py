"""The two clients of Kafka that a consumer's loop can run on, by the setting `kafka_client`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from clickstream.consumer.ports import GroupClient, TransactionClient
from clickstream.infra.extras import need
from clickstream.infra.kafka import GroupConsumer, TransactionalProducer
from clickstream.infra.settings import Settings


class Clients(NamedTuple):
    """How a member of a group is made, on a topic and with its rules, and who takes a transactional id."""

    group: Callable[[Settings, str, str], GroupClient]
    transactions: Callable[[Settings, str], TransactionClient]


def clients_of(settings: Settings) -> Clients:
    """Those of the setting.

    Raises:
        ConfigurationError: it names confluent-kafka, which is not installed.
    """
    if settings.kafka_client == "kafka-python":
        return Clients(GroupConsumer, TransactionalProducer)
    need(
        "fast",
        "CLICKSTREAM_KAFKA_CLIENT=confluent-kafka",
        "confluent_kafka",
        otherwise="Or unset CLICKSTREAM_KAFKA_CLIENT: kafka-python does the same, at a higher cost.",
    )
    from clickstream.infra.confluent import ConfluentGroupConsumer, ConfluentTransactionalProducer

    return Clients(ConfluentGroupConsumer, ConfluentTransactionalProducer)
