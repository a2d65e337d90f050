"""The embedded servers are real, keep their data, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.structs import OffsetAndMetadata

from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.embedded import EmbeddedKafka, EmbeddedValkey
from clickstream.local.java import find_java, kafka_jars

pytestmark = pytest.mark.integration

EITHER = pytest.mark.parametrize("kind", [EmbeddedKafka, EmbeddedValkey])
Kind = type[EmbeddedKafka] | type[EmbeddedValkey]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def publish(kafka: EmbeddedKafka, topic: str, values: list[bytes]) -> None:
    """In one transaction, with the group's offset: what the consumers of this project ask of a broker."""
    producer = KafkaProducer(
        bootstrap_servers=kafka.bootstrap, transactional_id="test", compression_type="lz4"
    )
    producer.init_transactions()
    producer.begin_transaction()
    for value in values:
        producer.send(topic, value)
    producer.send_offsets_to_transaction({TopicPartition(topic, 0): OffsetAndMetadata(7, "", -1)}, "group")
    producer.commit_transaction()
    producer.close()


def read(kafka: EmbeddedKafka, topic: str, count: int) -> tuple[list[bytes], int | None]:
    """The first `count` committed values of the topic, and the group's offset."""
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap,
        group_id="group",
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    values: list[bytes] = []

    def enough() -> bool:
        for records in consumer.poll(200).values():
            values.extend(record.value for record in records)
        return len(values) >= count

    eventually(enough)
    offset = consumer.committed(partition, timeout_ms=20_000)
    consumer.close()
    return values, offset


def test_kafka_keeps_a_transaction_whose_commit_was_just_answered_when_it_is_killed_or_stopped(
    tmp_path: Path,
) -> None:
    values = [f"value {n}".encode() for n in range(100)]
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        admin.create_topics([NewTopic("things", 1, 1)])
        admin.close()
        before = kafka.bootstrap
        written: list[bytes] = []
        for end in (kafka.kill, kafka.stop):
            publish(kafka, "things", values)
            written += values
            end()
            assert not kafka.running
            kafka.start()
            assert kafka.bootstrap == before
            assert read(kafka, "things", len(written)) == (written, 7)


@pytest.mark.parametrize(("persistence", "kept"), [("everysec", b"1"), ("always", b"1"), ("off", None)])
def test_valkey_keeps_its_data_through_a_kill_unless_persistence_is_off(
    tmp_path: Path, persistence: Literal["everysec", "always", "off"], kept: bytes | None
) -> None:
    with EmbeddedValkey(tmp_path / "valkey", persistence=persistence) as valkey:
        with redis.Redis.from_url(valkey.url) as client:
            client.set("a", "1")
            assert client.config_get("maxmemory-policy", "save") == {
                "maxmemory-policy": "noeviction",
                "save": "",
            }
        valkey.kill()
        valkey.start()
        with redis.Redis.from_url(valkey.url) as client:
            assert client.get("a") == kept


@EITHER
def test_stop_leaves_no_process_and_a_free_folder(kind: Kind, tmp_path: Path) -> None:
    server = kind(tmp_path / "server")
    with server:
        pid = server.pid
        assert pid is not None
        assert os.getsid(pid) == pid, "a Ctrl-C in the terminal must not reach it"
    assert not alive(pid)
    assert server.pid is None
    server.stop()
    with kind(tmp_path / "server"):
        pass


@EITHER
def test_a_port_that_was_asked_for_and_is_taken_is_an_error(kind: Kind, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port} on 127.0.0.1.* is in use") as caught:
            kind(tmp_path / "server", port).start()
    assert "-port" in caught.value.remedy


def test_a_port_that_we_chose_and_is_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path / "valkey")
    chosen = valkey.port
    with socket.create_server(("127.0.0.1", chosen)), valkey:
        assert valkey.port != chosen
        with redis.Redis.from_url(valkey.url) as client:
            assert client.ping()


@EITHER
def test_a_folder_belongs_to_one_server_at_a_time(kind: Kind, tmp_path: Path) -> None:
    with kind(tmp_path / "server") as first, pytest.raises(ConfigurationError) as caught:
        kind(tmp_path / "server").start()
    assert f"{first.address}, process" in caught.value.what
    assert f"started by process {os.getpid()}" in caught.value.what


