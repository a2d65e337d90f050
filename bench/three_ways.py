"""The stream, one machine and Spark say the same of the same clicks. Prints what differs.

    PYTHONPATH=tests .venv/bin/python bench/three_ways.py --data FILE [--shop online-store --mapping FILE] \
        [--faults late=0.02,duplicate=0.05,reorder=0.05]

The log is replayed with faults onto a Kafka of its own and scored by a consumer with the bundle in use in
CLICKSTREAM_HOME. What then lies on the clicks topic is folded from files, here and on Spark. A click that
came late in the stream (T4) has its place in a file, so such sessions are counted apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import SecretStr
from rich.console import Console
from shop import Shop, stop

from clickstream.features.shop import UCI553
from clickstream.history.run import make_sessions
from clickstream.history.spark import make_sessions_on_spark
from clickstream.infra.kafka import Reader
from clickstream.infra.settings import Settings, load_settings
from clickstream.local.embedded import EmbeddedKafka, EmbeddedValkey
from clickstream.local.processes import environment

COMPARED = ("opened_at", "last_click_at", "closed_by", "clicks", "missing", "features", "evidence", "outcome")
FITTED = ("batch", "reference")

Rows = dict[str, dict[str, Any]]

console = Console(highlight=False)


def main() -> None:
    """Run it."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--data", required=True)
    given.add_argument("--mapping")
    given.add_argument("--shop", default=UCI553.definition.name)
    given.add_argument("--faults", default="late=0.02,duplicate=0.05,reorder=0.05")
    options = given.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        with EmbeddedKafka(folder / "kafka") as kafka, EmbeddedValkey(folder / "valkey") as valkey:
            settings = Settings(
                home=load_settings().home,
                shop=options.shop,
                kafka_bootstrap=kafka.bootstrap,
                redis_url=SecretStr(valkey.url),
            )
            stream = streamed(settings, options, folder)
            log = dumped(settings, folder / "log")
        mapping = None
        if options.shop == UCI553.definition.name:
            mapping = folder / "mapping.toml"
            mapping.write_text(mapping_of_records())
        began = time.monotonic()
        make_sessions([log], folder / "here", settings, mapping=mapping)
        console.print(f"one machine: {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        make_sessions_on_spark([log], folder / "spark", settings, master="local[2]", mapping=mapping)
        console.print(f"Spark, local[2]: {time.monotonic() - began:.0f} s")
        here, spark = sessions(folder / "here"), sessions(folder / "spark")
        console.print(f"{len(here):,} sessions here, {len(spark):,} on Spark, equal in all: {here == spark}")
        compare(stream, here)


def streamed(settings: Settings, options: argparse.Namespace, folder: Path) -> Rows:
    """The scores of a consumer."""
    shop = Shop(settings, folder)
    words = ["replay", "--data", options.data, "--speed", "max", "--faults", options.faults]
    words += ["--mapping", options.mapping] if options.mapping else []
    command = [sys.executable, "-m", "clickstream", *words]
    subprocess.run(command, env=environment(settings), check=True, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    consumer = shop.consumer()
    shop.drain(consumer, deadline_s=500)
    stop(consumer)
    console.print(f"stream: {shop.records():,} records, {time.monotonic() - began:.0f} s")
    return {str(score["score_id"]): score for score in shop.scores()}


def dumped(settings: Settings, folder: Path) -> Path:
    """The clicks of the topic as JSON lines, a file a partition."""
    folder.mkdir()
    with closing(Reader(settings, settings.clicks_topic)) as reader:
        files = {partition: (folder / f"{partition}.jsonl").open("wb") for partition in reader.partitions}
        for batch in reader.read_to(reader.decided_ends().offsets):
            for record in batch:
                if record.key is not None:
                    files[record.partition].write((record.value or b"") + b"\n")
        for file in files.values():
            file.close()
    for path in folder.iterdir():
        if not path.stat().st_size:
            path.unlink()
    return folder


def mapping_of_records() -> str:
    """Fields of the records of uci553 by their names."""
    needed = ("session_id", "product", "category", "price", "price_2", "page", "order")
    return "\n".join(
        ["[clicks]", 'event_time = { column = "event_time", format = "ms" }']
        + [f'{name} = "{name}"' for name in needed]
    )


def sessions(folder: Path) -> Rows:
    """Of a folder, by score id."""
    rows = pq.ParquetDataset(folder, partitioning=None).read().to_pylist()
    return {str(row["score_id"]): row for row in rows}


def compare(stream: Rows, here: Rows) -> None:
    """Print how many sessions differ in what."""
    late = {name for name, score in stream.items() if score["late"]}
    names = stream.keys() - late
    differ: Counter[str] = Counter()
    for name in names & here.keys():
        ours, theirs = here[name], stream[name]
        differ.update(field for field in COMPARED if ours[field] != theirs[field])
        for scorer in FITTED:
            said = (ours["predictions"] or {}).get(scorer)
            differ.update([f"predictions.{scorer}"] if said != theirs["predictions"][scorer] else [])
        drawn = theirs.get("drawn")
        if drawn is not None:
            said = {"clicks": drawn["clicks"], "predictions": {"batch": drawn["predictions"]["batch"]}}
            differ.update(["drawn"] if said != ours["drawn"] else [])
    duplicates = sum(int(score["duplicates"]) for score in stream.values())
    console.print(
        f"{len(stream):,} scores, {duplicates:,} copies dropped. {len(late):,} sessions have late clicks:"
        f" {sum(here.get(n, {}).get('clicks') == stream[n]['clicks'] for n in late):,} of them have as many"
        f" clicks here. Of the other {len(names):,}: {len(names - here.keys()):,} are not here,"
        f" {len(here.keys() - stream.keys()):,} are not in the stream; differ: {json.dumps(differ)}"
    )


if __name__ == "__main__":
    main()
