"""Whether what Kafka keeps outlives one of its brokers, and can be written while one is away."""

from __future__ import annotations

from collections.abc import Iterator

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.kafka import ClusterAdmin
from clickstream.infra.settings import Settings, score_topics
from clickstream.infra.words import counted
from clickstream.operate.doctor.check import Check, unread

_OFFSETS, _TRANSACTIONS = "__consumer_offsets", "__transaction_state"
_IN_SYNC = "min.insync.replicas"
_UNCLEAN = "unclean.leader.election.enable"
_ENOUGH = 3


def check_replication(settings: Settings, admin: ClusterAdmin) -> Iterator[Check]:
    """Check copies of our topics and of Kafka's own where there are brokers enough for them.

    Our producers ask for `acks=all`: what counts as written is on `min.insync.replicas` brokers at least.
    """
    brokers = len(admin.brokers())
    if brokers < _ENOUGH:
        return
    ours = (settings.clicks_topic, *score_topics(settings), settings.dead_letter_topic)
    problems = [problem for name in (*ours, _OFFSETS, _TRANSACTIONS) for problem in _topic(admin, name)]
    yield from problems
    if not problems:
        yield Check(
            "kafka",
            "ok",
            f"{brokers} brokers; each topic is on 3 of them or more, all up to date, and a record counts as"
            " written once it is on two",
        )


def _topic(admin: ClusterAdmin, name: str) -> Iterator[Check]:
    found = admin.replication(name)
    if found is None:
        return  # made with the first use; that it is absent others say
    try:
        config = admin.topic_config(name)
    except ConfigurationError as error:
        yield unread("kafka", name, error)
        return
    needed = int(config.get(_IN_SYNC, 1))
    if found.copies < needed:
        yield Check(
            "kafka",
            "fail",
            f"{name} has {found.copies} copies of a record and {_IN_SYNC} {needed}: nothing can be written",
            _lower(name, found.copies - 1),
        )
    elif found.copies < _ENOUGH:
        yield Check(
            "kafka",
            "warn",
            f"{name} is on {counted(found.copies, 'broker')} only: while one is away scoring may stop, and"
            " with the last disk goes what was on it",
            f"Have three: kafka-reassign-partitions --topics-to-move-json-file … (topic {name}), or create it"
            " anew with CLICKSTREAM_REPLICATION_FACTOR=3.",
        )
    elif needed == 1:
        yield Check(
            "kafka",
            "warn",
            f"{name} has {_IN_SYNC} 1: a record counts as written when one broker has it, and goes with it",
            f"kafka-configs --alter --topic {name} --add-config {_IN_SYNC}=2",
        )
    elif needed == found.copies:
        yield Check(
            "kafka",
            "warn",
            f"{name} has {found.copies} copies of a record and {_IN_SYNC} {needed}: while any broker is away,"
            " nothing can be written",
            _lower(name, found.copies - 1),
        )
    if found.in_sync < min(needed, found.copies):
        yield Check(
            "kafka",
            "fail",
            f"{name} has a partition of which {found.in_sync} of {found.copies} copies are up to date, and"
            f" {_IN_SYNC} {needed}: it takes no records",
            "Start the brokers that are away; look at their logs.",
        )
    elif found.in_sync < found.copies:
        yield Check(
            "kafka",
            "warn",
            f"{name} has a partition of which {found.in_sync} of {found.copies} copies are up to date: a"
            " broker is away, or catches up",
            "Start the brokers that are away; look at their logs.",
        )
    if config.get(_UNCLEAN) == "true":
        yield Check(
            "kafka",
            "warn",
            f"{name} has {_UNCLEAN} true: a copy that lacks records may become the leader, and they are lost",
            f"kafka-configs --alter --topic {name} --add-config {_UNCLEAN}=false",
        )


def _lower(name: str, needed: int) -> str:
    return f"kafka-configs --alter --topic {name} --add-config {_IN_SYNC}={max(1, needed)}"
