"""The same clicks through this project and through its peers, one after the other. Prints, asserts nothing.

    .venv/bin/python bench/peers/compare.py                    20,000 sessions, three rounds
    .venv/bin/python bench/peers/compare.py --sessions 76000 --rounds 5

The peers are a bare loop over confluent-kafka whose state is volatile, and Quix Streams exactly once, with
state kept by hand and with its session windows; each computes five aggregates and asks no model. They have an
environment of their own beside this file, made from `requirements.txt`. The ratios hold on any machine, the
figures on this one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from engine import console, consumer_of, cpu_seconds, preloaded, system  # noqa: E402

from clickstream.consumer.store import Store  # noqa: E402
from clickstream.consumer.topics import prepare_topics  # noqa: E402
from clickstream.infra.kafka import Admin  # noqa: E402
from clickstream.infra.settings import Settings  # noqa: E402

_PEERS = {
    "bare confluent-kafka loop: volatile state": "bare.py",
    "Quix Streams, exactly once: state by hand": "quix_state.py",
    "Quix Streams, exactly once: session windows": "quix_windows.py",
}
_OURS = "clickstream-scoring, exactly once: all scorers"


class Run(NamedTuple):
    """Microseconds of CPU a record, of all threads; records a second by the clock."""

    cpu_us: float
    rate: float


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--sessions", type=int, default=20_000, help="6.9 clicks each")
    words.add_argument("--rounds", type=int, default=3)
    asked = words.parse_args()
    python = _environment()
    runs: dict[str, list[Run]] = {}
    with system() as (settings, folder):
        records = preloaded(settings, asked.sessions)
        for number in range(asked.rounds):
            for name, script in _PEERS.items():
                _add(runs, name, _peer(python, script, settings, records, number))
            _add(runs, _OURS, _ours(settings, records, number, folder))
    _show(runs)


def _add(runs: dict[str, list[Run]], name: str, run: Run) -> None:
    runs.setdefault(name, []).append(run)
    console.print(f"{name}: {run.cpu_us:.1f} µs, {run.rate:,.0f} records/s", soft_wrap=True)


def _environment() -> Path:
    """The Python of the peers' environment, made where it is missing."""
    folder = HERE / ".venv"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        console.print("making the peers' environment ...")
        venv.create(folder, with_pip=True, clear=True)
        install = (
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "-r",
            HERE / "requirements.txt",
        )
        subprocess.run(install, check=True)
        (folder / "ready").touch()
    return python


def _peer(python: Path, script: str, settings: Settings, records: int, number: int) -> Run:
    output = f"{Path(script).stem}-{number}"
    admin = Admin(settings)
    admin.create_topic(output, settings.partitions, {}, settings.replication_factor)
    admin.close()
    words = (settings.kafka_bootstrap, settings.clicks_topic, output, records, settings.gap)
    done = subprocess.run(
        [python, HERE / script, *map(str, words), str(settings.allowed_lateness)],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return Run(found["cpu_seconds"] / found["records"] * 1e6, found["records"] / found["seconds"])


def _ours(settings: Settings, records: int, number: int, folder: Path) -> Run:
    settings = settings.model_copy(update={"group": f"ours-{number}", "scores_topic": f"ours-{number}"})
    topic = prepare_topics(settings)
    store = Store(settings, topic.id)

    def applied() -> int:
        return sum(store.peek(p).applied or 0 for p in range(topic.partitions))

    with consumer_of(settings, folder / f"ours-{number}.log") as consumer:
        while not (first := applied()):
            time.sleep(0.02)
        began, cpu = time.monotonic(), cpu_seconds(consumer.pid)
        while applied() < records:
            if consumer.poll() is not None:
                raise SystemExit(consumer.last_words())
            time.sleep(0.05)
        took, used = time.monotonic() - began, cpu_seconds(consumer.pid) - cpu
    for partition in range(topic.partitions):
        store.delete(partition)
    store.close()
    return Run(used / (records - first) * 1e6, (records - first) / took)


def _show(runs: dict[str, list[Run]]) -> None:
    ours = statistics.median(run.cpu_us for run in runs[_OURS])
    table = Table(title="medians over the rounds", title_justify="left")
    table.add_column("")
    for title in ("µs CPU a record", "records/s", "ours / this"):
        table.add_column(title, justify="right")
    for name, found in runs.items():
        cpu = statistics.median(run.cpu_us for run in found)
        rate = statistics.median(run.rate for run in found)
        table.add_row(name, f"{cpu:.1f}", f"{rate:,.0f}", f"{ours / cpu:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
