"""Years of clicks on this machine: sessions of Parquet files, by the local engine and by others alone.

Clicks of shop online-store are made up, a file a day; then each engine makes sessions of them. Prints clicks
a second, by the clock and of a core's CPU, and the most memory that its processes held together (PSS). The
others make sessions only, by window functions: they score nothing.

python bench/history.py generate CLICKS FOLDER     about 13 bytes a click; goes on where it was
python bench/history.py local FOLDER OUT           `clickstream score`; goes on where it was
python bench/history.py sessions FOLDER OUT        `clickstream sessions`: no models are asked
python bench/history.py duckdb FOLDER OUT          sessions in SQL
python bench/history.py spark FOLDER OUT           sessions in PySpark (extra spark)
python bench/history.py killed FOLDER OUT          `clickstream sessions` killed ten times, and what it left
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console

console = Console(highlight=False)

SHOP = "online-store"
A_DAY = 200_000
"""Clicks of a day, about."""
LONG = 7.0
"""Mean clicks of a session."""
PAUSE_MS = 40_000
FIRST_DAY = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
DAY_MS = 86_400_000
GAP_MS = 1_800_000

# Shares as in examples/online-store.
EVENTS = {
    "product_view": 0.50,
    "search": 0.19,
    "home": 0.15,
    "add_to_cart": 0.07,
    "payment_details": 0.04,
    "purchase": 0.03,
    "review_page": 0.02,
}
OF_VISITOR = {
    "platform": ("mobile", "tablet", "desktop"),
    "acquisition_channel": ("email", "social", "ads", "organic"),
    "user_cohort": ("2023-11", "2023-12", "2024-01"),
    "user_lifecycle": ("new", "returning", "loyal"),
}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    alone = ("duckdb-alone", "spark-alone")
    words.add_argument("what", choices=("generate", "local", "sessions", "duckdb", "spark", "killed", *alone))
    words.add_argument("given", nargs=2)
    words.add_argument("--memory", type=int, default=2_048, help="MiB that an engine may take")
    given = words.parse_args()
    first, second = given.given
    memory = ["--memory", str(given.memory)]
    match given.what:
        case "generate":
            generate(int(first), Path(second))
        case "killed":
            killed(Path(first), Path(second))
        case "duckdb-alone":
            duckdb_alone(first, second, given.memory)
        case "spark-alone":
            spark_alone(first, second, given.memory)
        case "duckdb" | "spark":
            line = [sys.executable, __file__, f"{given.what}-alone", first, second, *memory]
            measure(line, clicks_in(Path(first)))
        case _:
            command = "score" if given.what == "local" else "sessions"
            line = [sys.executable, "-m", "clickstream", command, first, "--out", second, "--shop", SHOP]
            measure([*line, *memory], clicks_in(Path(first)))


def generate(clicks: int, folder: Path) -> None:
    """Files of made-up clicks, a day each; a function of the day alone. What is there is left."""
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for day in range(-(-clicks // A_DAY)):
        path = folder / f"{FIRST_DAY.date() + datetime.timedelta(day)}.parquet"
        if not path.exists():
            made = path.with_suffix(".making")
            pq.write_table(clicks_of_day(day), made, compression="zstd")
            made.rename(path)
        written += path.stat().st_size
    console.print(f"{clicks_in(folder):,} clicks, {written / 1e9:.2f} GB")


def clicks_of_day(day: int) -> pa.Table:
    """Clicks in order of time, as a log has them; a few sessions go on after midnight."""
    draw = np.random.default_rng(day)
    lengths = draw.geometric(1 / LONG, size=int(A_DAY / LONG))
    session = np.repeat(np.arange(len(lengths)), lengths)
    pauses = draw.exponential(PAUSE_MS, size=len(session)).astype(np.int64) + 1
    starts = np.cumsum(lengths) - lengths
    elapsed = np.cumsum(pauses)
    began = int(FIRST_DAY.timestamp() * 1_000) + day * DAY_MS + draw.integers(DAY_MS, size=len(lengths))
    times = began[session] + elapsed - elapsed[starts][session]
    order = np.argsort(times, kind="stable")
    ids = pc.binary_join_element_wise(str(day), pa.array(session[order]).cast(pa.string()), "-")
    columns = {"session_id": ids, "event_time": pa.array(times[order])}
    names = np.array(list(EVENTS))
    columns["event"] = pa.array(names[draw.choice(len(names), p=list(EVENTS.values()), size=len(session))])
    for name, values in OF_VISITOR.items():
        chosen = draw.integers(len(values), size=len(lengths))
        columns[name] = pa.array(np.array(values)[chosen[session[order]]])
    return pa.table(columns)


SESSIONS_IN_SQL = f"""
WITH marked AS (
    SELECT *, event_time - lag(event_time) OVER in_order > {GAP_MS} AS begins FROM clicks
    WINDOW in_order AS (PARTITION BY session_id ORDER BY event_time)
), numbered AS (
    SELECT *, sum(CASE WHEN begins THEN 1 ELSE 0 END) OVER in_order AS visit FROM marked
    WINDOW in_order AS (PARTITION BY session_id ORDER BY event_time)
)
SELECT session_id, visit, min(event_time) AS opened_at, max(event_time) AS last_click_at, count(*) AS clicks,
    {", ".join(f"sum(CASE WHEN event = '{name}' THEN 1 ELSE 0 END) AS {name}s" for name in EVENTS)},
    count(DISTINCT event) AS kinds, max(CASE WHEN event = 'purchase' THEN 1 ELSE 0 END) AS converted,
    min(platform) AS platform, min(acquisition_channel) AS channel
