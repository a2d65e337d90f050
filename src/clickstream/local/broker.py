"""A real Apache Kafka of one node, with what it takes for that node to come back whole from a crash.

`cluster.py` has what is otherwise where several nodes are one Kafka.
"""

from __future__ import annotations

import base64
import re
import shutil
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from clickstream.infra.errors import UnavailableError
from clickstream.infra.settings import Settings
from clickstream.local.child import HOST, free_port, tied_to_parent
from clickstream.local.java import find_java, kafka_jars
from clickstream.local.server import Server

Notify = Callable[[str], None]

# One compiler tier and one thread of garbage collection: a third of the start time and of the memory.
_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xms64m",
    "-Xmx512m",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.io.tmpdir=tmp",
)

# Paths are relative to the folder: it may have blanks, commas and letters that this format cannot hold.
_NODE = """\
process.roles={roles}
node.id={node}
listeners={listeners}
listener.security.protocol.map={protocols}
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
log.dirs=topics
"""

_BROKER = """\
advertised.listeners={advertised}
inter.broker.listener.name={between}

auto.create.topics.enable=false
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1

# A consumer that joins, or comes back after a crash, is not kept waiting.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000

# A year. After the 7 days of the default, a broker that was down comes back without its offsets, and
# consumers refuse every partition.
offsets.retention.minutes=525600

# The default sets 128 MB aside for the cleaner of compacted topics.
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
background.threads=4
"""

_ALONE = """
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# While it runs, the broker is never declared dead, however long the machine pauses, and does not give up
# its partitions before it stops. A partition without a leader costs commits: see `EmbeddedKafka._retire`.
broker.session.timeout.ms=86400000
controlled.shutdown.enable=false
"""

_LOGGING = """\
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern={pattern}
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
logger.watched.name={logger}
logger.watched.level={level}
"""

_RETIRE_AFTER_MS = 100
_RETIRE_DEADLINE_S = 60.0


