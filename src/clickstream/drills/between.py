"""The network between the nodes of a Kafka, of which one can be cut off while clients reach all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

from clickstream.drills.proxy import Proxy
from clickstream.local.broker import EmbeddedKafka
from clickstream.local.child import HOST
from clickstream.local.cluster import ClusterNode


class BrokerNetwork:
    """Doors between `count` nodes, numbered from 1 on: `PeerDoors` of `local/cluster.py`.

    A node tells all others one address for records, so its own fetches from them cannot be told apart from
    those of the third, and are never cut.
    """

    def __init__(self, count: int) -> None:
        nodes = range(1, count + 1)
        self._records = {node: Proxy() for node in nodes}
        self._controllers = {pair: Proxy() for pair in permutations(nodes, 2)}

    def of(self, node: int) -> str:
        """The address by which the others come to a node for records."""
        return self._records[node].address

    def to_controller(self, node: int, other: int) -> str:
        """The address by which a node reaches the controller of another one."""
        return self._controllers[node, other].address

    def start(self, brokers: Sequence[EmbeddedKafka], undo: Callable[[Callable[[], None]], object]) -> None:
        """Open all doors; `undo` is given what closes them."""
        for broker in brokers:
            if not isinstance(broker, ClusterNode):
                continue
            self._records[broker.node].start((HOST, broker.peer_port))
            host, _, port = broker.controller.rpartition(":")
            for (_, other), door in self._controllers.items():
                if other == broker.node:
                    door.start((host, int(port)))
        for door in (*self._records.values(), *self._controllers.values()):
            undo(door.close)

    def cut_off(self, node: int) -> None:
        """Nobody fetches from a node, and its controller and those of the others do not hear each other."""
        for door in self._around(node):
            door.shut()

    def heal(self, node: int) -> None:
        """Let everything through again."""
        for door in self._around(node):
            door.open()

    def _around(self, node: int) -> list[Proxy]:
        return [
            self._records[node],
            *(door for pair, door in self._controllers.items() if node in pair),
        ]
