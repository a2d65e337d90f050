"""The examples of docs/subscribing.md, run against real servers: what a subscriber sees, and what not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from scored_log import ScoredLog

from clickstream.consumer.topics import prepare_topics
from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka import Membership, OutgoingRecord, TransactionalProducer
from clickstream.infra.settings import Settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "subscribe"
PAGE = ROOT / "docs" / "subscribing.md"
PROGRAMS = sorted(p for p in EXAMPLES.iterdir() if p.suffix in (".py", ".sh", ".mjs"))

integration = pytest.mark.integration


@pytest.mark.parametrize("program", PROGRAMS, ids=[p.name for p in PROGRAMS])
def test_the_page_shows_each_example_as_it_is(program: Path) -> None:
    assert f"\n{program.read_text()}```\n" in PAGE.read_text()


def test_the_lock_of_the_example_for_node_names_no_address() -> None:
    assert "http" not in (EXAMPLES / "package-lock.json").read_text()


# --- what lies on the topic ---


def cluster_of(number: int) -> str:
    return "long" if number % 2 == 0 else "short_budget"


def scores() -> list[dict[str, Any]]:
    """Of twelve sessions, every second of the cluster `long`; the last could not be scored."""
    log = ScoredLog()
    for number in range(12):
        log.click(f"s{number}", number, end=True)
    log.heartbeat(60)
    log.publish()
    found = log.contents(log.scores)
    for number, score in enumerate(found):
        for prediction in score["predictions"].values():
            prediction["cluster_name"] = cluster_of(number)
    found[-1] |= {"error": "prediction failed", "predictions": dict.fromkeys(found[-1]["predictions"])}
    return found


class Published:
    """Scores in two transactions, an aborted copy of the first ones between them.

    On each partition a score of the cluster `long` comes behind the copies.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.scores = scores()
        prepare_topics(settings)
        self.publish(self.scores[:6])
        with suppress(UnavailableError):
            self.publish(self.scores[:6], give_up)
        self.between = time.time()
        TransactionalProducer(settings, f"{settings.group}-writer").discard()
        self.publish(self.scores[6:])

    def publish(self, scores: list[dict[str, Any]], before_commit: Any = lambda: None) -> None:
        producer = TransactionalProducer(self.settings, f"{self.settings.group}-writer")
        records = [
            OutgoingRecord(self.settings.scores_topic, int(s["session_id"][1:]) % 3, None, orjson.dumps(s))
            for s in scores
        ]
        try:
            producer.publish(records, self.settings.clicks_topic, {}, Membership(1, None), before_commit)
        finally:
            producer.discard()

    @property
    def long(self) -> list[str]:
        return [s["session_id"] for n, s in enumerate(self.scores[:-1]) if cluster_of(n) == "long"]

    @property
    def clusters(self) -> Counter[str]:
        return Counter([*(cluster_of(n) for n in range(len(self.scores) - 1)), "not scored"])


def give_up() -> None:
    raise UnavailableError("killed before the commit")


@pytest.fixture(scope="module")
def published(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Published:
    unique = uuid4().hex[:12]
    return Published(
        Settings(
            home=tmp_path_factory.mktemp("home"),
            kafka_bootstrap=servers.bootstrap,
            partitions=3,
            clicks_topic=f"clicks-{unique}",
            scores_topic=f"scores-{unique}",
            dead_letter_topic=f"letters-{unique}",
            group=f"group-{unique}",
        )
    )


# --- how an example is run ---


@contextmanager
def running(
    command: list[str], program: Path, published: Published, folder: Path, path: str = "", **changes: str
) -> Iterator[subprocess.Popen[str]]:
    """The example in a folder of its own, with the topic and a group of this test."""
    text = program.read_text().replace("my-service", f"service-{uuid4().hex[:8]}")
    for quoted in ("'scores'", '"scores"'):
        text = text.replace(quoted, quoted.replace("scores", published.settings.scores_topic))
    text = text.replace("--topic scores", f"--topic {published.settings.scores_topic}")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    copy = folder / program.name
    copy.write_text(text)
    environment = os.environ | {
        "CLICKSTREAM_KAFKA_BOOTSTRAP": published.settings.kafka_bootstrap or "",
        "PATH": f"{path}:{os.environ['PATH']}",
    }
    process = subprocess.Popen(
        [*command, str(copy)],
        env=environment,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def followed(process: subprocess.Popen[str], count: int) -> list[str]:
    """The session ids of `count` lines, and of what comes with them."""
    assert process.stdout is not None
    assert process.stderr is not None
    lines = [process.stdout.readline() for _ in range(count)]
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=60)
    assert all(lines), errors
    return [line.split()[0] for line in [*lines, *rest.splitlines()]]


# --- the examples ---


@integration
@pytest.mark.parametrize("name", ["follow_kafka_python.py", "follow_confluent.py"])
def test_a_python_subscriber_sees_each_score_of_the_cluster_once(
    name: str, published: Published, tmp_path: Path
) -> None:
    # Else the aborted copies would be sorted out as repeated ones.
    trusting = {' and score["score_id"] not in seen': ""}
    with running([sys.executable], EXAMPLES / name, published, tmp_path, **trusting) as process:
        assert sorted(followed(process, len(published.long))) == sorted(published.long)


@integration
def test_a_node_subscriber_sees_each_score_of_the_cluster_once(
    published: Published, node_modules: Path
) -> None:
    trusting = {" && !seen.has(score.score_id)": ""}
    with running(["node"], EXAMPLES / "follow.mjs", published, node_modules, **trusting) as process:
        assert sorted(followed(process, len(published.long))) == sorted(published.long)


@integration
@pytest.mark.parametrize("name", ["replay_kafka_python.py", "replay_confluent.py"])
def test_a_replay_from_a_time_reads_to_the_end_and_stops(
    name: str, published: Published, tmp_path: Path
) -> None:
    with running([sys.executable], EXAMPLES / name, published, tmp_path) as process:
        told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert Counter(eval(told)) == published.clusters

    since = {"SINCE = time.time() - 24 * 3600": f"SINCE = {published.between}"}
    with running([sys.executable], EXAMPLES / name, published, tmp_path, **since) as process:
        told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert sum(eval(told).values()) == len(published.scores[6:])

    later = {"SINCE = time.time() - 24 * 3600": f"SINCE = {time.time() + 3600}"}
    with running([sys.executable], EXAMPLES / name, published, tmp_path, **later) as process:
        told, errors = process.communicate(timeout=120)
    assert (process.returncode, told) == (0, "{}\n"), errors


@integration
def test_without_read_committed_aborted_copies_are_seen(published: Published, tmp_path: Path) -> None:
    program = EXAMPLES / "replay_kafka_python.py"
    uncommitted = {'"read_committed"': '"read_uncommitted"'}
    with running([sys.executable], program, published, tmp_path, **uncommitted) as process:
        told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert sum(eval(told).values()) == len(published.scores) + 6


@integration
def test_the_console_consumer_prints_each_score_once(
    published: Published, kafka_console: Path, tmp_path: Path
) -> None:
    # As many as there are, instead of all until it is silent: a copy would stand in the place of the last.
    counted = {"--timeout-ms 10000": f"--max-messages {len(published.scores)} --timeout-ms 100000"}
    with running(
        ["sh"], EXAMPLES / "console.sh", published, tmp_path, str(kafka_console), **counted
    ) as process:
        told, errors = process.communicate(timeout=120)
    lines = [orjson.loads(line) for line in told.splitlines()]
    assert sorted(s["score_id"] for s in lines) == sorted(s["score_id"] for s in published.scores), errors
