"""`clickstream chaos`: break the system on purpose, and see that every session is scored once."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from clickstream.cli.options import ServerHome
from clickstream.drills.drill import PLANS, Outcome, Row, order, parse_plan, play
from clickstream.drills.faults import FAULTS, describe
from clickstream.drills.stage import Stage
from clickstream.files.location import find_dataset
from clickstream.infra.errors import UsageError
from clickstream.infra.failpoints import FAILPOINTS
from clickstream.infra.settings import Duration, load_settings
from clickstream.infra.words import counted
from clickstream.models.bundle.bundle import load_bundle
from clickstream.terminal.stopping import interruptible

_SYNTHETIC_SESSIONS = 24_026
_SPEED = 600.0


class _For(BaseModel):
    duration: Duration


def chaos(
    plan: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME[=TIMES]]...", help="Faults or plans; `quick` when none is given."),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Name all faults, failpoints and plans.")] = False,
    data: Annotated[Path | None, typer.Option(help="The UCI file; synthetic sessions without it.")] = None,
    sessions: Annotated[int | None, typer.Option(help="Replay N sessions, again and again.", min=1)] = None,
    consumers: Annotated[int, typer.Option(help="Consumer processes.", min=1, max=16)] = 3,
    speed: Annotated[float, typer.Option(help="Times faster than the shop's clock.", min=1)] = _SPEED,
    seed: Annotated[int | None, typer.Option(help="Repeat the drill of this seed.", min=0)] = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="5min", help="Play the plan again and again for so long.")
    ] = None,
    session_timeout: Annotated[str, typer.Option(help="After which the group gives up on a member.")] = "3s",
    max_poll_records: Annotated[int, typer.Option(help="Clicks taken in one step.", min=1)] = 200,
    home: ServerHome = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")] = False,
) -> None:
    """Break a running system on purpose, fault after fault, and audit every score.

    Starts a Kafka, a Valkey, consumers and an endless replay of its own on this machine, and ends them. The
    order of the faults is that of the seed; when each strikes also depends on the machine.

    Exit codes: 0 nothing missing, duplicate or wrong, and the system went on after each fault; 1 otherwise.
    """
    console = Console(stderr=as_json, highlight=False)
    if show_list:
        _show_list(console)
        return
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    wanted = parse_plan(plan or ["quick"])
    settings = load_settings(
        home=home, session_timeout=session_timeout, max_poll_records=max_poll_records, log_format="json"
    )
    settings = settings.model_copy(update={"bundle": str(load_bundle(settings).path)})
    faults = order(wanted, seed)
    until = None
    if duration is not None:
        seconds = _seconds(duration)
        until = time.monotonic() + seconds
        faults = [name for turn in range(1 + round(seconds)) for name in order(wanted, seed + turn)]
    settings.home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=settings.home))
    console.print(
        f"clickstream chaos {' '.join(plan or ['quick'])} --seed {seed}"
        f"  [dim]({consumers} consumers, {'as long as asked' if until else f'{len(faults)} faults'})[/]"
    )
    try:
        with (
            interruptible(),
            Stage(
                settings,
                folder,
                consumers=consumers,
                load=_load(data, sessions),
                speed=speed,
                small_disk="disk-full" in faults,
            ) as stage,
        ):
            outcome = play(stage, faults, seed, deadline=until, told=_telling(console))
    except BaseException:
        console.print(f"what the processes said is in {folder}")
        raise
    if as_json:
        typer.echo(orjson.dumps(_as_dict(outcome), default=str))
    else:
        _show(outcome, console)
    if not outcome.clean:
        console.print(f"what the processes said is in {folder}")
        raise typer.Exit(1)
    shutil.rmtree(folder, ignore_errors=True)


def _seconds(duration: str) -> float:
    try:
        return _For(duration=duration).duration / 1000
    except ValueError as error:
        raise UsageError(f"--for {duration}: no duration", "Write it with a unit, as 90s or 5min.") from error


def _load(data: Path | None, sessions: int | None) -> list[str]:
    file = find_dataset(data)
    if file is None:
        return ["--synthetic", str(sessions or _SYNTHETIC_SESSIONS)]
    return ["--data", str(file), *(["--sessions", str(sessions)] if sessions else [])]


def _telling(console: Console) -> Callable[[str, Row], None]:
    began = time.monotonic()

    def told(name: str, row: Row) -> None:
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

    return told


def _show(outcome: Outcome, console: Console) -> None:
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
    if not outcome.finished:
        console.print("[bold red]the system did not come to the end of the log[/]")
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
        f" {report.duplicate:,} duplicate, {report.wrong + report.unexpected:,} wrong[/]  {verdict}"
    )


def _as_dict(outcome: Outcome) -> dict[str, object]:
    return {
        "seed": outcome.seed,
        "clean": outcome.clean,
        "finished": outcome.finished,
        "read_committed": outcome.read_committed,
        "read_uncommitted": outcome.read_uncommitted,
        "seconds": outcome.seconds,
        "faults": {name: asdict(row) for name, row in outcome.rows.items()},
        "audit": outcome.report.as_dict(),
    }


def _show_list(console: Console) -> None:
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
