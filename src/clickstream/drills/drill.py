"""A drill: the faults of a plan, one after the other in a seeded order, and an audit at the end."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from clickstream.audit import AuditReport, run_audit
from clickstream.audit.verdict import AFTER_A_LOSS, unchecked_parts
from clickstream.drills.cluster_faults import CLUSTER_FAULTS, CUT_OFF, FEWEST_BROKERS, FOR_GOOD
from clickstream.drills.faults import FAULTS
from clickstream.drills.redis_faults import FAILOVERS
from clickstream.drills.stage import DrillStage, NotPossibleError, NotReachedError
from clickstream.infra.errors import UsageError
from clickstream.infra.failpoints import FAILPOINTS
from clickstream.infra.kafka import Reader
from clickstream.infra.words import counted

_RECOVERY_DEADLINE_S = 90.0
_FINISH_DEADLINE_S = 300.0
_REST_S = 1.0

REDIS_FAULTS = (
    "valkey-everysec",
    "valkey-always",
    "valkey-off",
    "flushall",
    "redis-full",
    "cut-redis",
    "slow-redis",
)

PLANS: dict[str, Mapping[str, int]] = {
    "quick": {"kill": 2, "after_commit": 1, "after_produce": 1, "pause": 1, "broker": 1, "flushall": 1},
    "kills": {"kill": 10, "lose": 2},
    "failpoints": dict.fromkeys(FAILPOINTS, 1),
    "proof": {**dict.fromkeys(FAILPOINTS, 20), "kill": 100},
    "rebalance": {"leave": 4, "kill": 2, "lose": 2, "pause": 2},
    "servers": {"broker": 5, "valkey-everysec": 5, "valkey-always": 5, "valkey-off": 5, "flushall": 3},
    "redis": dict.fromkeys(REDIS_FAULTS, 1),
    "network": {"cut-broker": 2, "cut-redis": 2, "slow-redis": 1},
    "all": {name: 1 for name in FAULTS if name not in CLUSTER_FAULTS and name not in FAILOVERS},
    "cluster": {name: 1 for name in CLUSTER_FAULTS if name not in CUT_OFF},
    "split": dict.fromkeys(CUT_OFF, 2),
    "failovers": {"redis-failover": 15, "redis-freeze": 5},
}
"""Plan -> fault -> how often."""


@dataclass
class FaultResult:
    """One fault of a drill: how often it was played, and the seconds until every partition made progress.

    `not_reached`: how often the occasion for it did not come. `not_recovered`: how often nothing went on.
    """

    times: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    not_reached: int = 0
    not_recovered: int = 0
    left_out: str = ""

    @property
    def median_s(self) -> float | None:
        """The median of the recoveries in seconds; None without any."""
        return statistics.median(self.recoveries_s) if self.recoveries_s else None

    @property
    def longest_s(self) -> float | None:
        """The longest of the recoveries in seconds; None without any."""
        return max(self.recoveries_s, default=None)


@dataclass
class DrillOutcome:
    """What a drill found.

    Attributes:
        finished: False where the records that were left were never scored.
        read_committed, read_uncommitted: records of the scores topic that a subscriber sees with that
            isolation level. The second sees those of aborted transactions too: copies.
    """

    seed: int
    rows: dict[str, FaultResult]
    finished: bool
    report: AuditReport
    read_committed: int
    read_uncommitted: int
    seconds: float

    @property
    def clean(self) -> bool:
        """Every session was scored once and right, and the system went on by itself after every fault."""
        return not list(self.problems())

    def problems(self) -> Iterator[str]:
        """What speaks against it, in words.

        Losses of all of Redis are among the faults: what only these leave unchecked is no problem.
        """
        if not self.finished:
            yield "the system did not come to the end of the log"
        for name, row in self.rows.items():
            if row.not_recovered:
                yield f"after {name} it did not go on everywhere"
            if row.not_reached:
                yield f"the occasion for {name} did not come"
        if self.report.flawed:
            yield "the audit found scores, open scores or dead letters that are not as they must be"
        for part, count in unchecked_parts(self.report).items():
            if part not in AFTER_A_LOSS:
                yield f"not checked: {part} ({count:,})"
        for reason, count in self.report.predictions_unchecked.items():
            yield f"{counted(count, 'prediction')} not checked: {reason}"
        if self.report.pending:
            yield f"{self.report.pending:,} windows are not scored yet"
        if self.report.opened.pending:
            yield f"{self.report.opened.pending:,} clicks have no open score yet"


def parse_plan(words: Iterable[str]) -> dict[str, int]:
    """Fault -> how often, of words like `kill=20`, `rebalance`, `failpoints=3` (a plan three times over).

    Raises:
        UsageError: a word names no fault and no plan, or how often is no whole number from 1 on.
    """
    plan: dict[str, int] = {}
    for word in words:
        name, _, count = word.partition("=")
        if count and not (count.isdigit() and int(count)):
            raise UsageError(
                f"{word}: {count!r} is not a whole number from 1 on", "Write NAME or NAME=TIMES."
            )
        if name not in PLANS and name not in FAULTS:
            raise UsageError(f"{name!r} is no fault and no plan", "`clickstream chaos --list` names them.")
        for fault, often in PLANS.get(name, {name: 1}).items():
            plan[fault] = plan.get(fault, 0) + often * int(count or 1)
    return plan


def check_brokers(plan: Iterable[str], brokers: int) -> None:
    """Raise UsageError where a fault needs more brokers."""
    needing = [name for name in plan if name in CLUSTER_FAULTS]
    if needing and brokers < FEWEST_BROKERS:
        raise UsageError(
            f"{needing[0]} needs {FEWEST_BROKERS} brokers, and there is {brokers}", "Add `--brokers 3`."
        )


def check_replicas(plan: Iterable[str], replicas: bool) -> None:
    """Raise UsageError where a fault needs a Redis with replicas."""
    needing = [name for name in plan if name in FAILOVERS]
    if needing and not replicas:
        raise UsageError(
            f"{needing[0]} needs a Redis with replicas", "Add `--redis sentinels` or `--redis cluster`."
        )


def order(plan: Mapping[str, int], seed: int) -> list[str]:
    """The faults in the order in which they are played: what cannot be mended comes last."""
    faults = [name for name, times in plan.items() for _ in range(times)]
    random.Random(seed).shuffle(faults)
    return sorted(faults, key=lambda name: name == FOR_GOOD)


def play(
    stage: DrillStage,
    faults: Sequence[str],
    seed: int,
    *,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[str, FaultResult], None] = lambda *_: None,
) -> DrillOutcome:
    """Play the faults on a stage that is set up, then let it finish, and audit it.

    Args:
        stop: asked before each fault; once it is true, those that are left are not played.
        report: called after each fault.

    Raises:
        ClickstreamError: a process ended in a way that no fault explains.
    """
    began = time.monotonic()
    rng = random.Random(f"{seed}/faults")
    rows: dict[str, FaultResult] = {name: FaultResult() for name in sorted(set(faults))}
    stage.wait(lambda: bool(stage.committed()), _RECOVERY_DEADLINE_S)
    for name in faults:
        if stop():
            break
        row = rows[name]
        if row.left_out:
            continue
        stage.wait(lambda: False, rng.uniform(0.0, _REST_S))
        try:
            for _ in FAULTS[name](stage, rng):
                took = _recovery(stage)
                if took is None:
                    row.not_recovered += 1
                else:
                    row.recoveries_s.append(took)
        except NotPossibleError as error:
            row.left_out = error.what
        except NotReachedError:
            row.not_reached += 1
        else:
            row.times += 1
        report(name, row)
    finished = stage.finish(_FINISH_DEADLINE_S)
    audit = run_audit(stage.settings, bundle=stage.settings.bundle)
    return DrillOutcome(
        seed,
        rows,
        finished,
        audit,
        read_committed=_seen(stage, committed_only=True),
        read_uncommitted=_seen(stage, committed_only=False),
        seconds=time.monotonic() - began,
    )


def _seen(stage: DrillStage, committed_only: bool) -> int:
    """How many records a subscriber of the scores topic sees."""
    with closing(Reader(stage.settings, stage.settings.scores_topic, committed_only)) as reader:
        return sum(len(batch) for batch in reader.read_to(reader.decided_ends().offsets))


def _recovery(stage: DrillStage) -> float | None:
    """Seconds until every partition has results of records that came after this moment; None: not in time.

    There are such records: the load goes on, and its heartbeats reach partitions without clicks.
    """
    began = time.monotonic()
    now: dict[int, int] = {}

    def progress() -> bool:
        nonlocal now
        now = now or stage.ends()
        committed = stage.committed()
        return bool(now) and all(committed.get(p, 0) > end for p, end in now.items())

    return time.monotonic() - began if stage.wait(progress, _RECOVERY_DEADLINE_S) else None
