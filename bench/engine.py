"""What one consumer does on this machine: throughput, CPU by step, memory, latency. Prints, asserts nothing.

Both Kafka clients read the same clicks, in alternated runs, each run with a group of its own; medians over
the rounds. Without scoring is what is left when the steps `score` and `monitor` are taken away.

make bench                          all of it, on servers of its own
make bench ARGS="--sessions 20000"  a shorter one
make bench ARGS="--shadow champion" with a candidate that rides along
CLICKSTREAM_OPEN_SCORES=each make bench     with open scores, their latency too
make bench ARGS="--client kafka-python --rounds 1"
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from clickstream.bundles.bundle import load_bundle
from clickstream.bundles.champion import promote
from clickstream.consumer.store import Store
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.errors import BundleError
from clickstream.infra.kafka import Producer, Reader
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings, load_settings, opens
from clickstream.local.embedded import embedded_servers
from clickstream.local.processes import Process
from clickstream.producer.faults import FaultOptions
from clickstream.producer.plan import Plan, PlanOptions, Publication, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.records.score import digest
from clickstream.training.training import TrainingSession, train
from clickstream.training.writing import write

console = Console(highlight=False)

CLIENTS = ("kafka-python", "confluent-kafka")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--sessions", type=int, default=76_000, help="preloaded sessions (6.9 clicks each)")
    words.add_argument("--max-poll-records", type=int, help="records of a step; else as set")
    words.add_argument("--rate", type=int, default=2_000, help="clicks/s of the latency part")
    words.add_argument("--seconds", type=int, default=30, help="length of the latency part")
    words.add_argument("--core", type=int, default=None, help="pin the consumer to this core")
    words.add_argument("--shadow", help="bundle that rides along")
    words.add_argument("--rounds", type=int, default=3, help="runs of each Kafka client")
    words.add_argument("--client", choices=CLIENTS, help="this Kafka client alone")
    asked = words.parse_args()
    options = ("--shadow", asked.shadow) if asked.shadow else ()
    clients = (asked.client,) if asked.client else CLIENTS
    with system(max_poll_records=asked.max_poll_records) as (settings, folder):
        records = preloaded(settings, asked.sessions)
        runs = []
        for number, client in product(range(asked.rounds), clients):
            one = run(_of_client(settings, client, number), records, folder, asked.core, options)
            runs.append(one)
            console.print(
                f"{client}: {one.cpu:.1f} µs a click, {one.clicks_per_s:,.0f} clicks/s, scores {one.digest}"
            )
        _show(runs, clients)
        for client in clients:
            _latency(_of_client(settings, client), asked.rate, asked.seconds, folder, options)


def _of_client(settings: Settings, client: str, number: int = 0) -> Settings:
    """Settings of one run: a group and a scores topic of its own."""
    name = f"{client}-{number}"
    return settings.model_copy(
        update={"kafka_client": client, "group": f"bench-{name}", "scores_topic": f"scores-{name}"}
    )


@contextmanager
def system(**given: Any) -> Iterator[tuple[Settings, Path]]:
    """Servers of our own and a bundle in use: the settings to work with them, and a folder for logs."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        embedded_servers(load_settings().home, data=Path(folder), notify=console.print) as servers,
    ):
        settings = load_settings(
            kafka_bootstrap=servers.bootstrap, redis_url=servers.url, idle_after="0", **given
        )
        _prepare(settings)
        yield settings, Path(folder)


def _prepare(settings: Settings) -> None:
    try:
        bundle = load_bundle(settings)
    except BundleError:
        console.print("no bundle is in use: training one on synthetic sessions")
        dataset = synthetic_dataset(24_000)
        sessions = [TrainingSession(*visit) for visit in dataset.visits()]
        bundle = write(train(sessions, data_sha256=dataset.sha256, data_name=dataset.name), settings.bundles)
        promote(settings.bundles, bundle.id)
    console.print(f"bundle {bundle.id}")


def preloaded(settings: Settings, sessions: int) -> int:
    """The records that are now on the clicks topic."""
    plan = plan_of(settings, sessions)
    began = time.monotonic()
    publish(settings, plan.publications())
    took = time.monotonic() - began
    load = plan.schedule.load(settings.gap)
    console.print(
        f"preloaded {plan.clicks:,} clicks of {sessions:,} sessions at {plan.clicks / took:,.0f} clicks/s;"
        f" open at once: mean {load.mean:,.0f}, peak {load.peak:,}"
    )
    return len(plan)


def publish(settings: Settings, records: Iterable[Publication]) -> int:
    """Put records onto the clicks topic; how many they were."""
    prepare_topics(settings)
    count = 0
    with closing(Producer(settings)) as producer:
        for sent in records:
            count += 1
            producer.send(
                settings.clicks_topic, sent.partition, sent.key, sent.value, timestamp=sent.timestamp
            )
        producer.flush()
    return count