class EmbeddedKafka(Server):
    """One Kafka broker, its own controller, with the data in `folder` and the jars in `cache`.

    `cache` is, unless given, that of the user's settings. It is filled by the first start anywhere, from
    Maven Central. `notify` gets a line when that begins. `doors` are addresses (host:port) of proxies: the
    broker listens on a port of its own behind each, `door_ports`, and sends who comes that way there again.
    `peers` is the door, if there is one, by which other brokers come; behind it is `peer_port`.
    """

    name = "Kafka"
    port_option = "--kafka-port"
    node = 1
    _replication = _ALONE

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        cache: Path | None = None,
        notify: Notify = lambda _: None,
        doors: Sequence[str] = (),
        peers: str | None = None,
    ) -> None:
        super().__init__(folder, port)
        self._peers = peers
        self.peer_port = 0 if peers is None else free_port()
        self._cache = cache or Settings().home / "kafka"
        self._notify = notify
        self._doors = doors
        self.door_ports = [free_port() for _ in doors]

    @property
    def bootstrap(self) -> str:
        """host:port for `bootstrap.servers`."""
        return self.address

    def _prepare(self) -> list[str]:
        program = find_java()
        jars = kafka_jars(self._cache.absolute(), self._notify)
        java = [program, *_JVM, "-cp", ":".join(map(str, jars))]
        # Kafka unpacks native libraries there, and a crash leaves them.
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        (self.folder / "tmp").mkdir()

        voters = self._voters()
        ways = {"BROKER": (self.address, self.address)}
        for number, (door, port) in enumerate(zip(self._doors, self.door_ports, strict=True)):
            ways[f"DOOR{number}"] = (f"{HOST}:{port}", door)
        if self._peers is not None:
            ways["PEERS"] = (f"{HOST}:{self.peer_port}", self._peers)
        listeners = {name: behind for name, (behind, _) in ways.items()} | {"CONTROLLER": voters[self.node]}
        self._write(
            "broker",
            self._node("broker,controller", listeners, voters)
            + _BROKER.format(
                advertised=_addresses({name: door for name, (_, door) in ways.items()}),
                between="BROKER" if self._peers is None else "PEERS",
            )
            + self._replication,
            _LOGGING.format(pattern="%d %p %c{1} %m%n", logger="kafka.server.KafkaRaftServer", level="INFO"),
        )
        self._make_ready(java)
        return [*java, *_main("broker")]

    def _make_ready(self, java: list[str]) -> None:
        """What must be done before the broker starts on its folder."""
        if cluster_of(self.folder):
            self._retire(java)
        else:
            self._format(java, new_cluster())

    def _voters(self) -> Mapping[int, str]:
        """Node -> where its controller listens, of all nodes."""
        return {self.node: self._free_address()}

    def _node(self, roles: str, listeners: Mapping[str, str], voters: Mapping[int, str]) -> str:
        # Kafka wants a protocol for the listener between brokers where there is none, too.
        protocols = ",".join(f"{name}:PLAINTEXT" for name in {"BROKER": "", **listeners})
        return _NODE.format(
            roles=roles,
            node=self.node,
            listeners=_addresses(listeners),
            protocols=protocols,
            voters=",".join(f"{node}@{address}" for node, address in voters.items()),
        )

    def _free_address(self) -> str:
        port = free_port()
        while port == self.port:
            port = free_port()
        return f"{HOST}:{port}"

    def _write(self, role: str, properties: str, logging: str) -> None:
        (self.folder / f"{role}.properties").write_text(properties, encoding="ascii")
        (self.folder / f"{role}-log.properties").write_text(logging, encoding="ascii")

    def _format(self, java: list[str], cluster: str) -> None:
        """By Kafka's own tool: with meta.properties alone, a broker has no second version of transactions."""
        try:
            subprocess.run(
                [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", "broker.properties"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
                preexec_fn=tied_to_parent(),
            )
        except subprocess.CalledProcessError as error:
            raise UnavailableError(
                f"Kafka could not prepare {self.folder}:\n{(error.stdout + error.stderr)[-2000:]}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(
                f"Kafka took more than 60 s to prepare {self.folder}.", "Try again; the machine may be busy."
            ) from error

    def _retire(self, java: list[str]) -> None:
        """Has the controller, run alone, record that the broker of the last run is dead.

        Otherwise it is recorded while the new broker starts. That one first takes up the old one's role and
        completes its commits; then the partitions lose their leader for a moment, Kafka 4.2 to 4.4 takes
        those for deleted (KAFKA-20734), and their part of a commit is dropped: nothing behind it can be
        read as committed any more.
        """
        voters = self._voters()
        self._write(
            "controller",
            self._node("controller", {"CONTROLLER": voters[self.node]}, voters)
            + f"broker.session.timeout.ms={_RETIRE_AFTER_MS}\n",
            _LOGGING.format(
                pattern="%r %m%n", logger="org.apache.kafka.controller.QuorumController", level="DEBUG"
            ),
        )
        log = self.folder / "controller.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*java, *_main("controller")],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=tied_to_parent(),
            )
        deadline = time.monotonic() + _RETIRE_DEADLINE_S
        try:
            while not _is_retired(log.read_text(errors="replace")):
                if process.poll() is not None or time.monotonic() > deadline:
                    tail = "".join(
                        f"\n  {line}" for line in log.read_text(errors="replace").splitlines()[-15:]
                    )
                    raise UnavailableError(
                        f"Kafka could not take up the data in {self.folder}.{tail}\nIts log: {log}",
                        "Try again.",
                    )
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        # A Metadata request (version 2, no topics), as the broker opens its port before it leads anything:
        # the answer lists the brokers that serve, and the cluster, which tells ours from another's.
        request = struct.pack(">hhih5si", 3, 2, 1, 5, b"ready", 0)
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                with connection.makefile("rb") as answers:
                    size = struct.unpack(">i", answers.read(4))[0]
                    answer = answers.read(size)
        except (OSError, struct.error):
            return False
        cluster = cluster_of(self.folder) or ""
        return self.node in _brokers(answer) and cluster.encode() in answer


def new_cluster() -> str:
    """An id for a Kafka. It takes none that begins with a dash."""
    return "C" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def cluster_of(folder: Path) -> str | None:
    """The id of the Kafka that a node's folder belongs to; None where it is of none yet."""
    try:
        return (
            (folder / "topics" / "meta.properties")
            .read_text(encoding="ascii")
            .split("cluster.id=")[1]
            .split()[0]
        )
    except FileNotFoundError:
        return None


def _brokers(answer: bytes) -> Iterator[int]:
    """The ids of the brokers in an answer to Metadata: each with a host, a port and perhaps a rack."""
    (count,) = struct.unpack_from(">i", answer, 4)
    at = 8
    for _ in range(count):
        broker, host = struct.unpack_from(">ih", answer, at)
        (rack,) = struct.unpack_from(">h", answer, at + 6 + host + 4)
        at += 6 + host + 4 + 2 + max(rack, 0)
        yield broker


def _addresses(listeners: Mapping[str, str]) -> str:
    return ",".join(f"{name}://{address}" for name, address in listeners.items())


def _main(role: str) -> list[str]:
    return [f"-Dlog4j2.configurationFile={role}-log.properties", "kafka.Kafka", f"{role}.properties"]


def _is_retired(log: str) -> bool:
    """Whether the controller has looked for dead brokers, found no more, and has committed what it found.

    It says so in each round in which it has nothing to do and nothing to wait for. A round counts that is
    later, by its own clock, than the old broker can have passed for alive.
    """
    active = re.search(r"^(\d+) .*Performing controller activation", log, re.MULTILINE)
    rounds = re.findall(
        r"^(\d+) .*Completing read-only operation maybeFenceStaleBroker.* immediately", log, re.MULTILINE
    )
    return active is not None and any(int(at) > int(active[1]) + 2 * _RETIRE_AFTER_MS for at in rounds)
