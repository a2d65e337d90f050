"""What each role may do, and no more: the one table of it, as the ACLs of Kafka and of Redis."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from clickstream.infra.settings import Settings, opens


class Role(StrEnum):
    """Who comes to the servers."""

    CONSUMER = "consumer"
    PRODUCER = "producer"
    SUBSCRIBER = "subscriber"
    TRAINER = "trainer"
    DASHBOARD = "dashboard"
    LOOK_UP = "look-up"
    AUDITOR = "auditor"
    FORGETTER = "forgetter"
    TOPIC_CREATOR = "topic-creator"
    SCALER = "scaler"


Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
Resource = Literal["topic", "group", "transactional-id"]


@dataclass(frozen=True)
class KafkaRight:
    """One operation on one resource, or with `prefix` on all whose names begin so.

    Read and Write include Describe; Create does not.
    """

    operation: Operation
    resource: Resource
    name: str
    prefix: bool = False

    @property
    def written(self) -> str:
        """The name, with a star for what may follow it."""
        return f"{self.name}*" if self.prefix else self.name


@dataclass(frozen=True)
class RedisRights:
    """Commands, on keys that match `pattern`; with `read` these keys are not written."""

    commands: tuple[str, ...]
    pattern: str
    read: bool

    def rules(self, cluster: bool) -> tuple[str, ...]:
        """The words of ACL SETUSER that give a user who has nothing exactly these."""
        commands = (*self.commands, *(_CLUSTER if cluster else ()))
        return (f"{'%R' if self.read else ''}~{self.pattern}", *(f"+{name}" for name in commands))


# What the scripts of a consumer call counts as called by its user.
_SCRIPTS = ("type", "get", "set", "del", "hget", "hset", "hdel", "hlen", "hmget", "hgetall", "zadd", "zrem",
            "zcard", "zrange", "zrangebyscore", "xadd", "xlen", "xrange", "xtrim")  # fmt: skip
_WRITER = ("ping", "evalsha", "script|load", *_SCRIPTS)
_FORGETTER = ("ping", "multi", "exec", "hgetall", "hmget", "hexists", "getrange")
_READER = ("ping", "multi", "exec", "hgetall", "hmget", "hexists", "get", "getrange", "zrevrange")
_CLUSTER = ("cluster|slots", "command", "asking")


def kafka_rights(role: Role, settings: Settings, subscriber: str = "subscriber") -> tuple[KafkaRight, ...]:
    """What a role needs of Kafka, with the topics and the group of `settings`.

    All but the topic-creator find the topics there. `subscriber` is the group of a program that reads
    scores.
    """
    clicks, scores, letters = settings.clicks_topic, settings.scores_topic, settings.dead_letter_topic
    opened = (settings.open_scores_topic,) if opens(settings) else ()
    own_group = settings.group
    match role:
        case Role.CONSUMER:
            return (
                # Scores are read where a state that Redis lost is made again.
                *_on("Read", clicks, scores),
                # Heartbeats of a partition that is silent go where the clicks are.
                *_on("Write", clicks, scores, *opened, letters),
                KafkaRight("Read", "group", own_group),
                # Also that of a dead consumer, to abort what it left open.
                KafkaRight("Write", "transactional-id", f"{own_group}-", prefix=True),
            )
        case Role.PRODUCER:
            return _on("Write", clicks)
        case Role.SUBSCRIBER:
            return (*_on("Read", scores, *opened), KafkaRight("Read", "group", subscriber))
        case Role.TRAINER:
            return _on("Read", clicks)
        case Role.LOOK_UP:
            return _on("Describe", clicks)
        case Role.FORGETTER:
            others = (scores, settings.open_scores_topic, letters)
            return (
                *_on("Write", clicks),
                *_on("Describe", *others),
                # How long they keep what they hold.
                *_on("DescribeConfigs", clicks, *others),
                KafkaRight("Describe", "group", own_group),
            )
        case Role.TOPIC_CREATOR:
            all_topics = (clicks, scores, *opened, letters)
            return (*_on("Describe", *all_topics), *_on("Create", *all_topics))
        case Role.SCALER:
            # What waits: the ends of the log less what the group has committed.
            return (*_on("Describe", clicks), KafkaRight("Describe", "group", own_group))
        case Role.DASHBOARD | Role.AUDITOR:
            return (
                *_on("Read", clicks, scores, letters, *(opened if role is Role.AUDITOR else ())),
                KafkaRight("Describe", "group", own_group),
            )


def redis_rights(role: Role, settings: Settings) -> RedisRights | None:
    """What a role needs of Redis; None: it does not come there."""
    pattern = f"clickstream:{_literally(settings.group)}:*"
    match role:
        case Role.CONSUMER:
            return RedisRights(_WRITER, pattern, read=False)
        case Role.DASHBOARD | Role.LOOK_UP:
            return RedisRights(_READER, pattern, read=True)
        case Role.FORGETTER:
            return RedisRights(_FORGETTER, pattern, read=True)
        case _:
            return None


def kafka_commands(rights: Sequence[KafkaRight], user: str, bootstrap: str) -> Iterator[str]:
    """The lines that give `user` these rights, one for each resource."""
    resources = dict.fromkeys((right.resource, right.name, right.prefix) for right in rights)
    for resource, name, prefix in resources:
        operations = (
            r.operation for r in rights if (r.resource, r.name, r.prefix) == (resource, name, prefix)
        )
        yield " ".join(
            [
                f"kafka-acls.sh --bootstrap-server {shlex.quote(bootstrap)} --add",
                f"--allow-principal {shlex.quote(f'User:{user}')}",
                *(f"--operation {operation}" for operation in operations),
                f"--{resource} {shlex.quote(name)}",
                *(["--resource-pattern-type prefixed"] if prefix else []),
            ]
        )


def redis_command(rights: RedisRights, user: str, cluster: bool) -> str:
    """The line for `redis-cli` that makes `user` one with exactly these rights."""
    rules = " ".join(rights.rules(cluster))
    return f"ACL SETUSER {user} reset on >PASSWORD {rules}"


def _on(operation: Operation, *topics: str) -> tuple[KafkaRight, ...]:
    return tuple(KafkaRight(operation, "topic", topic) for topic in topics)


def _literally(name: str) -> str:
    return "".join(f"\\{one}" if one in "*?[]\\" else one for one in name)