class Run(NamedTuple):
    """What one consumer did with all clicks. CPU in µs a click, that of stages in the main thread alone.

    `open_sessions` and what one takes in Redis are of half way; `redis_mb` is all that Redis held at the end.
    """

    client: str
    clicks_per_s: float
    cpu: float
    stages: dict[str, float]
    resident_mb: int
    open_sessions: int
    redis_bytes: float
    redis_mb: float
    transactions: int
    digest: str

    def of_stage(self, stage: str) -> float:
        """CPU a click of one stage."""
        return self.stages[stage]

    @property
    def without_scoring(self) -> float:
        """CPU a click but for the models and the figures about them."""
        return self.cpu - self.stages["score"] - self.stages["monitor"]

    @property
    def other_threads(self) -> float:
        """CPU a click beside the main thread."""
        return self.cpu - sum(self.stages.values())


def run(
    settings: Settings,
    records: int,
    folder: Path,
    core: int | None = None,
    options: Sequence[str] = (),
    filled: int = 0,
) -> Run:
    """A consumer over the `records` on the clicks topic, of which the first `filled` are not measured.

    The state that it leaves in Redis is deleted.
    """
    topic = prepare_topics(settings)
    with (
        closing(Store(settings, topic.id)) as store,
        closing(connect(settings)) as redis,
        consumer_of(settings, folder / f"{settings.group}.log", options) as consumer,
    ):
        if core is not None:
            os.sched_setaffinity(consumer.pid, {core})
        first = last = 0.0
        first_applied = reached = 0
        cpu_before = cpu = 0.0
        open_, bytes_, resident = 0, 0, 0
        while reached < records:
            if consumer.poll() is not None:
                raise SystemExit(consumer.last_words())
            reached = applied(store, topic.partitions)
            last, cpu = time.monotonic(), cpu_seconds(consumer.pid)
            if reached > filled and not first:
                first, first_applied, cpu_before = last, reached, cpu
            if reached > (filled + records) // 2 and not open_:
                open_ = sum(store.peek(p).open_sessions for p in range(topic.partitions))
                bytes_ = sum(
                    redis.memory_usage(key, samples=0) or 0
                    for p in range(topic.partitions)
                    for key in store.keys(p)[1:3]
                )
            resident = max(resident, resident_mb(consumer.pid))
            time.sleep(0.1)
        consumer.terminate()
        consumer.wait(20)
        stopped = _last_line(consumer.log)
        redis_mb = redis.info("memory")["used_memory"] / 2**20
        for partition in range(topic.partitions):
            store.delete(partition)
    done = records - first_applied
    return Run(
        settings.kafka_client,
        done / (last - first),
        (cpu - cpu_before) / done * 1e6,
        {name: seconds / records * 1e6 for name, seconds in stopped["cpu_seconds"].items()},
        resident,
        open_,
        bytes_ / max(open_, 1),
        redis_mb,
        stopped["transactions"],
        _digest(settings),
    )


def applied(store: Store, partitions: int) -> int:
    """The records that are counted in the state of all partitions."""
    return sum(store.peek(partition).applied or 0 for partition in range(partitions))


def _digest(settings: Settings) -> str:
    with closing(Reader(settings, settings.scores_topic)) as reader:
        batches = reader.read_to(reader.decided_ends().offsets)
        return digest(
            (orjson.loads(record.value or b"") for batch in batches for record in batch), "same-log"
        )


def _show(runs: Sequence[Run], clients: Sequence[str]) -> None:
    of = {client: [run for run in runs if run.client == client] for client in clients}
    table = Table(title="one consumer, all scorers, exactly once: medians", title_justify="left")
    table.add_column("")
    for client in clients:
        table.add_column(client, justify="right")

    def row(title: str, figure: Callable[[Run], float], form: str = ".1f") -> None:
        table.add_row(title, *(format(median(map(figure, of[client])), form) for client in clients))

    row("CPU a click, all threads, µs", lambda run: run.cpu)
    row("the same without scoring, µs", lambda run: run.without_scoring)
    row("clicks/s, wall clock", lambda run: run.clicks_per_s, ",.0f")
    row("clicks/s a core at that CPU", lambda run: 1e6 / run.cpu, ",.0f")
    row("resident memory, peak, MB", lambda run: run.resident_mb, ".0f")
    row("bytes in Redis an open session", lambda run: run.redis_bytes, ",.0f")
    row("transactions", lambda run: run.transactions, ",.0f")
    table.add_section()
    for stage in runs[0].stages:
        row(f"of it {stage}, µs", partial(Run.of_stage, stage=stage))
    row("of it other threads, µs", lambda run: run.other_threads)
    console.print(table)
    digests = {run.digest for run in runs}
    console.print(
        f"scores of {len(runs)} runs: {'all equal' if len(digests) == 1 else f'DIFFERENT: {digests}'}"
    )


