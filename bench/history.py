"""Years of clicks on this machine: sessions of Parquet files, by the local engine and by others alone.

Clicks of shop online-store are made up, a file a day; then each engine makes sessions of them. Prints clicks
a second, by the clock and of a core's CPU, and the most memory that its processes held together (PSS). The
others make sessions only, by window functions: they score nothing.

python bench/history.py generate CLICKS FOLDER     about 13 bytes a click; goes on where it was
python bench/history.py local FOLDER OUT           `clickstream score`; goes on where it was
python bench/history.py sessions FOLDER OUT        `clickstream sessions`: no models are asked
python bench/history.py duckdb FOLDER OUT          sessions in SQL
python bench/history.py spark FOLDER OUT           sessions in PySpark (extra spark)
"""

from __future__ import annotations

import argparse
import datetime
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
    words.add_argument("what", choices=("generate", "local", "sessions", "duckdb", "spark"))
    words.add_argument("given", nargs=2)
    words.add_argument("--memory", type=int, default=2_048, help="MiB that an engine may take")
    given = words.parse_args()
    first, second = given.given
    if given.what == "generate":
        generate(int(first), Path(second))
        return
    if given.what in ("local", "sessions"):
        command = "score" if given.what == "local" else "sessions"
        memory = ["--memory", str(given.memory)]
        line = [sys.executable, "-m", "clickstream", command, first, "--out", second, "--shop", SHOP, *memory]
    else:
        line = [sys.executable, __file__, f"{given.what}-alone", first, second]
    measure(line, clicks_in(Path(first)))


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


def clicks_in(folder: Path) -> int:
    """By the footers of the files."""
    return sum(pq.ParquetFile(path).metadata.num_rows for path in folder.glob("*.parquet"))


def measure(line: list[str], clicks: int) -> None:
    """Run a command and say what it took."""
    began = time.monotonic()
    process = subprocess.Popen(line)
    most = 0

    def watch() -> None:
        nonlocal most
        while process.poll() is None:
            most = max(most, sum(map(pss, family(process.pid))))
            time.sleep(2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    watcher.join()
    took = time.monotonic() - began
    if status:
        sys.exit(status)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
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


def pss(pid: int) -> int:
    """Memory of a process, what it shares divided by those who do; bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1_024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
