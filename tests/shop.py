"""A small shop on real servers: publishes clicks, runs consumers as processes, and audits what they did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import orjson
from prometheus_client.parser import text_string_to_metric_families

from clickstream.audit import AuditReport, run_audit
from clickstream.consumer.store import Store
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.kafka import Admin, Producer, Reader
from clickstream.infra.settings import Settings
from clickstream.local.processes import Process
from clickstream.producer.faults import FaultOptions
from clickstream.producer.plan import Plan, PlanOptions, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.records.score import DigestScope, digest


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = 120.0) -> float:
    """Seconds until `condition` held; fails with `what` after the deadline."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > deadline_s:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began


def stop(consumer: Process) -> None:
    """Ask a consumer to stop, once it is up; it must do so in order."""
    wait_for(lambda: '"consuming"' in consumer.log.read_text(), "the consumer is up")
    assert consumer.stop(60) == 0, consumer.last_words()


def plan_of(settings: Settings, sessions: int, seed: int = 1, faults: FaultOptions | None = None) -> Plan:
    """Synthetic sessions, all on one busy day."""
    schedule = make_schedule(synthetic_dataset(sessions, seed), ScheduleOptions(seed=seed))
    options = PlanOptions.of(settings, settings.partitions, True, faults or FaultOptions())
    return make_plan(schedule, options)


def scraped(settings: Settings) -> dict[tuple[str, ...], float]:
    """What the consumer serves: name without its prefix, and labels -> value."""
    with urlopen(f"http://127.0.0.1:{settings.metrics_port}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        (sample.name.removeprefix("clickstream_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


class Shop:
    """The topics, consumers and results of one test."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.topic = prepare_topics(settings)
        self.processes: list[Process] = []

    def publish(self, plan: Plan, after: int = 0, until: int | None = None) -> None:
        """Publications `after` to `until` of a plan, acknowledged."""
        self.send_all(
            (publication.partition, publication.key, publication.value, publication.timestamp)
            for publication in list(plan.publications())[after:until]
        )

    def send(self, partition: int, key: bytes | None, value: bytes | None, timestamp: int) -> None:
        """One record, acknowledged."""
        self.send_all([(partition, key, value, timestamp)])

    def send_all(self, records: Iterable[tuple[int, bytes | None, bytes | None, int]]) -> None:
        """Records, each a partition, a key, a value and a timestamp, acknowledged."""
        # A test may want consumers that lose patience soon; this end waits for a broker that is busy.
        producer = Producer(self.settings.model_copy(update={"patience": Settings().patience}))
        for partition, key, value, timestamp in records:
            producer.send(self.settings.clicks_topic, partition, key, value, timestamp=timestamp)
        producer.flush()
        producer.close()

    def consumer(
        self,
        instance: str | None = None,
        failpoint: str = "",
        settings: Settings | None = None,
        options: Sequence[str] = (),
    ) -> Process:
        """A consumer process, its log in the test's folder."""
        words = ["consume", *options] + (["--instance", instance] if instance else [])
        log = self.folder / f"consumer-{len(self.processes)}.log"
        process = Process(words, settings or self.settings, log, failpoint)
        self.processes.append(process)
        return process

    def scored(self) -> int:
        """Records whose scores are committed."""
        admin = Admin(self.settings)
        try:
            offsets = admin.group_offsets(self.settings.group, self.topic.name)
            return sum(committed.offset for committed in offsets.values())
        finally:
            admin.close()

    def records(self) -> int:
        """Records on the clicks topic."""
        reader = Reader(self.settings, self.topic.name)
        try:
            return sum(reader.end_offsets().values())
        finally:
            reader.close()

    def all_scored(self) -> bool:
        """Whether all records that are there now are scored."""
        return self.scored() >= self.records()

    def drain(self, *running: Process, deadline_s: float = 120.0) -> float:
        """Seconds until everything published is committed; `running` must not end meanwhile.

        After it, every subscriber finds the scores before their end: offsets are committed a moment earlier.
        """
        records = self.records()

        def done() -> bool:
            for process in running:
                if process.poll() is not None:
                    raise AssertionError(f"a consumer ended with {process.poll()}:\n{process.last_words()}")
            return self.scored() >= records

        try:
            took = wait_for(done, f"{records} records scored", deadline_s)
        except AssertionError as error:
            logs = "\n".join(f"{p.log.name}:\n{p.last_words()}" for p in running)
            raise AssertionError(f"{error}; have {self.scored()}\n{logs}") from None
        with closing(Reader(self.settings, self.settings.scores_topic)) as reader:
            reader.decided_ends()
        return took

    def open_sessions(self) -> int:
        """Sessions open by what Redis says."""
        store = Store(self.settings, self.topic.id)
        try:
            return sum(store.peek(p).open_sessions for p in range(self.topic.partitions))
        finally:
            store.close()

    def redis_keys(self) -> list[tuple[str, ...]]:
        """Of each partition: meta, sessions, due, outbox, online."""
        store = Store(self.settings, self.topic.id)
        try:
            return [store.keys(p) for p in range(self.topic.partitions)]
        finally:
            store.close()

    def scores(self, committed_only: bool = True) -> list[dict[str, object]]:
        """All scores; with those of aborted transactions where `committed_only` is False."""
        return self._read(self.settings.scores_topic, committed_only)

    def open_scores(self) -> list[dict[str, Any]]:
        """All committed scores of open sessions."""
        return self._read(self.settings.open_scores_topic)

    def dead_letters(self) -> list[dict[str, object]]:
        """All committed dead letters."""
        return self._read(self.settings.dead_letter_topic)

    def digest(self, comparison: DigestScope = "same-log") -> str:
        """Of all committed scores."""
        return digest(self.scores(), comparison)

    def audit(self, ledger: Path | None = None, baseline: str | None = None) -> AuditReport:
        """Every score against the log."""
        return run_audit(self.settings, bundle=self.settings.bundle, ledger=ledger, baseline=baseline)

    def close(self) -> None:
        """End every process."""
        for process in self.processes:
            process.kill()

    def _read(self, topic: str, committed_only: bool = True) -> list[dict[str, Any]]:
        reader = Reader(self.settings, topic, committed_only)
        try:
            return [
                orjson.loads(record.value or b"null")
                for batch in reader.read_to(reader.decided_ends().offsets)
                for record in batch
            ]
        finally:
            reader.close()
