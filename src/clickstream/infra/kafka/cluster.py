"""A Kafka of several brokers: which of them does what, and whether each record is where it must be."""

from __future__ import annotations

from typing import Any, NamedTuple

from kafka.protocol.metadata import CoordinatorType

from clickstream.infra.kafka.admin import Admin
from clickstream.infra.kafka.translation import translated


class Replication(NamedTuple):
    """Of a topic: copies of the partition that has fewest, and how many of those of one are up to date."""

    copies: int
    in_sync: int


class ClusterAdmin(Admin):
    """An administrator who looks at brokers one by one. Brokers are named by their ids."""

    def brokers(self) -> frozenset[int]:
        """Those that serve."""
        with translated("describing the brokers", self._settings):
            found = self._client.describe_cluster()["brokers"]
        return frozenset(int(one.get("broker_id", one.get("node_id"))) for one in found)

    def leader(self, topic: str, partition: int) -> int:
        """Who takes the records of a partition; -1 for nobody."""
        return next(int(p["leader_id"]) for p in self._partitions(topic) if p["partition_index"] == partition)

    def group_coordinator(self, group: str) -> int:
        """Who has the members and the offsets of a group."""
        return self._coordinator(group, CoordinatorType.GROUP)

    def transaction_coordinator(self, transactional_id: str) -> int:
        """Who decides the transactions of a producer."""
        return self._coordinator(transactional_id, CoordinatorType.TRANSACTION)

    def active_controller(self) -> int:
        """Who decides for all: leads the log of the cluster's own metadata."""
        with translated("describing the quorum", self._settings):
            quorum = self._client.describe_metadata_quorum()
        return int(quorum["topics"][0]["partitions"][0]["leader_id"])

    def replication(self, topic: str) -> Replication | None:
        """How many copies there are; None where there is no such topic."""
        partitions = self._partitions(topic)
        if not partitions:
            return None
        return Replication(
            min(len(p["replica_nodes"]) for p in partitions), min(len(p["isr_nodes"]) for p in partitions)
        )

    def whole(self) -> bool:
        """Whether every copy of every partition, those of Kafka's own topics too, is up to date."""
        with translated("describing all topics", self._settings):
            topics = self._client.describe_topics()
        return all(set(p["isr_nodes"]) == set(p["replica_nodes"]) for t in topics for p in t["partitions"])

    def _partitions(self, topic: str) -> list[dict[str, Any]]:
        with translated(f"describing topic {topic}", self._settings):
            found = self._client.describe_topics([topic])
        return found[0].get("partitions") or [] if found else []

    def _coordinator(self, key: str, kind: CoordinatorType) -> int:
        client = self._client
        return int(
            self._ask(
                f"looking for the coordinator of {key}",
                lambda: client._manager.run(client._find_coordinator_id, key, kind),
            )
        )
