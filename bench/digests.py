"""Shows that scores do not depend on how the work is done: digests of whole runs over the dataset.

    .venv/bin/python bench/digests.py [--data FILE]

First digest (all but `scored_at`): equal for any number of consumers, speed of the replay, size of a poll.
Second digest (also without source, models, online predictions): equal for any number of partitions.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from clickstream.audit import run_audit
from clickstream.files.location import find_dataset
from clickstream.infra.kafka import Reader
from clickstream.infra.settings import Settings, load_settings
from clickstream.local.demo import DemoRun
from clickstream.local.embedded import embedded_servers
from clickstream.records.score import digest

# Speed of the replay, partitions, then (consumers, records of a poll) one after the other over one log.
_RUNS = (
    ("max", 8, ((2, 2_000), (1, 100))),
    ("60000", 8, ((3, 5_000), (1, 2_000))),
    ("max", 4, ((1, 2_000),)),
    ("max", 12, ((2, 2_000),)),
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--data", type=Path)
    data = find_dataset(words.parse_args().data)
    source = ["--data", str(data)] if data else ["--synthetic", "24026"]
    table = Table()
    for title in (
        "speed",
        "partitions",
        "consumers",
        "poll",
        "s",
        "scores",
        "same log",
        "across logs",
        "audit",
    ):
        table.add_column(title, justify="right")
    for speed, partitions, crews in _RUNS:
        with (
            tempfile.TemporaryDirectory(prefix="digests-") as folder,
            embedded_servers(load_settings().home, data=Path(folder)) as servers,
        ):
            for consumers, records in crews:
                settings = load_settings(
                    kafka_bootstrap=servers.bootstrap,
                    redis_url=servers.url,
                    partitions=partitions,
                    group=f"group-{consumers}-{records}",
                    scores_topic=f"scores-{consumers}-{records}",
                    max_poll_records=records,
                )
                began = time.monotonic()
                # Over a log that is complete, a resumed replay adds nothing.
                how = ["--speed", speed] + (["--resume"] if (consumers, records) != crews[0] else [])
                _run(settings, Path(folder) / "logs", consumers, [*source, *how])
                scores = _scores(settings)
                table.add_row(
                    speed,
                    str(partitions),
                    str(consumers),
                    str(records),
                    f"{time.monotonic() - began:.0f}",
                    f"{len(scores):,}",
                    digest(scores, "same-log"),
                    digest(scores, "across-logs"),
                    "clean" if run_audit(settings).clean else "NOT CLEAN",
                )
    Console(width=120).print(table)


def _run(settings: Settings, logs: Path, consumers: int, replay: list[str]) -> None:
    run = DemoRun(settings, logs, consumers, replay)
    try:
        while not run.advance():
            pass
        run.finish()
    finally:
        run.close()


def _scores(settings: Settings) -> list[dict[str, object]]:
    reader = Reader(settings, settings.scores_topic)
    try:
        batches = reader.read_to(reader.decided_ends().offsets)
        return [orjson.loads(record.value or b"null") for batch in batches for record in batch]
    finally:
        reader.close()


if __name__ == "__main__":
    main()
