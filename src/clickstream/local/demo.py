"""The whole system on one machine: servers, a bundle, consumers, a replay, and what came of it.

`DemoRun` holds the running parts and what can be seen of them; cli/demo.py shows it to a person.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path

from clickstream.consumer.topics import prepare_topics
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka import Reader, Record
from clickstream.infra.settings import Settings
from clickstream.local.processes import Process
from clickstream.operate.group import GroupObserver
from clickstream.operate.summary import Summary
from clickstream.records.reading import read_score
from clickstream.records.shops import load_shop


class DemoRun:
    """Consumers and one replay on given servers, watched from outside.

    Attributes:
        shop: whose clicks they are.
        clicks: records on the clicks topic (heartbeats included).
        committed: records whose scores are published.
        open_sessions: sessions open now.
        summary: of the scores read so far.
    """

    def __init__(self, settings: Settings, logs: Path, consumers: int, replay: Sequence[str]) -> None:
        self.settings = settings
        self.shop = load_shop(settings.shop)
        self.summary = Summary()
        self.clicks = self.committed = self.open_sessions = 0
        self.started_at = time.monotonic()
        prepare_topics(settings)
        self._observer = GroupObserver(settings)
        self._scores = Reader(settings, settings.scores_topic)
        self.consumers = [
            Process(["consume", "--instance", f"demo-{n}"], settings, logs / f"consumer-{n}.log")
            for n in range(1, consumers + 1)
        ]
        self.replay = Process(["replay", *replay], settings, logs / "replay.log")

    def advance(self) -> bool:
        """Keep the parts alive and count what there is; True when all clicks are published and scored.

        Raises:
            ClickstreamError: a part ended that should not have; carries its last words.
        """
        for consumer in self.consumers:
            consumer.keep_alive()
        code = self.replay.poll()
        if code:
            raise ClickstreamError(f"the replay ended with {code}", self.replay.last_words())
        self._take_scores(self._scores.poll(timeout_ms=200))
        _, partitions = self._observer.progress()
        self.clicks = sum(one.end for one in partitions)
        self.committed = sum(one.committed or 0 for one in partitions)
        self.open_sessions = sum(one.open_sessions for one in partitions)
        return code == 0 and self.committed == self.clicks

    def finish(self) -> None:
        """Stop the consumers in order, and read the scores to their end.

        Raises:
            ClickstreamError: a consumer did not stop as it should.
        """
        for consumer in self.consumers:
            consumer.terminate()
        for consumer in self.consumers:
            code = consumer.stop()
            # One that was still loading its libraries has no handler yet, and nothing to finish.
            if code not in (0, -signal.SIGTERM):
                raise ClickstreamError(f"a consumer stopped with {code}", consumer.last_words())
        self.read_scores()

    def read_scores(self) -> None:
        """Read the scores of all that is committed by now."""
        for batch in self._scores.read_to(self._scores.decided_ends().offsets):
            self._take_scores(batch)

    def close(self) -> None:
        """End whatever still runs."""
        for process in (self.replay, *self.consumers):
            process.terminate()
        for process in (self.replay, *self.consumers):
            process.stop()
        self._scores.close()
        self._observer.close()

    def _take_scores(self, records: Sequence[Record]) -> None:
        now = time.time_ns() // 1_000_000
        for record in records:
            if (score := read_score(record.value)) is not None:
                self.summary.add(score, now)
