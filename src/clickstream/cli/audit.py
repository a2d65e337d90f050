"""`clickstream scores audit`: proof that every session was scored exactly once, and right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from clickstream.audit import run_audit
from clickstream.audit.verdict import EXIT_CODES
from clickstream.cli.audit_follow import follow_audit
from clickstream.cli.options import Shop
from clickstream.infra.errors import UsageError
from clickstream.infra.settings import load_settings, parse_duration
from clickstream.local.servers import with_running_servers
from clickstream.terminal.audit_view import show

_EVERY = "5s"


def audit(
    clicks_topic: Annotated[str | None, typer.Option(help="Topic of the clicks.")] = None,
    scores_topic: Annotated[str | None, typer.Option(help="Topic of the scores.")] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group that scored them.")] = None,
    shop: Shop = None,
    bundle: Annotated[
        str | None,
        typer.Option(help="Id or path of a bundle to check predictions with, when it is not in its folder."),
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="File of the faults that `replay --ledger` wrote: find each of them.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Scores of the same clicks without faults: nothing else differs."),
    ] = None,
    independent: Annotated[
        bool,
        typer.Option(
            "--independent",
            help="Read every session a second time with the audit's own interpreter, not only one in eight.",
        ),
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on, round after round, while the system works. Ctrl-C ends.")
    ] = False,
    every: Annotated[
        str | None, typer.Option(metavar=_EVERY, help="With --follow: the pause between two rounds.")
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="1h", help="With --follow: end after so long.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the report as one JSON object; with --follow one a round."),
    ] = False,
) -> None:
    """Prove that every session on the clicks topic was scored exactly once, and right.

    Reads the whole clicks topic again, makes of it what must have been published, and compares. Settings
    must be those that the consumers ran with. May run while they do; --follow stays with them, and tells
    what it finds as it comes: a live line on a terminal, JSON lines in a pipe.

    Exit codes: 0 everything was checked, and nothing is missing, duplicate, unexpected or wrong; 1 something
    is; 3 nothing is, but not everything could be checked: the report says what, and why.
    """
    if follow and (ledger or baseline):
        raise UsageError(
            "--ledger and --baseline compare whole runs, --follow sees one that goes on",
            "Audit without --follow when the run is at its end.",
        )
    if not follow and (every or for_):
        raise UsageError("--every and --for are for --follow", "Give --follow too, or leave them out.")
    settings = with_running_servers(
        load_settings(clicks_topic=clicks_topic, scores_topic=scores_topic, group=group, shop=shop)
    )
    if follow:
        ends_in = None if for_ is None else _seconds("--for", for_)
        verdict = follow_audit(
            settings, bundle, _seconds("--every", every or _EVERY), ends_in, as_json, independent
        )
        raise typer.Exit(EXIT_CODES[verdict])
    console = Console(stderr=True, highlight=False)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(topic: str, passed: int, total: int) -> None:
            if topic not in tasks:
                tasks[topic] = bars.add_task(topic, total=total)
            bars.update(tasks[topic], completed=passed)

        report = run_audit(
            settings,
            bundle=bundle,
            ledger=ledger,
            baseline=baseline,
            independent=independent,
            progress=progress,
        )
    if as_json:
        typer.echo(orjson.dumps(report.as_dict(), default=str))
    else:
        show(report, Console(highlight=False, soft_wrap=True))
    raise typer.Exit(EXIT_CODES[report.verdict])


def _seconds(option: str, duration: str) -> float:
    try:
        return int(parse_duration(duration)) / 1_000
    except ValueError as error:
        raise UsageError(f"{option} {duration!r}: {error}", "Write it as 5s, 30min or 6h.") from error
