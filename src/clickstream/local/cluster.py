"""Several nodes that are one Kafka, on one machine: each a broker and a controller, every record thrice.

Where a node is lost, another one that has its records leads on; so each comes back as it is, and needs no
`_retire` of its former self.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from clickstream.local.broker import EmbeddedKafka, Notify, cluster_of, new_cluster
from clickstream.local.child import HOST, free_port

_COPIES = 3

# A broker is given up after three seconds of silence, not nine: who waits on one machine waits at a screen.
_TOGETHER = """
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class PeerDoors(Protocol):
    """Doors between nodes; these are numbered from 1 on."""

    def of(self, node: int) -> str:
        """The address by which the others come to a node for records."""
        ...

    def to_controller(self, node: int, other: int) -> str:
        """The address by which a node reaches the controller of another one."""
        ...


class ClusterNode(EmbeddedKafka):
    """One node, with its data in `folder`; `voters` has the addresses by which it reaches all controllers.

    An empty folder is prepared for `cluster`, the id of the whole: so does a node that lost its disk.
    """

    def __init__(
        self,
        node: int,
        voters: Mapping[int, str],
        cluster: str,
        folder: Path,
        port: int | None,
        cache: Path | None,
        notify: Notify,
        doors: Sequence[str],
        peers: str | None,
    ) -> None:
        super().__init__(folder, port or free_port(), cache, notify, doors, peers)
        self.node = node
        self._quorum = voters
        self._cluster = cluster
        copies = min(_COPIES, len(voters))
        self._replication = _TOGETHER.format(copies=copies, in_sync=max(1, copies - 1))

    @property
    def controller(self) -> str:
        """Where its own controller listens."""
        return self._quorum[self.node]

    def _make_ready(self, java: list[str]) -> None:
        if cluster_of(self.folder) is None:
            self._format(java, self._cluster)

    def _voters(self) -> Mapping[int, str]:
        return self._quorum


def embedded_brokers(
    folder: Path,
    count: int,
    port: int | None = None,
    cache: Path | None = None,
    notify: Notify = lambda _: None,
    doors: Callable[[int], Sequence[str]] = lambda _: (),
    between: PeerDoors | None = None,
) -> list[EmbeddedKafka]:
    """One node that is a Kafka by itself, or `count` that are one. Launch all of them, then wait for all.

    Args:
        folder: of one node, its own; of several, that of their folders.
        port: of the first; the others have those that follow. None: free ones.
        doors: by number of the node, from 0 on, its doors: see `EmbeddedKafka`.
        between: doors between the nodes, where there are several.
    """
    if count == 1:
        return [EmbeddedKafka(folder, port, cache, notify, doors(0))]
    nodes = range(1, count + 1)
    folders = [folder / f"node-{node}" for node in nodes]
    ports = [None if port is None else port + at for at in range(count)]
    voters = {node: f"{HOST}:{free_port()}" for node in nodes}
    cluster = next((found for at in folders if (found := cluster_of(at))), None) or new_cluster()

    def reached_by(node: int) -> dict[int, str]:
        return {
            other: where if between is None or other == node else between.to_controller(node, other)
            for other, where in voters.items()
        }

    return [
        ClusterNode(
            node,
            reached_by(node),
            cluster,
            at,
            port,
            cache,
            notify,
            doors(node - 1),
            None if between is None else between.of(node),
        )
        for node, at, port in zip(nodes, folders, ports, strict=True)
    ]
