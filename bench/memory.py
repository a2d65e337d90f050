"""Resident memory of one consumer over millions of clicks of ever new sessions. Prints, asserts nothing.

python bench/memory.py                   5 million clicks
python bench/memory.py --clicks 1000000  fewer
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

from engine import applied, console, consumer_of, resident_mb, system
from rich.table import Table

from clickstream.consumer.store import Store
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.kafka import Producer
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.producer.faults import FaultOptions
from clickstream.producer.plan import PlanOptions, Publication, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.producer.synthetic import synthetic_dataset

_SESSIONS = 24_000
_ROWS = 20
_AHEAD = 50_000


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--clicks", type=int, default=5_000_000)
    asked = words.parse_args()
    with system() as (settings, folder):
        _watch(settings, asked.clicks, folder)


def _watch(settings: Settings, clicks: int, folder: Path) -> None:
    topic = prepare_topics(settings)
    store, redis, producer = Store(settings, topic.id), connect(settings), Producer(settings)
    table = Table(title="one consumer, ever new sessions", title_justify="left")
    for title in ("records", "clicks/s", "open sessions", "consumer MB", "Redis MB"):
        table.add_column(title, justify="right")

    with consumer_of(settings, folder / "memory.log") as consumer:
        began, done = time.monotonic(), 0
        for sent, publication in enumerate(islice(_publications(settings), clicks), 1):
            producer.send(
                settings.clicks_topic,
                publication.partition,
                publication.key,
                publication.value,
                timestamp=publication.timestamp,
            )
            # Not further ahead than this: it is the consumer that is measured.
            while sent % 5_000 == 0 and sent - applied(store, topic.partitions) > _AHEAD:
                if consumer.poll() is not None:
                    raise SystemExit(consumer.last_words())
                time.sleep(0.05)
            if sent % (clicks // _ROWS) == 0:
                now, reached = time.monotonic(), applied(store, topic.partitions)
                open_ = sum(store.peek(p).open_sessions for p in range(topic.partitions))
                used = redis.info("memory")["used_memory"] / 2**20
                cells = (reached, (reached - done) / (now - began), open_, resident_mb(consumer.pid), used)
                row = [f"{value:,.0f}" for value in cells]
                console.print("  ".join(cell.rjust(12) for cell in row))
                table.add_row(*row)
                began, done = now, reached
    producer.close()
    console.print(table)


def _publications(settings: Settings) -> Iterator[Publication]:
    """Sessions without end: the same visits, each time under new ids and on later days."""
    schedule = make_schedule(synthetic_dataset(_SESSIONS), ScheduleOptions())
    options = PlanOptions.of(settings, settings.partitions, True, FaultOptions())
    for run in count():
        # Three days later each time: two runs do not meet.
        for publication in make_plan(schedule.moved(run + 1, 3 * run), options).publications():
            name = b'"session_id":"%d-' % run
            yield publication._replace(
                key=publication.key and b"%d-%s" % (run, publication.key),
                value=publication.value.replace(b'"session_id":"', name, 1),
            )


if __name__ == "__main__":
    main()
