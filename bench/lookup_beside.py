"""What look-ups cost a consumer that works flat out on a backlog: rounds without and with them, in turns.

    .venv/bin/python bench/lookup_beside.py [--rounds 5] [--sessions 76000] [--rate 200] [--nice 0]

On servers of its own. `serve` runs in every round, so that rounds differ in the requests alone; each asks for
a session whose click the consumer has just counted. Prints the consumer's CPU a click and its rate, medians
and their ratio: CPU a click tells what is done in the consumer, the rate also that all share the cores.
`--nice` is the priority of `serve`. The first round of each kind is not counted where there are more.
"""

from __future__ import annotations

import argparse
import http.client
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from os import PRIO_PROCESS, setpriority
from pathlib import Path
from statistics import median

from engine import Run, console, cpu_seconds, plan_of, publish, run, system
from lookup import Asked, open_loop, percentiles

from clickstream.consumer.store import Store
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.settings import Settings
from clickstream.local.child import free_port
from clickstream.local.processes import Process

START_S = 60.0

AHEAD_S = 0.1
"""How often it is asked how far the consumer is."""

BEHIND = 50
"""Clicks of a partition, the last that were counted, of which one is asked for."""

Keys = dict[int, list[str]]


def main() -> None:
    """Run the rounds, print the medians."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=5, help="rounds of each kind")
    words.add_argument(
        "--sessions", type=int, default=76_000, help="sessions of the backlog (6.9 clicks each)"
    )
    words.add_argument("--rate", type=float, default=200.0, help="look-ups a second")
    words.add_argument("--nice", type=int, default=0, help="niceness of `serve`, 0 to 19")
    options = words.parse_args()
    runs: dict[str, list[Run]] = {"without": [], "with": []}
    with system() as (settings, folder):
        records, keys = filled(settings, options.sessions)
        for number in range(options.rounds):
            for kind, found in runs.items():
                name = f"{kind}-{number}"
                mine = settings.model_copy(update={"group": name, "scores_topic": f"scores-{name}"})
                with serving(mine, folder, options.nice) as (url, server):
                    before = cpu_seconds(server.pid)
                    one, asked = measured(mine, folder, records, keys, url, options.rate * (kind == "with"))
                    served = cpu_seconds(server.pid) - before
                found.append(one)
                console.print(f"{kind} look-ups: {one.cpu:.1f} µs a click, {one.clicks_per_s:,.0f} clicks/s")
                if asked is not None:
                    each = 1e3 * served / len(asked.took)
                    console.print(
                        f"  {len(asked.took):,} requests, by status {dict(asked.statuses)};"
                        f" {percentiles(asked.took)}; {each:.2f} ms of CPU each in `serve`"
                    )
    show(runs)


def filled(settings: Settings, sessions: int) -> tuple[int, Keys]:
    """Put the backlog onto the topic: how many records, and the session of each by partition and offset."""
    publications = list(plan_of(settings, sessions).publications())
    keys: Keys = {partition: [] for partition in range(settings.partitions)}
    for sent in publications:
        keys[sent.partition].append("" if sent.key is None else sent.key.decode())
    return publish(settings, publications), keys


@contextmanager
def serving(settings: Settings, folder: Path, niceness: int) -> Iterator[tuple[str, Process]]:
    """A look-up that is ready: its address and its process."""
    port = free_port()
    server = Process(["serve", "--port", str(port)], settings, folder / f"serve-{settings.group}.log")
    try:
        setpriority(PRIO_PROCESS, server.pid, niceness)
        deadline = time.monotonic() + START_S
        while not is_ready(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(server.last_words())
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.stop()


def is_ready(port: int) -> bool:
    """Whether the look-up answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def measured(
    settings: Settings, folder: Path, records: int, keys: Keys, url: str, rate: float
) -> tuple[Run, Asked | None]:
    """A consumer over the backlog, with so many look-ups a second beside it; none: rate 0."""
    if not rate:
        return run(settings, records, folder), None
    ended = threading.Event()
    with ThreadPoolExecutor(1) as thread, closing(Store(settings, prepare_topics(settings).id)) as store:
        asking = thread.submit(open_loop, url, {}, rate, just_counted(store, keys, ended), ended=ended)
        try:
            found = run(settings, records, folder)
        finally:
            ended.set()
        return found, asking.result()


def just_counted(store: Store, keys: Keys, ended: threading.Event) -> Iterator[str]:
    """Sessions whose clicks the consumer counted last, one after the other."""
    rng = random.Random(1)
    while not ended.is_set():
        asked_at = time.monotonic()
        at = {partition: store.peek(partition).applied or 0 for partition in keys}
        ids = [
            key
            for partition, applied in at.items()
            for key in keys[partition][max(applied - BEHIND, 0) : applied]
            if key
        ]
        if not ids:
            time.sleep(AHEAD_S)
        while ids and time.monotonic() - asked_at < AHEAD_S:
            yield rng.choice(ids)


def show(runs: dict[str, list[Run]]) -> None:
    """Medians and their ratio."""

    def counted(kind: str) -> Sequence[Run]:
        return runs[kind][1:] or runs[kind]

    for title, figure in (("CPU a click, µs", "cpu"), ("clicks/s", "clicks_per_s")):
        without, beside = (median(getattr(one, figure) for one in counted(kind)) for kind in runs)
        console.print(
            f"{title}: {without:,.1f} without, {beside:,.1f} with look-ups, {beside / without - 1:+.1%}"
        )


if __name__ == "__main__":
    main()
