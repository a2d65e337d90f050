"""Topics, groups and brokers, as their administrator sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any

from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, MemberToRemove, OffsetSpec
from kafka.structs import OffsetAndMetadata, TopicPartition

from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka.connection import CLIENT, connection_options
from clickstream.infra.kafka.errors import MissingError
from clickstream.infra.kafka.opening import opened
from clickstream.infra.kafka.records import CommittedOffset, GroupState, LogEnd, Member, Topic
from clickstream.infra.kafka.translation import translated
from clickstream.infra.settings import Settings

_AS_THE_BROKERS_DO = -1
_EACH_PARTITION_MS = 100
"""What a broker that is short of CPU needs at the most to make one."""
_COORDINATOR_AWAY = (
    kafka_errors.CoordinatorNotAvailableError,
    kafka_errors.NotCoordinatorError,
    kafka_errors.CoordinatorLoadInProgressError,
)


class Admin:
    """Topics, groups and brokers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        with translated("connecting", settings):
            own = {"request_timeout_ms": settings.patience, "retry_backoff_ms": 50}
            self._client = opened(KafkaAdminClient, connection_options(settings) | own)

    def create_topic(
        self, name: str, partitions: int, config: Mapping[str, str], replication_factor: int | None = None
    ) -> Topic:
        """Create a topic, unless it was there, and wait until it has its leaders and is described.

        With three copies or more, one may be away and a record is still on two. None: as the brokers do.

        Raises:
            UnavailableError: the brokers do not know of it within the patience.
        """
        two = {"min.insync.replicas": "2"} if (replication_factor or 0) > 2 else {}
        wait_ms = self._settings.patience + partitions * _EACH_PARTITION_MS
        deadline = time.monotonic() + wait_ms / 1000
        with translated(f"creating topic {name}", self._settings):
            with suppress(kafka_errors.TopicAlreadyExistsError):
                self._client.create_topics(
                    {
                        name: {
                            "num_partitions": partitions,
                            "replication_factor": replication_factor or _AS_THE_BROKERS_DO,
                            "configs": {**two, **config},
                        }
                    },
                    timeout_ms=self._settings.patience,
                )
            self._client.wait_for_topics([name], timeout_ms=wait_ms)
            # Any broker may answer, each as late as it likes: the next one may not have heard of it.
            while (topic := self.describe_topic(name)) is None:
                if time.monotonic() > deadline:
                    raise kafka_errors.KafkaTimeoutError(f"{name} is not known to every broker")
                time.sleep(0.1)
        return topic

    def describe_topic(self, name: str) -> Topic | None:
        """None when there is no such topic."""
        try:
            with translated(f"describing topic {name}", self._settings):
                found = self._client.describe_topics([name])
                if found and found[0].get("error_code") == kafka_errors.TopicAuthorizationFailedError.errno:
                    raise kafka_errors.TopicAuthorizationFailedError({name})
        except MissingError:
            return None
        if not found or found[0].get("error_code") or not found[0].get("partitions"):
            return None
        return Topic(name, str(found[0]["topic_id"]), len(found[0]["partitions"]))

    def topic_config(self, name: str) -> dict[str, str]:
        """All settings of a topic, defaults included.

        Raises:
            ConfigurationError: this user may not see them.
        """
        denied = kafka_errors.TopicAuthorizationFailedError({name})
        return self._config(ConfigResource(ConfigResourceType.TOPIC, name), f"topic {name}", denied)

    def broker_config(self) -> dict[str, str]:
        """All settings of one broker, defaults included. Raises as `topic_config`."""
        with translated("describing the brokers", self._settings):
            cluster = self._client.describe_cluster()
        brokers = cluster["brokers"]
        node = brokers[0].get("broker_id", brokers[0].get("node_id"))
        denied = kafka_errors.ClusterAuthorizationFailedError()
        return self._config(ConfigResource(ConfigResourceType.BROKER, str(node)), "a broker", denied)

    def remove_member(self, group: str, instance: str) -> None:
        """Take a static member out of the group."""
        member = MemberToRemove(group_instance_id=instance)
        self._ask(
            f"removing {instance} from {group}", lambda: self._client.remove_group_members(group, [member])
        )

    def static_member(self, group: str, instance: str) -> str | None:
        """The id that the broker gave to who has this name in the group; None where nobody has it."""
        try:
            described = self._ask(f"describing group {group}", lambda: self._client.describe_groups([group]))
        except MissingError:
            return None
        members = described[group].get("members") or []
        return next((str(m["member_id"]) for m in members if m.get("group_instance_id") == instance), None)

    def group_members(self, group: str) -> int:
        """How many members the group has; 0 when it does not exist."""
        try:
            described = self._ask(f"describing group {group}", lambda: self._client.describe_groups([group]))
        except MissingError:
            return 0
        return len(described[group].get("members") or [])

    def group_state(self, group: str, topic: str) -> GroupState:
        """Who is in the group, and which partitions of `topic` each has; "Dead" when it does not exist."""
        try:
            found = self._ask(f"describing group {group}", lambda: self._client.describe_groups([group]))
        except MissingError:
            return GroupState("Dead", ())
        return GroupState(
            str(found[group]["group_state"]),
            tuple(_member(one, topic) for one in found[group].get("members") or []),
        )

    def log_ends(self, topic: Topic) -> dict[int, LogEnd]:
        """Of each partition."""
        tps = [TopicPartition(topic.name, partition) for partition in range(topic.partitions)]
        with translated(f"reading the offsets of {topic.name}", self._settings):
            ends, newest = (
                self._client.list_partition_offsets(
                    dict.fromkeys(tps, spec), timeout_ms=self._settings.patience
                )
                for spec in (OffsetSpec.LATEST, OffsetSpec.MAX_TIMESTAMP)
            )
        return {
            tp.partition: LogEnd(ends[tp].offset, newest[tp].timestamp if newest[tp].offset >= 0 else None)
            for tp in tps
        }

    def group_offsets(self, group: str, topic: str) -> dict[int, CommittedOffset]:
        """Committed offsets of a group by partition."""
        found = self._ask(
            f"reading the offsets of {group}", lambda: self._client.list_group_offsets([group])[group]
        )
        return {
            tp.partition: CommittedOffset.read(o.offset, o.metadata)
            for tp, o in found.items()
            if tp.topic == topic and o.offset >= 0
        }

    def offsets_of_all_groups(self, topic: str) -> dict[str, dict[int, CommittedOffset]]:
        """Committed offsets on a topic, of every group that has some there."""
        groups = [str(one["group_id"]) for one in self._ask("listing groups", self._client.list_groups)]
        if not groups:
            return {}
        found = self._ask(
            "reading the offsets of all groups", lambda: self._client.list_group_offsets(groups)
        )
        by_group = {
            group: {
                tp.partition: CommittedOffset.read(o.offset, o.metadata)
                for tp, o in offsets.items()
                if tp.topic == topic and o.offset >= 0
            }
            for group, offsets in found.items()
        }
        return {group: offsets for group, offsets in by_group.items() if offsets}

    def set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, CommittedOffset]) -> None:
        """Set a group's offsets; the group must have no members."""
        wanted = {
            TopicPartition(topic, p): OffsetAndMetadata(c.offset, c.metadata, -1) for p, c in offsets.items()
        }
        self._ask(f"setting the offsets of {group}", lambda: self._client.alter_group_offsets(group, wanted))

    def close(self) -> None:
        """Drop the connection."""
        with suppress(kafka_errors.KafkaError):
            self._client.close()

    def _ask(self, doing: str, call: Callable[[], Any]) -> Any:
        """The answer of a group's coordinator, which a young or restarted broker has not yet."""
        deadline = time.monotonic() + self._settings.patience / 1000
        with translated(doing, self._settings):
            while True:
                try:
                    return call()
                except _COORDINATOR_AWAY:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)

    def _config(self, resource: Any, what: str, denied: Exception) -> dict[str, str]:
        with translated(f"reading the configuration of {what}", self._settings):
            described = self._client.describe_configs([resource], config_filter="all")
            entries = next(iter(next(iter(described.values())).values()))
            if not entries:
                raise denied  # which the client passes over
        return {
            name: str(entry["value"] if isinstance(entry, dict) else entry) for name, entry in entries.items()
        }


def _member(described: Mapping[str, Any], topic: str) -> Member:
    # Empty bytes while the group is rebalancing.
    assignment = described.get("member_assignment") or {}
    topics = assignment.get("assigned_partitions", ()) if isinstance(assignment, dict) else ()
    partitions = (p for one in topics if one["topic"] == topic for p in one["partitions"])
    client, member_id = str(described.get("client_id") or ""), str(described["member_id"])
    ours = client.startswith(CLIENT)
    # The broker's id of a member is that of its client, which is long, and a number.
    short = "clickstream" + member_id.removeprefix(client) if ours else member_id
    return Member(
        described.get("group_instance_id") or short,
        tuple(sorted(partitions)),
        client.removeprefix(CLIENT) if ours else "",
    )


def leave_for_good(settings: Settings) -> None:
    """Take the static member of these settings out of its group, which would wait for it else."""
    if settings.instance is not None:
        with suppress(ClickstreamError), closing(Admin(settings)) as admin:
            admin.remove_member(settings.group, settings.instance)
