"""What an audit costs in time and memory, by the number of sessions. Prints, asserts nothing.

    .venv/bin/python bench/audit.py [--sessions 1000000]

Clicks (about 7 a session, 8 partitions, ever new sessions) and their scores are made by the engine's own
event-time logic and written to files, so that nothing but the audit is in the memory that is measured. A
process of its own then judges the first tenth, the first half and all of them. Predictions are arithmetic:
what a bundle costs is not part of this.
"""

from __future__ import annotations

import argparse
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple, cast

import orjson
from factory import parse
from rich.console import Console
from rich.table import Table

from clickstream.audit import independent
from clickstream.audit.evaluation import AuditedLogs, evaluate_run
from clickstream.audit.partition import CommittedRange, TopicsAtStart
from clickstream.audit.spill import Spill
from clickstream.bundles.bundle import Bundle, Case, ScorerOutput
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.features.shop import UCI553
from clickstream.infra.kafka import Record
from clickstream.infra.memory import resident_bytes
from clickstream.infra.settings import Settings
from clickstream.models.case import DECIMALS
from clickstream.models.clusters import NAMES
from clickstream.models.online import OnlineModels
from clickstream.windows.fingerprint import fingerprint, rules_of
from clickstream.windows.partition import Partition

PARTITIONS = 8
START = 1_200_000_000_000

_EVERY_MS = 1_000  # a new session each second of event time
_frame = struct.Struct("<IqqII")


