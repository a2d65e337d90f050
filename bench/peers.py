"""The same clicks through this project and through its peers, one after the other. Prints, asserts nothing.

    .venv/bin/python bench/peers.py                    20,000 sessions, three rounds
    .venv/bin/python bench/peers.py --sessions 76000 --rounds 5

The peers are a bare loop over confluent-kafka whose state is volatile, and Quix Streams exactly once: with
five aggregates in state kept by hand and in its session windows, and with all that our features need by hand.
None asks a model, and by hand none closes a session by time. They have an environment of their own in
`peers/`, made from its `requirements.txt`. The ratios hold on any machine, the figures on this one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import venv
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from engine import console, preloaded, run, system
from rich.table import Table

from clickstream.infra.kafka import Admin
from clickstream.infra.settings import Settings

PEERS = Path(__file__).parent / "peers"

# Each with its program and the words before those that all of them take.
_PEERS: Mapping[str, Sequence[str]] = {
    "bare confluent-kafka loop: volatile state": ("bare.py",),
    "Quix Streams, exactly once: state by hand": ("quix.py", "state"),
    "Quix Streams, exactly once: state by hand, our features": ("quix.py", "features"),
    "Quix Streams, exactly once: session windows": ("quix.py", "windows"),
}
_OURS = "clickstream-scoring, exactly once: all scorers"


class Cost(NamedTuple):
    """Microseconds of CPU a record, of all threads; records a second by the clock."""

    cpu_us: float
    rate: float


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--sessions", type=int, default=20_000, help="6.9 clicks each")
    words.add_argument("--rounds", type=int, default=3)
    asked = words.parse_args()
    python = _environment()
    runs: dict[str, list[Cost]] = {}
    with system() as (settings, folder):
        records = preloaded(settings, asked.sessions)
        for number in range(asked.rounds):
            for name, program in _PEERS.items():
                _add(runs, name, _peer(python, program, settings, records, number))
            _add(runs, _OURS, _ours(settings, records, number, folder))
    _show(runs)


def _add(runs: dict[str, list[Cost]], name: str, cost: Cost) -> None:
    runs.setdefault(name, []).append(cost)
    console.print(f"{name}: {cost.cpu_us:.1f} µs, {cost.rate:,.0f} records/s", soft_wrap=True)


def _environment() -> Path:
    """The Python of the peers' environment, made where it is missing."""
    folder = PEERS / ".venv"
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
            PEERS / "requirements.txt",
        )
        subprocess.run(install, check=True)
        (folder / "ready").touch()
    return python


def _peer(python: Path, program: Sequence[str], settings: Settings, records: int, number: int) -> Cost:
    script, *way = program
    output = f"{'-'.join(program)}-{number}"
    with closing(Admin(settings)) as admin:
        admin.create_topic(output, settings.partitions, {}, settings.replication_factor)
    topics = (settings.kafka_bootstrap, settings.clicks_topic, output)
    done = subprocess.run(
        [
            python,
            PEERS / script,
            *way,
            *map(str, (*topics, records, settings.gap, settings.allowed_lateness)),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return Cost(found["cpu_seconds"] / found["records"] * 1e6, found["records"] / found["seconds"])


def _ours(settings: Settings, records: int, number: int, folder: Path) -> Cost:
    names = {"group": f"ours-{number}", "scores_topic": f"ours-{number}"}
    found = run(settings.model_copy(update=names), records, folder)
    return Cost(found.cpu, found.clicks_per_s)


def _show(runs: dict[str, list[Cost]]) -> None:
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
