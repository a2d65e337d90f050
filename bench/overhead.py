"""What metrics and logs cost a consumer: CPU a click, found in two ways in one process.

Clocked: what is spent inside of them. Precise, and blind to what they do to the rest (caches, allocations).
Compared: of two steps one has all of them and the other none, in an order drawn by chance, over one backlog;
a step is taken to cost so much a record, so much a score, and so much a record for being told of. Blind to
nothing, and only as precise as the machine is quiet. Prints, asserts nothing.

python bench/overhead.py                    76,000 sessions
python bench/overhead.py --sessions 20000   fewer
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import structlog
from engine import console, preloaded, system
from prometheus_client import generate_latest
from rich.table import Table

from clickstream.bundles.bundle import load_bundle
from clickstream.consumer.assembly import open_engine
from clickstream.consumer.recovery import Claim
from clickstream.infra.logs import configure
from clickstream.infra.settings import Settings
from clickstream.monitoring.exposition import registry

_SCRAPE_EVERY_S = 15.0


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--sessions", type=int, default=76_000, help="6.9 clicks each")
    words.add_argument("--max-poll-records", type=int, help="records of a step; else as set")
    asked = words.parse_args()
    with system(max_poll_records=asked.max_poll_records, log_format="json") as (settings, _):
        records = preloaded(settings, asked.sessions)
        configure(settings)
        turns = InTurns(settings, records)
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        turns.engine.run()
        _show(turns)


class _Silent:
    """In the place of counters and monitor: takes everything, tells nothing."""

    @contextmanager
    def stage(self, _name: str) -> Iterator[None]:
        yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class _Clocked:
    """In the place of counters or monitor: the same, and `seconds` of CPU spent in its methods.

    A stage spends its own time around the work, not in a method: see `stage_seconds`.
    """

    def __init__(self, real: Any) -> None:
        self._real = real
        self.seconds = 0.0
        self.stage, self.transaction = getattr(real, "stage", None), getattr(real, "transaction", None)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._real, name)

        def clocked(*words: Any) -> Any:
            began = time.thread_time()
            try:
                return method(*words)
            finally:
                self.seconds += time.thread_time() - began

        return clocked


def stage_seconds(counters: Any) -> float:
    """CPU of one `stage` around nothing."""
    began = time.thread_time()
    for _ in range(10_000):
        with counters.stage("trim"):
            pass
    return (time.thread_time() - began) / 10_000


class InTurns:
    """An `engine` of which half of the turns neither count nor watch.

    `spent` holds (told, records, scores, CPU seconds of the loop's thread) of each turn with records;
    `all_threads` the CPU seconds of the process in all of these.
    """

    def __init__(self, settings: Settings, records: int) -> None:
        self.engine = open_engine(settings, load_bundle(settings))
        self._turn = self.engine._turn
        self.engine._turn = self._timed_turn  # type: ignore[method-assign]
        self.spent: list[tuple[bool, int, int, float]] = []
        self.all_threads = 0.0
        self.seen: Any = self.engine.counters
        self._watching: Any = self.engine.model_metrics
        self._clocks = _Clocked(self.seen), _Clocked(self._watching)
        self._left = records
        self._chance = np.random.default_rng(1)
        self._turns = [True]

    def _timed_turn(self) -> bool:
        silent: Any = _Silent()
        told = self._turns[-1]
        clocks: tuple[Any, Any] = self._clocks if told else (silent, silent)
        self._tell(*clocks)
        before, began, all_began = self._applied(), time.thread_time(), time.process_time()
        done = self._turn()
        clocks[0].observe(self.engine._claims.held, 0)
        used, records = time.thread_time() - began, self._applied() - before
        self._left -= records
        if records and before:
            scores = sum(len(claim.logic.closed) for claim in self._held())
            self.spent.append((told, records, scores, used))
            self.all_threads += time.process_time() - all_began
            self._turns.pop()
            if not self._turns:
                first = bool(self._chance.integers(2))
                self._turns = [first, not first]
        if self._left <= 0:
            self._tell(self.seen, self._watching)
            self.engine.stop()
        return done

    def _tell(self, counters: Any, monitor: Any) -> None:
        engine = self.engine
        engine.counters = engine._claims.counters = engine._processor.counters = counters
        engine.model_metrics = engine._processor.model_metrics = monitor

    def _held(self) -> Collection[Claim]:
        return self.engine._claims.held.values()

    def _applied(self) -> int:
        return sum(claim.applied for claim in self._held())

    def clocked_seconds(self) -> tuple[float, float]:
        """CPU spent in what counts, stages included, and in what watches the models."""
        counting, watching = self._clocks
        runs = sum(self.seen.runs.values())
        return counting.seconds + runs * stage_seconds(self.seen), watching.seconds

    def scrape_seconds(self) -> float:
        """CPU of one scrape, the median of some."""
        told = registry((self.seen.samples, self._watching.samples, self.engine.health.samples))
        times = []
        for _ in range(50):
            began = time.thread_time()
            generate_latest(told)
            times.append(time.thread_time() - began)
        return float(np.median(times))


def _show(seen: InTurns) -> None:
    structlog.reset_defaults()
    turns = np.array(seen.spent, dtype=np.float64)
    told, records, _, used = turns.T
    drawn = np.random.default_rng(1).integers(0, len(turns), (2_000, len(turns)))
    low, high = np.percentile([_cost(turns[rows]) for rows in drawn], (2.5, 97.5))
    cost = _cost(turns)
    loop = used[told == 0].sum() / records[told == 0].sum() * 1e6
    whole = seen.all_threads / records.sum() * 1e6 - cost / 2
    counting, watching = (seconds / records[told == 1].sum() * 1e6 for seconds in seen.clocked_seconds())
    scrape = seen.scrape_seconds()
    table = Table(title="metrics and logs: CPU", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("turns with / without", f"{int(told.sum())} / {int((told == 0).sum())}")
    table.add_row("a record without, loop's thread / all threads", f"{loop:.1f} / {whole:.1f} µs")
    table.add_row("clocked, a record: counters + models", f"{counting:.2f} + {watching:.2f} µs")
    table.add_row("of all threads", f"{(counting + watching) / whole:.1%}")
    table.add_row("compared, a record", f"{cost:.2f} µs (95 %: {low:.2f} to {high:.2f})")
    table.add_row("of all threads", f"{cost / whole:.1%} (95 %: {low / whole:.1%} to {high / whole:.1%})")
    table.add_row("one scrape", f"{scrape * 1e3:.1f} ms")
    table.add_row(f"one each {_SCRAPE_EVERY_S:.0f} s", f"{scrape / _SCRAPE_EVERY_S:.2%} of a core")
    console.print(table)


def _cost(turns: np.ndarray) -> float:
    """Microseconds a record for being told of, by least squares over turns."""
    told, records, scores, used = turns.T
    fitted, *_ = np.linalg.lstsq(np.column_stack((records, scores, told * records)), used, rcond=None)
    return float(fitted[2]) * 1e6


if __name__ == "__main__":
    main()