@dataclass(slots=True)
class Line:
    """A record as it is read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Arithmetic:
    """A bundle whose answers cost nothing."""

    id = "arithmetic"

    def predict(self, cases: Sequence[Case]) -> list[dict[str, ScorerOutput]]:
        """A function of the number of clicks."""
        return [dict.fromkeys(("batch", "reference"), _answer(case)) for case in cases]

    def online(self) -> Unlearned:
        """The online half, as it began."""
        return Unlearned()


class Unlearned:
    """The online half: it counts its lessons."""

    def __init__(self) -> None:
        self.lessons = 0

    def predict(self, case: Case) -> ScorerOutput:
        """One answer."""
        return _answer(case)

    def expect(self, cases: Sequence[Case]) -> None:
        """Each is answered alone."""

    def learn(self, _case: Case, _outcome: object) -> None:
        """Nothing but that there was one more."""
        self.lessons += 1


def _answer(case: Case) -> ScorerOutput:
    clicks = 1 if case.evidence is None else int(case.whole["session_length"])
    return ScorerOutput(round(1 / (1 + clicks), DECIMALS), 10.0 + clicks, clicks % 2, NAMES[clicks % 2])


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--sessions", type=int, default=1_000_000)
    words.add_argument("--share", choices=("none", "sample", "all"), default="sample", help="read twice")
    words.add_argument("--judge", nargs=3, metavar=("FOLDER", "CLICKS", "SCORES"), help=argparse.SUPPRESS)
    asked = words.parse_args()
    if asked.judge:
        folder, clicks, scores = asked.judge
        measure(Path(folder), int(clicks), int(scores), asked.share)
        return
    console = Console(highlight=False)
    marks = sorted({asked.sessions // 10, asked.sessions // 2, asked.sessions})
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as name:
        began = time.monotonic()
        cuts = write_logs(Path(name), marks)
        console.print(f"made {marks[-1]:,} sessions in {time.monotonic() - began:,.0f} s")
        table = Table(title="audit of generated records", title_justify="left")
        columns = (
            "sessions",
            "clicks",
            "sessions/s",
            "CPU µs\na session",
            "start\nMB",
            "peak\nMB",
            "disk\nMB",
        )
        for title in columns:
            table.add_column(title, justify="right")
        for cut in cuts:
            counts = [str(cut.clicks), str(cut.scores)]
            command = [sys.executable, __file__, "--share", asked.share, "--judge", name, *counts]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            found = orjson.loads(told)
            points = ", ".join(f"{clicks} {mb}" for clicks, mb in found["resident"].items())
            console.print(f"{cut.scores:,} sessions; clicks read and resident MB: {points}")
            table.add_row(
                f"{cut.scores:,}",
                f"{cut.clicks:,}",
                f"{cut.scores / found['seconds']:,.0f}",
                f"{found['cpu'] / cut.scores * 1e6:,.0f}",
                *(f"{found[n]:,}" for n in ("start", "peak", "database")),
            )
    console.print(table)


class Cut(NamedTuple):
    """Records of both files up to a moment."""

    clicks: int
    scores: int


def write_logs(folder: Path, marks: Sequence[int]) -> list[Cut]:
    """Write clicks and scores until as many scores are there as the last mark says; a cut at each mark."""
    settings, random = Settings(), Random(1)
    scorer = WindowScorer(
        cast(Bundle, Arithmetic()),
        settings.clicks_topic,
        fingerprint(settings),
        UCI553,
    )
    learners = [cast(OnlineModels, Unlearned()) for _ in range(PARTITIONS)]
    lanes = [Partition(rules_of(settings)) for _ in range(PARTITIONS)]
    offsets, published = [0] * PARTITIONS, [0] * PARTITIONS
    cuts: list[Cut] = []
    written = scored = 0
    with (folder / "clicks").open("wb") as clicks, (folder / "scores").open("wb") as scores:
        for partition, key, at, value in _clicks(random):
            audited, offset = lanes[partition], offsets[partition]
            offsets[partition] += 1
            clicks.write(_framed(partition, offset, at, key, value))
            written += 1
            audited.advance(offset, at, parse(value, key))
            for closed in audited.closed:
                (score,) = scorer.score([UnscoredWindow(partition, closed, learners[partition])])
                name = closed.session_id.encode()
                scores.write(_framed(partition, published[partition], at, name, score or b""))
                published[partition] += 1
                scored += 1
            audited.closed.clear()
            audited.changed.clear()
            if scored >= marks[len(cuts)]:
                cuts.append(Cut(written, scored))
                if len(cuts) == len(marks):
                    return cuts
    raise AssertionError("clicks never end")


def _clicks(random: Random) -> Iterator[tuple[int, bytes, int, bytes]]:
    """Partition, key, event time and value of clicks in the order of event time, without end."""
    by_time: dict[int, list[tuple[int, int]]] = {}
    number = second = 0
    while True:
        if second % (_EVERY_MS // 1_000) == 0:
            at = second
            for order in range(1, 1 + min(60, max(1, round(random.expovariate(1 / 6.6))))):
                by_time.setdefault(at, []).append((number, order))
                at += random.randint(1, 120)
            number += 1
        for session, order in by_time.pop(second, ()):
            product = random.randint(1, 217)
            value = orjson.dumps(
                {
                    "type": "click",
                    "session_id": f"visit-{session}",
                    "event_time": START + second * 1_000,
                    "product": f"P{product}",
                    "category": ("trousers", "skirts", "blouses", "sale")[product % 4],
                    "price": 18.0 + product % 60,
                    "price_2": 1 + product % 2,
                    "page": 1 + product % 5,
                    "order": order,
                }
            )
            yield session % PARTITIONS, b"visit-%d" % session, START + second * 1_000, value
        second += 1


def _framed(partition: int, offset: int, at: int, key: bytes, value: bytes) -> bytes:
    return _frame.pack(partition, offset, at, len(key), len(value)) + key + value


def _read(file: Path, topic: str, most: int, told: Callable[[int], None]) -> Iterator[Line]:
    with file.open("rb") as lines:
        for number in range(most):
            partition, offset, at, key, value = _frame.unpack(lines.read(_frame.size))
            yield Line(topic, partition, offset, at, lines.read(key), lines.read(value))
            if number % 10_000 == 0:
                told(number)


def measure(folder: Path, clicks: int, scores: int, share: str) -> None:
    """Judge the first so many records, a share of them read twice; print figures as JSON."""
    if share == "none":
        independent.ONE_IN = 1 << 63
    resident: dict[str, int] = {}
    start = resident_bytes() // 2**20
    database = 0
    spill = Spill()

    def told(read: int) -> None:
        nonlocal database
        database = max(database, spill.size)
        if read % (clicks // 10 // 10_000 * 10_000 or 10_000) == 0:
            resident[f"{read:,}"] = resident_bytes() // 2**20

    def all_scores() -> Iterator[Record]:
        return _read(folder / "scores", settings.scores_topic, scores, lambda _: None)

    settings = Settings()
    logs = AuditedLogs(
        clicks=lambda: _read(folder / "clicks", settings.clicks_topic, clicks, told),
        scores=all_scores,
        letters=list,
        topics=TopicsAtStart({p: CommittedRange(0, 1 << 40) for p in range(PARTITIONS)}),
    )
    began, cpu = time.monotonic(), time.process_time()
    report = evaluate_run(settings, logs, lambda _: Arithmetic(), spill=spill, independent=share == "all")
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    if not report.clean or report.scored != scores or report.predictions_checked != scores:
        raise AssertionError(f"not clean: {report}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found = {
        "seconds": seconds,
        "cpu": cpu,
        "resident": resident,
        "start": start,
        "peak": peak,
        "database": database // 2**20,
    }
    sys.stdout.buffer.write(orjson.dumps(found))


if __name__ == "__main__":
    main()
