"""What `chaos` shows: the faults there are, each as it is played, and the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from clickstream.drills.drill import PLANS, DrillOutcome, FaultResult
from clickstream.drills.faults import FAULTS, describe
from clickstream.infra.failpoints import FAILPOINTS
from clickstream.infra.words import counted
from clickstream.terminal.audit_view import open_scores_words


def fault_lines(console: Console) -> Callable[[str, FaultResult], None]:
    """A function that prints a line for each fault that was played, with the seconds since now."""
    began = time.monotonic()

    def line(name: str, row: FaultResult) -> None:
        if row.left_out:
            words = f"left out: {row.left_out}"
        elif row.not_reached and not row.times:
            words = "the occasion for it did not come"
        else:
            words = (
                f"progress everywhere after {row.recoveries_s[-1]:.1f} s"
                if row.recoveries_s
                else "no progress"
            )
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/]  {name:<16} {words}")

    return line


def show_outcome(outcome: DrillOutcome, console: Console) -> None:
    """A table of the faults, the first findings, and the verdict."""
    table = Table(title=f"\nfaults, seed {outcome.seed}", title_justify="left", title_style="bold")
    table.add_column("fault")
    table.add_column("times", justify="right")
    table.add_column("recovered, median s", justify="right")
    table.add_column("longest s", justify="right")
    for name, row in outcome.rows.items():
        cells = [f"{value:.1f}" if value is not None else "" for value in (row.median_s, row.longest_s)]
        if row.not_recovered:
            cells[1] = f"[red]{row.not_recovered} not[/]"
        times = "left out" if row.left_out else str(row.times)
        table.add_row(
            name, f"{times}, [red]{row.not_reached} not reached[/]" if row.not_reached else times, *cells
        )
    console.print(table)
    report = outcome.report
    for problem in outcome.problems():
        console.print(f"[bold red]{problem}[/]")
    for finding in report.findings[:5]:
        console.print(f"{finding.kind} {finding.what} {finding.id}: {finding.detail}", markup=False)
    copies = outcome.read_uncommitted - outcome.read_committed
    console.print(
        f"\na subscriber that reads committed records saw {counted(outcome.read_committed, 'score')};"
        f" one that reads"
        f" uncommitted records saw {copies:,} more, of aborted transactions"
    )
    verdict = "[bold green]exactly once[/]" if outcome.clean else "[bold red]NOT CLEAN[/]"
    console.print(
        f"[bold]{sum(row.times for row in outcome.rows.values())} faults in {outcome.seconds:.0f} s,"
        f" {counted(report.clicks, 'click')}, {counted(report.scored, 'session')} scored,"
        f" {report.missing:,} missing,"
        f" {report.duplicate:,} duplicate, {report.wrong + report.unexpected:,} wrong"
        f"{open_scores_words(report)}[/]  {verdict}"
    )


def outcome_as_dict(outcome: DrillOutcome) -> dict[str, object]:
    """The outcome as `chaos --json` prints it."""
    return {
        "seed": outcome.seed,
        "clean": outcome.clean,
        "problems": list(outcome.problems()),
        "finished": outcome.finished,
        "read_committed": outcome.read_committed,
        "read_uncommitted": outcome.read_uncommitted,
        "seconds": outcome.seconds,
        "faults": {name: asdict(row) for name, row in outcome.rows.items()},
        "audit": outcome.report.as_dict(),
    }


def show_plans(console: Console) -> None:
    """Tables of all faults and all plans."""
    table = Table(title="faults", title_justify="left", box=None, show_header=False)
    for name in FAULTS:
        table.add_row(name, describe(name))
    console.print(table)
    table = Table(title="\nplans", title_justify="left", box=None, show_header=False)
    for name, faults in PLANS.items():
        table.add_row(name, " ".join(f"{fault}={times}" for fault, times in _short(faults).items()))
    console.print(table)


def _short(plan: Mapping[str, int]) -> dict[str, int]:
    """The plan, with `failpoints` for all of them where they have the same count."""
    counts = {plan.get(name) for name in FAILPOINTS}
    if counts == {None} or len(counts) > 1 or plan.keys() == FAILPOINTS.keys():
        return dict(plan)
    others = {name: times for name, times in plan.items() if name not in FAILPOINTS}
    return {**others, "failpoints": plan[next(iter(FAILPOINTS))]}
