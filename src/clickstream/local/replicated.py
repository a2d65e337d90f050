"""Valkeys that take over from each other: what Sentinels and a cluster have in common.

Replication is asynchronous, so a failover can lose writes that were acknowledged. `cut_off_replicas` makes
it lose them: the master goes on answering, and its replicas learn nothing more.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import redis

from clickstream.infra.errors import UnavailableError
from clickstream.infra.settings import Settings
from clickstream.local.embedded import EmbeddedValkey

READY_DEADLINE_S = 60.0
OPTIONS = ("--repl-diskless-sync-delay", "0")
"""What each node is started with: a replica that asks for everything need not wait for others who do."""


def until(condition: Callable[[], bool], what: str, deadline_s: float = READY_DEADLINE_S) -> None:
    """Return when `condition` holds, as `holds` has it.

    Raises:
        UnavailableError: it did not come to hold in time.
    """
    deadline = time.monotonic() + deadline_s
    while not holds(condition):
        if time.monotonic() > deadline:
            raise UnavailableError(f"{what}: not within {deadline_s:g} s", "Try again with more time.")
        time.sleep(0.05)


def holds(condition: Callable[[], bool]) -> bool:
    """Whether a condition holds; one that Redis does not answer does not."""
    try:
        return condition()
    except redis.RedisError:
        return False


class ReplicatedValkey(ABC):
    """Several servers of which some are masters, for the length of a `with` block.

    Attributes:
        nodes: all servers that hold data, running or not.
    """

    def __init__(self, folder: Path, masters: int, replicas: int) -> None:
        self._masters = masters
        self._replicas = replicas
        self.nodes = [
            EmbeddedValkey(folder / f"node-{number + 1}", options=OPTIONS)
            for number in range(masters + replicas)
        ]

    @abstractmethod
    def reached_by(self, settings: Settings) -> Settings:
        """The settings by which clients find whoever is master."""

    @abstractmethod
    def _join(self) -> None:
        """Make of the servers that run what they are together."""

    @abstractmethod
    def _rejoin(self, node: EmbeddedValkey) -> None:
        """Prepare a server that died as a master to come back as a replica."""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.stop)
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait_ready()
            self._join()
            until(self.in_step, "the replicas have what the masters have")
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all servers. What they hold is not needed again, and masters would wait for their replicas."""
        for node in self.nodes:
            node.kill()

    def serving(self) -> list[EmbeddedValkey]:
        """The servers that run and say that they are masters."""
        return [node for node in self.nodes if _replication(node)["role"] == "master"]

    def masters(self) -> list[EmbeddedValkey]:
        """Those of them that a replica can take over from."""
        return [node for node in self.nodes if _replication(node).get("connected_slaves")]

    def in_step(self) -> bool:
        """Whether every server runs, and each replica is connected to its master and has all that it has."""
        found = [_replication(node) for node in self.nodes]
        replicas = [one for one in found if one["role"] == "slave"]
        return (
            all("master_repl_offset" in one for one in found)
            and len(replicas) == self._replicas
            and all(one["master_link_status"] == "up" for one in replicas)
        )

    def cut_off_replicas(self, master: EmbeddedValkey) -> None:
        """From here on, what this master acknowledges is lost when it dies; it lets no replica ask again."""
        with master.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-psync", "-sync", "-replconf")
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")

    def let_replicas_in(self, master: EmbeddedValkey) -> None:
        """Take back what `cut_off_replicas` did to a master that lives on."""
        with master.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "+psync", "+sync", "+replconf")

    def written(self, master: EmbeddedValkey) -> int:
        """Bytes of the stream of writes of this master so far."""
        return int(_replication(master).get("master_repl_offset", 0))

    def bring_back(self, node: EmbeddedValkey) -> None:
        """Start a server that died; returns when it is a replica that has everything."""
        self._rejoin(node)
        node.start()
        until(self.in_step, f"{node.address} is a replica again")


def _replication(node: EmbeddedValkey) -> dict[str, Any]:
    if not node.running:
        return {"role": "none"}
    with node.client() as client:
        found: dict[str, Any] = client.info("replication")
    return found
