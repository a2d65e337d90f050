"""The system that a drill is played on: servers, doors to them, consumers that are kept alive, a load."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import SecretStr
from redis.crc import key_slot

from clickstream.consumer.state_format import state_keys
from clickstream.consumer.topics import prepare_topics
from clickstream.drills.between import BrokerNetwork
from clickstream.drills.load import ReplayLoad
from clickstream.drills.proxy import Proxy
from clickstream.infra.errors import ClickstreamError, FencedError, UnavailableError
from clickstream.infra.kafka import ClusterAdmin, CommittedOffset, Reader
from clickstream.infra.settings import Settings
from clickstream.local.child import HOST
from clickstream.local.cluster import embedded_brokers
from clickstream.local.embedded import EmbeddedKafka, EmbeddedValkey
from clickstream.local.processes import Process
from clickstream.local.replicated import ReplicatedValkey
from clickstream.local.sentinels import EmbeddedSentinels
from clickstream.local.valkey_cluster import EmbeddedCluster

T = TypeVar("T")

_LOOK_EVERY_S = 0.05
_DISK = "512m"
_AWAY = 69
_LOOK_PATIENCE_MS = 3_000
# One that was still loading its libraries has no handler yet, and nothing to finish.
_STOPPED = (0, -signal.SIGTERM, 128 + signal.SIGTERM)


class NotPossibleError(ClickstreamError):
    """This machine or this drill cannot play the fault; it is left out and said so."""


class NotReachedError(ClickstreamError):
    """The occasion for the fault did not come; it was not played."""


RedisKind = Literal["one", "sentinels", "cluster"]


def _replicated(kind: RedisKind, folder: Path) -> ReplicatedValkey | None:
    if kind == "one":
        return None
    return EmbeddedSentinels(folder) if kind == "sentinels" else EmbeddedCluster(folder)


@dataclass
class Consumer:
    """A place for one consumer process, with doors of its own to each broker and to Redis.

    `wanted` False: it is down on purpose. `failpoint` is armed at each start until it has killed.
    """

    name: str
    settings: Settings
    log: Path
    identity: bool
    kafka: Sequence[Proxy]
    redis: Proxy
    wanted: bool = True
    failpoint: str = ""
    process: Process | None = None

    def start(self) -> None:
        """Start the process, with the failpoint that is armed."""
        words = ["consume", *(["--instance", self.name] if self.identity else [])]
        self.process = Process(words, self.settings, self.log, self.failpoint)

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self.process is not None and self.process.poll() is None

    def keep_alive(self) -> None:
        """Start the process again where it died and is wanted.

        Raises:
            ClickstreamError: it ended in a way that no fault explains; carries its last words.
        """
        if self.process is not None and (code := self.process.poll()) is not None:
            last_words = self.process.last_words()
            self.process = None
            if code == -signal.SIGKILL and self.wanted:
                self.failpoint = ""
            expected = (-signal.SIGKILL, FencedError.exit_code, _AWAY) + (() if self.wanted else _STOPPED)
            if code not in expected:
                raise ClickstreamError(f"consumer {self.name} ended with {code}", last_words)
        if self.wanted and self.process is None:
            self.start()


class DrillStage:
    """Everything a drill needs, in one folder; it runs for the length of a `with` block.

    Attributes:
        replicated: the Redis, where it is not `valkey`, one server, but several with replicas.
        brokers: one that is a Kafka by itself, or several that are one.
        lost: the broker of these that shall never come back.
        between: the network between these, where it is to be cut.
        small_disk: whether the first broker's data lie on a file system of their own that can be filled;
            False, too, where one was asked for and this machine does not let us mount one.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        consumers: int,
        load: Sequence[str],
        speed: float,
        brokers: int = 1,
        redis: RedisKind = "one",
        small_disk: bool = False,
        between: bool = False,
    ) -> None:
        self.folder = folder
        self.between = BrokerNetwork(brokers) if between and brokers > 1 else None
        self.small_disk = small_disk
        self._load_words = load
        self._speed = speed
        self._undo = ExitStack()
        self._proxies = [([Proxy() for _ in range(brokers)], Proxy()) for _ in range(consumers)]
        self.valkey = EmbeddedValkey(folder / "valkey")
        self.brokers: Sequence[EmbeddedKafka] = embedded_brokers(
            folder / "kafka",
            brokers,
            cache=settings.home / "kafka",
            doors=lambda broker: [doors[broker].address for doors, _ in self._proxies],
            between=self.between,
        )
        self.replicated = _replicated(redis, folder / "redis")
        self.lost: EmbeddedKafka | None = None
        self._given = settings
        self._admin: ClusterAdmin | None = None
        self._ends: Reader | None = None

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _set_up(self) -> None:
        if self.small_disk:
            self.small_disk = self._mount(self.brokers[0].folder)
        servers = self.brokers if self.replicated else (self.valkey, *self.brokers)
        if self.between is not None:
            self.between.start(self.brokers, self._undo.callback)
        for server in servers:
            # Nobody wants their data any more.
            self._undo.callback(server.kill)
            server.launch()
        for server in servers:
            server.wait_ready()
        self.check_brokers()
        bootstrap = ",".join(broker.bootstrap for broker in self.brokers)
        self.settings = self._given.model_copy(
            update={"kafka_bootstrap": bootstrap, "redis_url": SecretStr(self.valkey.url)}
        )
        if self.replicated is not None:
            self._undo.enter_context(self.replicated)
            self.settings = self.replicated.reached_by(self.settings)
        # Who looks on must not wait long for a broker that does not answer: recoveries are timed.
        self._looking = self.settings.model_copy(update={"patience": _LOOK_PATIENCE_MS})
        self.topic = prepare_topics(self.settings)
        self.consumers = []
        for number, (kafka, redis) in enumerate(self._proxies):
            for broker, door in zip(self.brokers, kafka, strict=True):
                door.start((HOST, broker.door_ports[number]))
                self._undo.callback(door.close)
            redis.start((HOST, self.valkey.port))
            self._undo.callback(redis.close)
            behind: dict[str, object] = {"kafka_bootstrap": ",".join(door.address for door in kafka)}
            if self.replicated is None:
                behind["redis_url"] = SecretStr(f"redis://{redis.address}/0")
            consumer = Consumer(
                name=f"consumer-{number + 1}",
                settings=self.settings.model_copy(update=behind),
                log=self.folder / f"consumer-{number + 1}.log",
                # Both ways of life are drilled: with a name, restarts take over at once; without, the group
                # waits for the session timeout.
                identity=number % 2 == 0,
                kafka=kafka,
                redis=redis,
            )
            self.consumers.append(consumer)
        self._undo.callback(self._end_processes)
        self.load = ReplayLoad(self.settings, self._load_words, self._speed, self.folder)
        self.keep_alive()

    def keep_alive(self) -> None:
        """Start again what died and is wanted. Raises as `Consumer.keep_alive` and `ReplayLoad.keep_up`."""
        for consumer in self.consumers:
            consumer.keep_alive()
        if any(broker.running for broker in self.brokers):
            self.load.keep_up()

    def check_brokers(self) -> None:
        """Raises UnavailableError, with the end of its log, if a broker has ended that nobody took away."""
        for broker in self.brokers:
            if broker is not self.lost:
                broker.check()

    def wait(self, condition: Callable[[], bool], deadline_s: float) -> bool:
        """Whether `condition` came to hold before the deadline; everything is kept alive meanwhile."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.keep_alive()
            time.sleep(_LOOK_EVERY_S)
        return True

    def committed(self) -> dict[int, int]:
        """Partition -> offset up to which results are published; empty while the broker does not answer."""
        nothing: dict[int, CommittedOffset] = {}
        offsets = self.ask(lambda admin: admin.group_offsets(self.settings.group, self.topic.name), nothing)
        return {partition: committed.offset for partition, committed in offsets.items()}

    def ends(self) -> dict[int, int]:
        """Partition -> offset after its last record; empty while the broker does not answer."""
        try:
            self._ends = self._ends or Reader(self._looking, self.topic.name)
            return self._ends.end_offsets()
        except UnavailableError:
            self._forget()
            return {}

    def members(self) -> int:
        """Consumers that the group knows; 0 while the broker does not answer."""
        return self.ask(lambda admin: admin.group_members(self.settings.group), 0)

    def ask(self, question: Callable[[ClusterAdmin], T], otherwise: T) -> T:
        """What Kafka answers; `otherwise` while it does not."""
        try:
            self._admin = self._admin or ClusterAdmin(self._looking)
            return question(self._admin)
        except UnavailableError:
            self._forget()
            return otherwise

    def slots(self) -> set[int]:
        """The slots of a Redis Cluster in which the partitions' keys lie."""
        partitions = range(self.topic.partitions)
        return {
            key_slot(state_keys(self.settings, self.topic.id, partition)[0].encode())
            for partition in partitions
        }

    def caught_up(self) -> bool:
        """Whether every record that is there now has its results published."""
        ends, committed = self.ends(), self.committed()
        return bool(ends) and all(committed.get(p, 0) >= end for p, end in ends.items())

    def finish(self, deadline_s: float) -> bool:
        """Let the load end, wait until all is scored, stop the consumers in order; True if that worked."""
        self.load.end()
        if not self.wait(lambda: self.load.finished, deadline_s):
            return False
        done = self.wait(self.caught_up, deadline_s)
        for consumer in self.consumers:
            consumer.wanted = False
        for consumer in self.consumers:
            if consumer.process is not None:
                consumer.process.terminate()
        return done and self.wait(lambda: not any(c.running for c in self.consumers), 30)

    def _mount(self, folder: Path) -> bool:
        folder.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "clickstream-chaos", str(folder)]
        try:
            if subprocess.run(mount, capture_output=True, check=False).returncode:
                return False
        except OSError:
            return False
        self._undo.callback(subprocess.run, ["umount", str(folder)], capture_output=True, check=False)
        return True

    def _forget(self) -> None:
        for client in (self._admin, self._ends):
            if client is not None:
                client.close()
        self._admin = self._ends = None

    def _end_processes(self) -> None:
        self.load.close()
        for consumer in self.consumers:
            if consumer.process is not None:
                consumer.process.kill()
        self._forget()


DrillFault = Callable[[DrillStage, random.Random], Iterator[None]]
"""See `faults.py`."""
