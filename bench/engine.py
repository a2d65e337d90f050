"""What one consumer does on this machine: throughput, CPU by step, memory, latency. Prints, asserts nothing.

make bench                          all of it, on servers of its own
make bench ARGS="--sessions 20000"  a shorter one
make bench ARGS="--shadow champion" with a candidate that rides along
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from clickstream.infra.settings import Settings, load_settings
from clickstream.local.embedded import embedded_servers
from clickstream.local.processes import Process
from clickstream.producer.faults import FaultOptions
from clickstream.producer.plan import Plan, PlanOptions, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.training.training import TrainingSession, train
from clickstream.training.writing import write

console = Console(highlight=False)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--sessions", type=int, default=76_000, help="preloaded sessions (6.9 clicks each)")
    words.add_argument("--max-poll-records", type=int, help="records of a step; else as set")
    words.add_argument("--rate", type=int, default=2_000, help="clicks/s of the latency part")
    words.add_argument("--seconds", type=int, default=30, help="length of the latency part")
    words.add_argument("--core", type=int, default=None, help="pin the consumer to this core")
    words.add_argument("--shadow", help="bundle that rides along")
    asked = words.parse_args()
    options = ("--shadow", asked.shadow) if asked.shadow else ()
    with system(max_poll_records=asked.max_poll_records) as (settings, folder):
        _throughput(settings, asked.sessions, folder, asked.core, options)
        _latency(settings, asked.rate, asked.seconds, folder, options)


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
    prepare_topics(settings)
    plan = _plan(settings, sessions)
    began = time.monotonic()
    producer = Producer(settings)
    for sent in plan.publications():
        producer.send(settings.clicks_topic, sent.partition, sent.key, sent.value, timestamp=sent.timestamp)
    producer.flush()
    producer.close()
    took = time.monotonic() - began
    load = plan.schedule.load(settings.gap)
    console.print(
        f"preloaded {plan.clicks:,} clicks of {sessions:,} sessions at {plan.clicks / took:,.0f} clicks/s;"
        f" open at once: mean {load.mean:,.0f}, peak {load.peak:,}"
    )
    return len(plan)


def _throughput(
    settings: Settings, sessions: int, folder: Path, core: int | None, options: Sequence[str]
) -> None:
    records = preloaded(settings, sessions)
    topic = prepare_topics(settings)
    store, redis = Store(settings, topic.id), connect(settings)
    with consumer_of(settings, folder / "throughput.log", options) as consumer:
        if core is not None:
            os.sched_setaffinity(consumer.pid, {core})
        first = last = 0.0
        first_applied = applied = 0
        cpu_before = cpu = 0.0
        open_, bytes_, resident = 0, 0, 0
        while applied < records:
            if consumer.poll() is not None:
                raise SystemExit(consumer.last_words())
            metas = [store.peek(p) for p in range(topic.partitions)]
            applied = sum(meta.applied or 0 for meta in metas)
            last, cpu = time.monotonic(), cpu_seconds(consumer.pid)
            if applied and not first:
                first, first_applied, cpu_before = last, applied, cpu
            if applied > records // 2 and not open_:
                open_ = sum(meta.open_sessions for meta in metas)
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
    done = records - first_applied
    per_click = (cpu - cpu_before) / done * 1e6
    table = Table(title="one consumer, all scorers, exactly once", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("clicks/s, wall clock", f"{done / (last - first):,.0f}")
    table.add_row("CPU per click, all threads", f"{per_click:.1f} µs")
    table.add_row("clicks/s a core at that cost", f"{1e6 / per_click:,.0f}")
    table.add_row("resident memory, peak", f"{resident} MB")
    table.add_row("bytes in Redis an open session", f"{bytes_ / max(open_, 1):,.0f} ({open_:,} open)")
    table.add_row("steps / transactions", f"{stopped['steps']} / {stopped['transactions']}")
    console.print(table)
    steps = Table(title="where the time goes, µs a click (main thread)", title_justify="left")
    for title in ("step", "CPU", "wall"):
        steps.add_column(title, justify="left" if title == "step" else "right")
    wall, used = stopped["seconds"], stopped["cpu_seconds"]
    for name in wall:
        steps.add_row(name, f"{used[name] / records * 1e6:.1f}", f"{wall[name] / records * 1e6:.1f}")
    steps.add_row(
        "sum", f"{sum(used.values()) / records * 1e6:.1f}", f"{sum(wall.values()) / records * 1e6:.1f}"
    )
    console.print(steps)


def _latency(settings: Settings, rate: int, seconds: int, folder: Path, options: Sequence[str]) -> None:
    """Clicks at a steady rate: from sending the closing record to a reader having the committed score."""
    settings = settings.model_copy(
        update={"clicks_topic": "steady", "scores_topic": "steady-scores", "group": "steady"}
    )
    prepare_topics(settings)
    plan = _plan(settings, max(rate * seconds // 6, 2_000))
    sent_at: dict[int, list[float]] = {p: [] for p in range(settings.partitions)}
    closed: list[tuple[float, float]] = []
    ended = threading.Event()

    def subscribe() -> None:
        reader = Reader(settings, settings.scores_topic)
        while not ended.is_set():
            for record in reader.poll(timeout_ms=100):
                now = time.time()
                source = orjson.loads(record.value or b"")["source"]
                closed.append((sent_at[source["partition"]][source["closing_offset"]], now))
        reader.close()

    with consumer_of(settings, folder / "latency.log", options) as consumer:
        subscriber = threading.Thread(target=subscribe)
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
        measured = [now - sent for sent, now in list(closed) if sent >= since]
        ended.set()
        subscriber.join()
        producer.close()
    p50, p99 = np.percentile(measured, (50, 99)) * 1_000
    console.print(
        f"latency at {(number - warm) / took:,.0f} clicks/s, closing record sent to committed score read:"
        f" p50 {p50:.0f} ms, p99 {p99:.0f} ms ({len(measured):,} scores; consumer {cpu / took:.0%} of a core)"
    )


def _plan(settings: Settings, sessions: int) -> Plan:
    schedule = make_schedule(synthetic_dataset(sessions), ScheduleOptions())
    return make_plan(schedule, PlanOptions.of(settings, settings.partitions, True, FaultOptions()))


def _wait_until_applied(settings: Settings, records: int) -> None:
    topic = prepare_topics(settings)
    store = Store(settings, topic.id)
    deadline = time.monotonic() + 120
    while sum(store.peek(p).applied or 0 for p in range(topic.partitions)) < records:
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


def _last_line(log: Path) -> dict[str, dict[str, float]]:
    lines = [line for line in log.read_text().splitlines() if '"event": "stopped"' in line]
    found: dict[str, dict[str, float]] = json.loads(lines[-1])
    return found


if __name__ == "__main__":
    main()
