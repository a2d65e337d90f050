"""A back-fill that is killed at random moments, beside a live group: each session once. Prints what it saw.

    PYTHONPATH=tests .venv/bin/python bench/backfill.py [--sessions 50000] [--kills 10] [--seed 1]

On a Kafka and a Valkey of its own, with the bundle in use in CLICKSTREAM_HOME. A consumer scores a stream of
the days after; the back-fill gets the day before as Parquet, of which the stream has seen a tenth.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from factory import click_json
from pydantic import SecretStr
from rich.console import Console
from shop import Shop, stop, wait_for

from clickstream.infra.kafka import Producer, Reader, partition_for
from clickstream.infra.settings import Settings, load_settings
from clickstream.local.embedded import EmbeddedKafka, EmbeddedValkey
from clickstream.local.processes import Process

MIDNIGHT = 1_772_409_600_000
DAY = "2026-03-02"
HOUR = 3_600_000
CLICKS = 4
LONGEST_S = 25
MAPPING = """
[clicks]
session_id = "visit"
event_time = { column = "at", format = "ms" }
order = "number"
product = "product"
category = "category"
price = "price"
price_2 = { constant = 1 }
page = "number"
"""

console = Console(highlight=False)


def main() -> None:
    """Run it."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--sessions", type=int, default=50_000)
    given.add_argument("--kills", type=int, default=10)
    given.add_argument("--seed", type=int, default=1)
    options = given.parse_args()
    draw = random.Random(options.seed)
    home = load_settings().home
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        with EmbeddedKafka(folder / "kafka") as kafka, EmbeddedValkey(folder / "valkey") as valkey:
            settings = Settings(home=home, kafka_bootstrap=kafka.bootstrap, redis_url=SecretStr(valkey.url))
            shop = Shop(settings, folder)
            log = written(folder, options.sessions)
            streamed(shop, range(0, options.sessions, 10), options.sessions)
            consumer = shop.consumer("live")
            shop.drain(consumer)
            seen = published(settings)
            console.print(f"{options.sessions:,} sessions of {DAY}; the stream has scored {seen:,} records")
            with going_on(settings, shop.topic.partitions) as sent:
                killed(shop, log, options.kills, draw)
                began = time.monotonic()
                last = Process(words(log), settings, folder / "last.log")
                wait_for(lambda: last.poll() is not None, "the back-fill has ended", 600)
                console.print(f"last run, {time.monotonic() - began:.1f} s: {last.last_words().strip()}")
            shop.drain(consumer)
            stop(consumer)
            report = shop.audit()
            names = Counter(
                str(one["score_id"])
                for one in shop.scores()
                if int(str(one["opened_at"])) < MIDNIGHT + 24 * HOUR
            )
            aborted = len(shop.scores(committed_only=False)) - len(shop.scores())
            console.print(
                f"{len(names):,} sessions of the day scored, of {options.sessions:,};"
                f" {sum(count > 1 for count in names.values()):,} more than once; {aborted:,} scores in"
                f" aborted transactions\n{len(sent):,} clicks came meanwhile; audit of the group:"
                f" {report.verdict}, {report.scored:,} scored, {report.other_topics:,} of other topics"
            )


def words(log: Path) -> list[str]:
    """The command."""
    return ["backfill", str(log), "--mapping", str(log.with_name("mapping.toml")), "--day", DAY]


def killed(shop: Shop, log: Path, kills: int, draw: random.Random) -> None:
    """So many runs, each killed within `LONGEST_S` of its start."""
    for number in range(kills):
        after = draw.uniform(0, LONGEST_S)
        run = Process(words(log), shop.settings, shop.folder / f"run-{number}.log")
        time.sleep(after)
        run.kill()
        there = sum(filled(shop).values())
        console.print(f"kill {number + 1} after {after:.1f} s, code {run.poll()}: {there:,} scores are there")


def filled(shop: Shop) -> Counter[str]:
    """Score id -> how often it is there, of the scores that were back-filled."""
    return Counter(
        str(one["score_id"])
        for one in shop.scores()
        if isinstance(source := one["source"], dict) and source["topic"] == f"backfill:{DAY}"
    )


def published(settings: Settings) -> int:
    """Scores that are committed, and the markers of transactions."""
    with closing(Reader(settings, settings.scores_topic)) as reader:
        return sum(reader.end_offsets().values())


def visit(number: int, sessions: int) -> Iterator[tuple[str, int, int]]:
    """Session id, event time and number of each of its clicks."""
    opened_at = MIDNIGHT + HOUR + number * 20 * HOUR // sessions
    for click in range(1, CLICKS + 1):
        yield f"v{number}", opened_at + click * 10_000, click


def written(folder: Path, sessions: int) -> Path:
    """The day as a log."""
    ids, times, numbers = zip(*(one for n in range(sessions) for one in visit(n, sessions)), strict=True)
    count = len(ids)
    table = pa.table(
        {
            "visit": ids,
            "at": times,
            "number": numbers,
            "product": ["A13"] * count,
            "category": ["trousers"] * count,
            "price": [38.0] * count,
        }
    )
    pq.write_table(table, folder / "day.parquet")
    (folder / "mapping.toml").write_text(MAPPING)
    return folder / "day.parquet"


def streamed(shop: Shop, some: range, sessions: int) -> None:
    """Sessions of the day on the topic, then the time of the day after."""
    partitions = shop.topic.partitions
    clicks = sorted((one for n in some for one in visit(n, sessions)), key=lambda one: one[1])
    shop.send_all(
        (
            partition_for(session_id.encode(), partitions),
            session_id.encode(),
            click_json(session_id=session_id, event_time=time, order=number, page=number),
            time,
        )
        for session_id, time, number in clicks
    )
    until = MIDNIGHT + 26 * HOUR
    beat = b'{"type": "heartbeat", "event_time": %d}' % until
    shop.send_all((partition, None, beat, until) for partition in range(partitions))


@contextmanager
def going_on(settings: Settings, partitions: int) -> Iterator[list[int]]:
    """Clicks of the days after, 200 a second; their event times."""
    ended = threading.Event()
    sent: list[int] = []

    def send() -> None:
        at = MIDNIGHT + 26 * HOUR
        with closing(Producer(settings)) as producer:
            while not ended.wait(0.1):
                for _ in range(20):
                    at += 2_000
                    name = f"live{at // 20_000}"
                    value = click_json(session_id=name, event_time=at)
                    partition = partition_for(name.encode(), partitions)
                    producer.send(settings.clicks_topic, partition, name.encode(), value, timestamp=at)
                    sent.append(at)
            producer.flush()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    main()
