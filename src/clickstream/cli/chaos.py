"""`clickstream chaos`: break the system on purpose, and see that every session is scored once."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import orjson
import typer
from pydantic import BaseModel
from rich.console import Console

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.chosen_shop import chosen_definition
from clickstream.cli.options import ColumnsOption, ServerHomeOption, Shop
from clickstream.cli.replayed import replayed_clicks
from clickstream.drills.cluster_faults import CUT_OFF
from clickstream.drills.drill import check_brokers, check_replicas, order, parse_plan, play
from clickstream.drills.stage import DrillStage, RedisKind
from clickstream.infra.errors import UsageError
from clickstream.infra.settings import Duration, load_settings
from clickstream.terminal.chaos_view import fault_lines, outcome_as_dict, show_outcome, show_plans
from clickstream.terminal.stopping import asked_once, interruptible

_SPEED = 600.0
_ENDING = b"\nno more faults: what was played is audited now; once more ends it at once\n"


class _For(BaseModel):
    duration: Duration


def chaos(
    plan: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME[=TIMES]]...", help="Faults or plans; `quick` when none is given."),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Name all faults, failpoints and plans.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="The UCI file, or the log of another shop; made-up sessions without it."),
    ] = None,
    mapping: ColumnsOption = None,
    shop: Shop = None,
    sessions: Annotated[int | None, typer.Option(help="Replay N sessions, again and again.", min=1)] = None,
    consumers: Annotated[int, typer.Option(help="Consumer processes.", min=1, max=16)] = 3,
    brokers: Annotated[
        int, typer.Option(help="Kafka brokers; with 3, what the plan `cluster` plays.", min=1, max=5)
    ] = 1,
    redis: Annotated[
        RedisKind, typer.Option(help="One server, or several with replicas: what `failovers` plays.")
    ] = "one",
    speed: Annotated[float, typer.Option(help="Times faster than the shop's clock.", min=1)] = _SPEED,
    seed: Annotated[int | None, typer.Option(help="Repeat the drill of this seed.", min=0)] = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="5min", help="Play the plan again and again for so long.")
    ] = None,
    session_timeout: Annotated[str, typer.Option(help="After which the group gives up on a member.")] = "3s",
    max_poll_records: Annotated[int, typer.Option(help="Clicks taken in one step.", min=1)] = 200,
    open_scores: Annotated[
        str | None,
        typer.Option(metavar="each|1,2,3…", help="Score open sessions as well, at these clicks."),
    ] = None,
    open_conditions: Annotated[
        str | None, typer.Option(metavar="NAME: CONDITION;…", help="And when these begin to hold.")
    ] = None,
    home: ServerHomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")] = False,
) -> None:
    """Break a running system on purpose, fault after fault, and audit every score.

    Starts a Kafka, a Valkey, consumers and an endless replay of its own on this machine, and ends them. The
    order of the faults is that of the seed; when each strikes also depends on the machine. Ctrl-C once: no
    more faults, and the audit of what was played; twice: the end.

    Exit codes: 0 nothing missing, duplicate or wrong, and the system went on after each fault; 1 otherwise.
    """
    console = Console(stderr=as_json, highlight=False)
    if show_list:
        show_plans(console)
        return
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    wanted = parse_plan(plan or ["quick"])
    check_brokers(wanted, brokers)
    check_replicas(wanted, redis != "one")
    settings = load_settings(
        home=home,
        shop=shop,
        session_timeout=session_timeout,
        max_poll_records=max_poll_records,
        open_scores=open_scores,
        open_conditions=open_conditions,
        log_format="json",
    )
    clicks = replayed_clicks(chosen_definition(settings), data, mapping)
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
            DrillStage(
                settings,
                folder,
                consumers=consumers,
                # One day is full of sessions where months of a log would be full of silences.
                load=[*clicks.words(sessions), "--calendar", "busy-day"],
                speed=speed,
                brokers=brokers,
                redis=redis,
                small_disk="disk-full" in faults,
                between=not CUT_OFF.keys().isdisjoint(faults),
            ) as stage,
        ):
            # Whoever is asked may be in the middle of printing.
            asked = asked_once(also=lambda: os.write(sys.stderr.fileno(), _ENDING))

            def stop() -> bool:
                return asked.is_set() or (until is not None and time.monotonic() > until)

            outcome = play(stage, faults, seed, stop=stop, report=fault_lines(console))
    except BaseException:
        console.print(f"what the processes said is in {folder}")
        raise
    if as_json:
        typer.echo(orjson.dumps(outcome_as_dict(outcome), default=str))
    else:
        show_outcome(outcome, console)
    if not outcome.clean:
        console.print(f"what the processes said is in {folder}")
        raise typer.Exit(1)
    shutil.rmtree(folder, ignore_errors=True)


def _seconds(duration: str) -> float:
    try:
        return _For(duration=duration).duration / 1000
    except ValueError as error:
        raise UsageError(f"--for {duration}: no duration", "Write it with a unit, as 90s or 5min.") from error
