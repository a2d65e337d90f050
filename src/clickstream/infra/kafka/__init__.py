"""Kafka, as narrow as we need it. Nothing outside of this package imports the client library.

Every wait has a deadline (`settings.patience`), every failure is one of our errors, and a transaction is
only reported as committed when each of its records was acknowledged before the commit was asked for.
"""

from clickstream.infra.kafka.admin import Admin
from clickstream.infra.kafka.cluster import ClusterAdmin, Replication
from clickstream.infra.kafka.errors import (
    DamagedBatchError,
    DeletedError,
    MissingError,
    RecordRefusedError,
)
from clickstream.infra.kafka.group import GroupConsumer
from clickstream.infra.kafka.partitioner import partition_for
from clickstream.infra.kafka.producer import Producer
from clickstream.infra.kafka.reader import Reader
from clickstream.infra.kafka.records import (
    CommittedOffset,
    DecidedEnds,
    GroupState,
    LogEnd,
    Member,
    Membership,
    OutgoingRecord,
    Record,
    Topic,
)
from clickstream.infra.kafka.topic_log import Extent, TopicLog
from clickstream.infra.kafka.transaction import TransactionalProducer
from clickstream.infra.kafka.unpacking import codecs

__all__ = [
    "Admin",
    "ClusterAdmin",
    "CommittedOffset",
    "DamagedBatchError",
    "DecidedEnds",
    "DeletedError",
    "Extent",
    "GroupConsumer",
    "GroupState",
    "LogEnd",
    "Member",
    "Membership",
    "MissingError",
    "OutgoingRecord",
    "Producer",
    "Reader",
    "Record",
    "RecordRefusedError",
    "Replication",
    "Topic",
    "TopicLog",
    "TransactionalProducer",
    "codecs",
    "partition_for",
]
