"""A master, a replica, and Sentinels that watch them and make the replica the master where need be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import redis
from pydantic import SecretStr

from clickstream.infra.settings import Settings
from clickstream.local.child import HOST
from clickstream.local.embedded import EmbeddedValkey, find_valkey
from clickstream.local.replicated import OPTIONS, ReplicatedValkey, until

SERVICE = "clickstream"
_DOWN_AFTER_MS = 1_000


class EmbeddedSentinel(EmbeddedValkey):
    """One Sentinel of `quorum`, which learns of the others by the master at `watched()`."""

    name = "Sentinel"

    def __init__(self, folder: Path, quorum: int, watched: Callable[[], int]) -> None:
        super().__init__(folder)
        self._quorum = quorum
        self._watched = watched

    def _prepare(self) -> list[str]:
        configuration = self.folder / "sentinel.conf"
        configuration.write_text(
            f"bind {HOST}\n"
            f"port {self.port}\n"
            f'dir "{self.folder}"\n'
            f"sentinel monitor {SERVICE} {HOST} {self._watched()} {self._quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
        )
        return [find_valkey(), str(configuration), "--sentinel"]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.info("server")["process_id"] == self.pid)
        except redis.RedisError:
            return False


class EmbeddedSentinels(ReplicatedValkey):
    """A master and a replica, watched by `sentinels`, of which a majority decides."""

    def __init__(self, folder: Path, sentinels: int = 3) -> None:
        super().__init__(folder, 1, 1)
        self.sentinels = [
            EmbeddedSentinel(folder / f"sentinel-{i + 1}", sentinels // 2 + 1, lambda: self.nodes[0].port)
            for i in range(sentinels)
        ]

    def reached_by(self, settings: Settings) -> Settings:
        hosts = ",".join(sentinel.address for sentinel in self.sentinels)
        return settings.model_copy(
            update={"redis_url": SecretStr(f"redis://{hosts}/0"), "redis_sentinel_service": SERVICE}
        )

    def stop(self) -> None:
        for sentinel in self.sentinels:
            sentinel.kill()
        super().stop()

    def _join(self) -> None:
        master, replica = self.nodes
        with replica.client() as client:
            client.replicaof(HOST, master.port)
        until(self.in_step, "the replica has what the master has")
        for sentinel in self.sentinels:
            sentinel.launch()
        for sentinel in self.sentinels:
            sentinel.wait_ready()
        until(self._know_each_other, "the Sentinels know each other and the replica")

    def _know_each_other(self) -> bool:
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                found = client.sentinel_master(SERVICE)
            if (found["num-other-sentinels"], found["num-slaves"]) != (len(self.sentinels) - 1, 1):
                return False
        return True

    def _rejoin(self, node: EmbeddedValkey) -> None:
        # Else it comes back as a master, and the Sentinels take their time to tell it otherwise.
        (master,) = (one for one in self.nodes if one is not node)
        node.options = [*OPTIONS, "--replicaof", HOST, str(master.port)]
