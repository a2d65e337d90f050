"""The member of a group and the producer of transactions once more, on confluent-kafka (librdkafka).

What a consumer's loop needs of Kafka at each step, and no more: topics, offsets of others, readers and plain
producers are those of `infra/kafka/`. Nothing outside of this package imports the client library.
"""

from clickstream.infra.confluent.group import ConfluentGroupConsumer
from clickstream.infra.confluent.transaction import ConfluentTransactionalProducer

__all__ = ["ConfluentGroupConsumer", "ConfluentTransactionalProducer"]