def test_a_server_that_dies_at_its_start_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    damaged = tmp_path / "appendonlydir"
    damaged.mkdir()
    (damaged / "appendonly.aof.manifest").write_text("nonsense\n")
    valkey = EmbeddedValkey(tmp_path)
    with pytest.raises(UnavailableError, match="Valkey ended while it started") as caught:
        valkey.start()
    assert "manifest" in caught.value.what
    assert str(valkey.log) in caught.value.what
    assert not valkey.running


def test_a_server_that_ended_by_itself_is_noticed(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        valkey.check()
        assert valkey.pid is not None
        os.kill(valkey.pid, signal.SIGKILL)
        assert eventually(lambda: not valkey.running)
        with pytest.raises(UnavailableError, match="has ended"):
            valkey.check()


OWNER = """
import sys, time
from pathlib import Path
from clickstream.local.embedded import embedded_servers
with embedded_servers(Path(sys.argv[1])) as servers:
    print(servers.brokers[0].pid, servers.valkey.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of its own, with the jars of the ordinary one."""
    cache = Settings().home / "kafka"
    kafka_jars(cache, print)
    (tmp_path / "home" / "kafka").mkdir(parents=True)
    (tmp_path / "home" / "kafka" / "jars").symlink_to(cache / "jars")
    return tmp_path / "home"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a killed process")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_servers_end_with_the_process_that_started_them(home: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 2
        os.killpg(owner.pid, number)
        owner.wait(60)
    assert eventually(lambda: not any(map(alive, pids)))
    assert owner.returncode == {signal.SIGTERM: 143}.get(number, -number)


@pytest.fixture
def up(home: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts `up` on free ports, the same each time, and as a background job of a script: SIGINT ignored."""
    ports = ["--kafka-port", str(free_port()), "--redis-port", str(free_port())]
    code = "import typer; from clickstream.cli.up import up; typer.run(up)"
    command = [sys.executable, "-c", code, "--home", str(home), *ports]
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_prints_its_exports_ends_with_zero_and_keeps_its_data(
    up: Callable[[], subprocess.Popen[str]], number: signal.Signals
) -> None:
    for before in (None, b"1"):
        process = up()
        assert process.stdout is not None
        exports: dict[str, str] = {}
        while len(exports) < 2:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                exports[name] = value
        assert set(exports) == {"CLICKSTREAM_KAFKA_BOOTSTRAP", "CLICKSTREAM_REDIS_URL"}
        host, port = exports["CLICKSTREAM_KAFKA_BOOTSTRAP"].split(":")
        socket.create_connection((host, int(port))).close()
        with redis.Redis.from_url(exports["CLICKSTREAM_REDIS_URL"]) as client:
            assert client.get("a") == before
            client.set("a", "1")
        process.send_signal(number)
        assert process.wait(60) == 0


def test_a_second_up_is_told_of_the_first(up: Callable[[], subprocess.Popen[str]]) -> None:
    first = up()
    assert first.stdout is not None
    assert first.stdout.readline()
    second = up()
    _, said = second.communicate(timeout=60)
    assert second.returncode != 0
    assert f"started by process {first.pid}" in " ".join(said.split())
    assert first.poll() is None


@pytest.mark.parametrize("origin", ["path", "wheel"])
def test_kafka_runs_on_the_java_of_the_path_and_of_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], origin: str
) -> None:
    if origin == "wheel":
        monkeypatch.setenv("PATH", "")
    java = find_java()
    if origin == "path" and java != shutil.which("java"):
        pytest.skip("no Java of 17 or newer on PATH")
    kafka = EmbeddedKafka(tmp_path)
    for folder in ("a fresh folder", "a folder that it had"):
        before = time.monotonic()
        with kafka:
            took = time.monotonic() - before
            memory = subprocess.check_output(["/bin/ps", "-o", "rss=", "-p", str(kafka.pid)], text=True)
            with capsys.disabled():
                print(f"\n{java}: Kafka on {folder} took {took:.1f} s and {int(memory) // 1024} MB", end="")
