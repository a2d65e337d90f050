"""A Valkey Cluster of processes of ours: masters that share the slots, each with a replica."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from clickstream.infra.settings import Settings
from clickstream.local.child import HOST, free_port
from clickstream.local.embedded import EmbeddedValkey
from clickstream.local.replicated import ReplicatedValkey, until

SLOTS = 16_384
_NODE_TIMEOUT_MS = 1_000


class EmbeddedCluster(ReplicatedValkey):
    """`masters` masters; the first `replicas` of them have one replica each."""

    def __init__(self, folder: Path, masters: int = 3, replicas: int = 3) -> None:
        super().__init__(folder, masters, replicas)
        for node in self.nodes:
            node.options = [
                *node.options,
                *("--cluster-enabled", "yes", "--cluster-node-timeout", str(_NODE_TIMEOUT_MS)),
                # However long it was cut off: it is asked to lose writes.
                *("--cluster-replica-validity-factor", "0", "--cluster-port", str(free_port())),
            ]

    def reached_by(self, settings: Settings) -> Settings:
        hosts = ",".join(node.address for node in self.nodes)
        return settings.model_copy(update={"redis_url": SecretStr(f"redis://{hosts}"), "redis_cluster": True})

    def _join(self) -> None:
        first, *others = self.nodes
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        for number, master in enumerate(masters):
            begin, end = (SLOTS * n // len(masters) for n in (number, number + 1))
            self._ask(master, "ADDSLOTSRANGE", begin, end - 1)
            # Without an epoch of its own each would argue with the others about who came first.
            self._ask(master, "SET-CONFIG-EPOCH", number + 1)
        for node in others:
            bus = node.options[-1]
            self._ask(first, "MEET", HOST, node.port, bus)
        until(lambda: all(self._knows(node) == len(self.nodes) for node in self.nodes), "the nodes met")
        for master, replica in zip(masters, replicas, strict=False):
            self._ask(replica, "REPLICATE", self.id_of(master))
        until(lambda: all(self._is_up(node) for node in self.nodes), "the cluster is up")

    def _rejoin(self, node: EmbeddedValkey) -> None:
        """It keeps what it knows of the cluster in its folder."""

    def id_of(self, node: EmbeddedValkey) -> str:
        """The name that the nodes have for each other."""
        return str(self._ask(node, "MYID").decode())

    def move_slot(self, slot: int, to: EmbeddedValkey, midway: Callable[[], None] = lambda: None) -> None:
        """Give a slot and its keys to another master, key by key; `midway` is called once one key is there.

        From then on until the end, scripts on keys of this slot are told to try again.
        """
        source = self.owner_of(slot)
        self._ask(to, "SETSLOT", slot, "IMPORTING", self.id_of(source))
        self._ask(source, "SETSLOT", slot, "MIGRATING", self.id_of(to))
        moved = 0
        with source.client() as client:
            while keys := client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
                client.execute_command("MIGRATE", HOST, to.port, keys[0], 0, 5_000)
                moved += 1
                if moved == 1:
                    midway()
        for node in (to, source, *self.serving()):
            self._ask(node, "SETSLOT", slot, "NODE", self.id_of(to))

    def owner_of(self, slot: int) -> EmbeddedValkey:
        """The master that has a slot."""
        with self.serving()[0].client() as client:
            ranges = client.execute_command("CLUSTER SLOTS")
        (port,) = {int(owner[1]) for begin, end, owner, *_ in ranges if begin <= slot <= end}
        return next(node for node in self.nodes if node.port == port)

    def _knows(self, node: EmbeddedValkey) -> int:
        with node.client() as client:
            return int(client.cluster("INFO")["cluster_known_nodes"])

    def _is_up(self, node: EmbeddedValkey) -> bool:
        with node.client() as client:
            return bool(client.cluster("INFO")["cluster_state"] == "ok")

    def _ask(self, node: EmbeddedValkey, *words: str | int) -> bytes:
        with node.client() as client:
            answer: bytes = client.execute_command("CLUSTER " + str(words[0]), *words[1:])
        return answer
