"""The audit beside a system at work: a process that says what it finds while the stream runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import orjson
import pytest
from shop import Shop, plan_of, stop, wait_for

from clickstream.consumer.topics import prepare_topics
from clickstream.infra.kafka import Producer
from clickstream.infra.settings import Settings
from clickstream.local.embedded import EmbeddedKafka
from clickstream.local.processes import environment

pytestmark = pytest.mark.integration

DEADLINE_S = 60


class Following:
    """`scores audit --follow --json`, and the lines that it writes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.said = b""
        self._lines: Queue[dict[str, Any]] = Queue()
        self._threads = [threading.Thread(target=self._read), threading.Thread(target=self._listen)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first line from here on for which `condition` holds."""
        while True:
            try:
                line = self._lines.get(timeout=DEADLINE_S)
            except Empty:
                raise AssertionError(f"no line in {DEADLINE_S} s; it said {self.said!r}") from None
            if condition(line):
                return line

    def end(self, sign: signal.Signals) -> int:
        """The exit code after this signal."""
        self.process.send_signal(sign)
        code = self.process.wait(60)
        for thread in self._threads:
            thread.join(20)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(orjson.loads(line))

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line


@contextmanager
def following(settings: Settings) -> Iterator[Following]:
    """The command, ended with the block."""
    words = ["scores", "audit", "--follow", "--every", "200ms", "--json", "--bundle", settings.bundle]
    process = subprocess.Popen(
        [sys.executable, "-m", "clickstream", *words],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield Following(process)
    finally:
        process.kill()
        process.wait()


def test_a_forged_copy_is_told_while_the_stream_runs(shop: Shop) -> None:
    plan = plan_of(shop.settings, 300)
    quarter = len(list(plan.publications())) // 4
    consumer = shop.consumer("one")
    with following(shop.settings) as audit:
        shop.publish(plan, until=2 * quarter)
        line = audit.wait_for(lambda line: line["scored"] > 20)
        assert line["clean"], line

        scores = shop.scores()
        rest = threading.Thread(target=shop.publish, args=(plan, 2 * quarter, 3 * quarter))
        rest.start()
        forge(shop.settings, scores[0])
        line = audit.wait_for(lambda line: line["duplicate"] > 0)
        (finding,) = line["findings"]
        assert (finding["kind"], finding["id"]) == ("duplicate", scores[0]["score_id"])
        assert not line["clean"]
        assert line["scored"] < 300

        rest.join()
        # Held back until here, so that the stream was not over however quick the machine is.
        shop.publish(plan, after=3 * quarter)
        shop.drain(consumer)
        line = audit.wait_for(lambda line: line["scored"] == 300)
        assert line["findings"] == []
        assert (line["missing"], line["duplicate"], line["unexpected"], line["wrong"]) == (0, 1, 0, 0)
        assert (line["lag"], line["behind"], line["waiting"], line["open"]) == (0, 0, 0, 0)
        assert line["predictions_checked"] == 300
        assert audit.end(signal.SIGINT) == 1
        assert audit.said == b""
    stop(consumer)


def forge(settings: Settings, score: dict[str, Any]) -> None:
    """Publish a score again, under its key, where it lies."""
    producer = Producer(settings)
    key = str(score["session_id"]).encode()
    producer.send(settings.scores_topic, score["source"]["partition"], key, orjson.dumps(score))
    producer.flush()
    producer.close()


def test_a_broker_that_is_away_is_told_and_waited_for(
    settings: Settings, bundle: Path, tmp_path: Path
) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        changes = {"kafka_bootstrap": kafka.bootstrap, "patience": 2_000, "bundle": str(bundle)}
        own = settings.model_copy(update=changes)
        prepare_topics(own)
        with following(own) as audit:
            before = audit.wait_for(lambda _line: True)
            kafka.kill()
            wait_for(lambda: b"trying on" in audit.said, "it says so")
            kafka.start()
            after = audit.wait_for(lambda line: line["round"] > before["round"] + 5)
            assert after["clean"]
            wait_for(lambda: audit.said.endswith(b"the broker answers again\n"), "it says that too")
            assert audit.end(signal.SIGTERM) == 0