def _latency(settings: Settings, rate: int, seconds: int, folder: Path, options: Sequence[str]) -> None:
    """Clicks at a steady rate: from sending a record to a reader having the committed score of it."""
    name = f"steady-{settings.kafka_client}"
    names = {"clicks_topic": name, "scores_topic": f"{name}-scores", "open_scores_topic": f"{name}-open"}
    settings = settings.model_copy(update=names | {"group": name})
    prepare_topics(settings)
    plan = plan_of(settings, max(rate * seconds // 6, 2_000))
    sent_at: dict[int, list[float]] = {p: [] for p in range(settings.partitions)}
    topics = {settings.scores_topic: "closing_offset"}
    if opens(settings):
        topics[settings.open_scores_topic] = "offset"
    seen: dict[str, list[tuple[float, float]]] = {topic: [] for topic in topics}
    ended = threading.Event()

    def subscribe(topic: str, cause: str) -> None:
        reader = Reader(settings, topic)
        while not ended.is_set():
            for record in reader.poll(timeout_ms=100):
                now = time.time()
                source = orjson.loads(record.value or b"")["source"]
                seen[topic].append((sent_at[source["partition"]][source[cause]], now))
        reader.close()

    with consumer_of(settings, folder / f"{name}.log", options) as consumer:
        subscribers = [threading.Thread(target=subscribe, args=of) for of in topics.items()]
        for subscriber in subscribers:
            subscriber.start()
        producer = Producer(settings, linger_ms=0)
        began, since = time.monotonic(), time.time()
        cpu_before = 0.0
        warm = len(plan) // 2
        # The first half fills the shop with open sessions at full speed; the second keeps the pace.
        for number, sent in enumerate(plan.publications()):
            if number == warm:
                producer.flush()
                _wait_until_applied(settings, number)
                began, since, cpu_before = time.monotonic(), time.time(), cpu_seconds(consumer.pid)
            if number >= warm:
                ahead = began + (number - warm) / rate - time.monotonic()
                if ahead > 0:
                    time.sleep(ahead)
                if time.monotonic() - began > seconds:
                    break
            sent_at[sent.partition].append(time.time())
            producer.send(
                settings.clicks_topic, sent.partition, sent.key, sent.value, timestamp=sent.timestamp
            )
        producer.flush()
        took = time.monotonic() - began
        time.sleep(0.5)
        cpu = cpu_seconds(consumer.pid) - cpu_before
        # Scores of the first half may still come when the second has begun.
        measured = {
            topic: [now - sent for sent, now in list(times) if sent >= since] for topic, times in seen.items()
        }
        ended.set()
        for subscriber in subscribers:
            subscriber.join()
        producer.close()
    for topic, times in measured.items():
        p50, p99 = np.percentile(times, (50, 99)) * 1_000
        busy = f"consumer {cpu / took:.0%} of a core"
        what = "click" if topic == settings.open_scores_topic else "closing record"
        console.print(
            f"{settings.kafka_client}: latency at {(number - warm) / took:,.0f} clicks/s,"
            f" {what} sent to committed score read:"
            f" p50 {p50:.0f} ms, p99 {p99:.0f} ms ({len(times):,} scores; {busy})"
        )


def plan_of(settings: Settings, sessions: int) -> Plan:
    """Made-up sessions of one busy day."""
    schedule = make_schedule(synthetic_dataset(sessions), ScheduleOptions())
    return make_plan(schedule, PlanOptions.of(settings, settings.partitions, True, FaultOptions()))


def _wait_until_applied(settings: Settings, records: int) -> None:
    topic = prepare_topics(settings)
    store = Store(settings, topic.id)
    deadline = time.monotonic() + 120
    while applied(store, topic.partitions) < records:
        if time.monotonic() > deadline:
            raise SystemExit("the consumer did not keep up")
        time.sleep(0.1)
    store.close()


@contextmanager
def consumer_of(settings: Settings, log: Path, options: Sequence[str] = ()) -> Iterator[Process]:
    consumer = Process(["consume", "--instance", "bench", *options], settings, log)
    try:
        yield consumer
    finally:
        consumer.stop()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def _last_line(log: Path) -> dict[str, Any]:
    lines = [line for line in log.read_text().splitlines() if '"event": "stopped"' in line]
    found: dict[str, Any] = json.loads(lines[-1])
    return found


if __name__ == "__main__":
    main()
