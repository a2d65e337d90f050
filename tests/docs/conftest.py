"""What the documents need to be tried out."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clickstream.infra.settings import Settings
from clickstream.local.java import find_java, kafka_jars

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "subscribe"

# Kafka's command line tools: no part of what the embedded broker needs.
_TOOLS = ("org.apache.kafka", "kafka-tools", "4.3.1")
_TOOLS_SHA256 = "62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c"


@pytest.fixture(scope="session")
def kafka_console(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH with `kafka-console-consumer.sh`, as it is in a Kafka that was unpacked."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver
    from requests import RequestException

    cache = Settings().home / "kafka"
    jars = kafka_jars(cache, lambda _: None)
    maven = MavenContext(resolver=PythonResolver(), repo_cache=cache / "jars", timeout=30)
    maven.remote_repos.update(GlobalSettings.load().repositories)
    group, artifact, version = _TOOLS
    try:
        tools = maven.project(group, artifact).at_version(version).artifact().resolve()
    except (RequestException, RuntimeError, OSError) as error:
        pytest.skip(f"Kafka's command line tools cannot be downloaded here: {error}")
    assert hashlib.sha256(tools.read_bytes()).hexdigest() == _TOOLS_SHA256
    folder = tmp_path_factory.mktemp("kafka-tools")
    script = folder / "kafka-console-consumer.sh"
    classes = ":".join(map(str, [*jars, tools]))
    script.write_text(
        # Silent where Kafka's own script writes its warnings to standard error.
        "#!/bin/sh\n"
        f"exec {find_java()} -XX:TieredStopAtLevel=1 -Dlog4j2.level=OFF"
        f" -cp '{classes}'"
        ' org.apache.kafka.tools.consumer.ConsoleConsumer "$@"\n'
    )
    script.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the example for Node is installed, from its lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(EXAMPLES / name, folder)
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"the packages of the example for Node cannot be installed here: {done.stderr[-300:]}")
    yield folder
    shutil.rmtree(folder)