FROM numbered GROUP BY session_id, visit
"""
"""A part of what the fold computes: no evidence, no order of events, no first and last, no draw."""


def duckdb_alone(folder: str, out: str, memory_mib: int) -> None:
    import duckdb

    Path(out).mkdir(parents=True)
    engine = duckdb.connect(
        config={"memory_limit": f"{memory_mib}MiB", "threads": 2, "temp_directory": f"{out}/spilled"}
    )
    engine.execute(f"CREATE VIEW clicks AS SELECT * FROM '{folder}/*.parquet'")
    engine.execute(f"COPY ({SESSIONS_IN_SQL}) TO '{out}/sessions.parquet'")


def spark_alone(folder: str, out: str, memory_mib: int) -> None:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", f"{memory_mib}m")
    spark = builder.config("spark.ui.enabled", "false").getOrCreate()
    spark.read.parquet(folder).createOrReplaceTempView("clicks")
    spark.sql(SESSIONS_IN_SQL).write.parquet(out)
    spark.stop()


def pieces(out: Path) -> int:
    """What a run has done whole: the buckets of clicks, those of sessions, the days."""
    done = len(list(out.glob("_work/partitioned.json"))) + len(list(out.glob("_work/sessions/????")))
    return done + len(list(out.glob("day=*/*.parquet")))


# Of a log that is worth killing for a minute.
_MANY_BUCKETS = """
from clickstream.history import run
run.BYTES_OF_A_BUCKET = 1 << 17
from clickstream.cli.main import main
main()
"""


def killed(folder: Path, out: Path) -> None:
    """Kill a run at random, ten times; then let it end, and compare with one that was let be."""
    whole, draw = out / "whole", np.random.default_rng(7)
    line = [sys.executable, "-c", _MANY_BUCKETS, "sessions", str(folder), "--shop", SHOP, "--out"]
    subprocess.run([*line, str(whole)], check=True)
    for number in range(10):
        process = subprocess.Popen([*line, str(out / "killed")])
        wanted = pieces(out / "killed") + int(draw.integers(1, 4))
        while process.poll() is None and pieces(out / "killed") < wanted:
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 1))
        # The parent alone: its workers have to notice.
        process.kill()
        console.print(f"{number + 1}: ended with {process.wait()}; {pieces(out / 'killed')} pieces are there")
    subprocess.run([*line, str(out / "killed")], check=True)
    both = [pq.read_table(out / name, partitioning=None).sort_by("score_id") for name in ("whole", "killed")]
    ids = both[1].column("score_id")
    if not both[0].equals(both[1]) or len(ids.unique()) != len(ids):
        sys.exit("the sessions differ")
    console.print(f"{len(ids):,} sessions, each once, equal to those of a run that was let be")


def clicks_in(folder: Path) -> int:
    """By the footers of the files."""
    return sum(pq.ParquetFile(path).metadata.num_rows for path in folder.glob("*.parquet"))


def measure(line: list[str], clicks: int) -> None:
    """Run a command and say what it took."""
    began = time.monotonic()
    process = subprocess.Popen(line)
    most, spent = 0, 0.0

    def watch() -> None:
        nonlocal most, spent
        while process.poll() is None:
            running = list(family(process.pid))
            most = max(most, sum(map(pss, running)))
            spent = max(spent, sum(map(cpu_s, running)))
            time.sleep(2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    watcher.join()
    took = time.monotonic() - began
    if status:
        sys.exit(status)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # A Java that nobody waits for is not among what the children have used.
    cpu = max(used.ru_utime + used.ru_stime, spent)
    console.print(
        f"{clicks:,} clicks in {took:,.0f} s: {clicks / took:,.0f} clicks/s, {most / 2**20:,.0f} MiB;"
        f" {cpu:,.0f} s of CPU: {clicks / cpu:,.0f} clicks/s of a core"
    )


def family(pid: int) -> Iterator[int]:
    """A process and those that it started."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from family(int(child))


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> int:
    """Memory of a process, what it shares divided by those who do; bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1_024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
