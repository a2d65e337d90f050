"""`clickstream doctor`: is everything as it must be, and if not, what to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from clickstream.cli.options import Shop
from clickstream.infra.errors import UsageError
from clickstream.infra.settings import load_settings, parse_duration
from clickstream.local.servers import with_running_servers
from clickstream.operate.doctor import Check, examine

_MARKS = {
    "ok": "[green]ok  [/]",
    "info": "[dim]info[/]",
    "warn": "[yellow]warn[/]",
    "fail": "[bold red]fail[/]",
}


def doctor(
    group: Annotated[str | None, typer.Option(help="Consumer group.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Bundle id, path, or champion.")] = None,
    shop: Shop = None,
    survive: Annotated[
        str, typer.Option(help="Longest loss of Redis to get over, as 1h: the clicks must be kept as long.")
    ] = "1h",
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as one JSON object.")] = False,
) -> None:
    """Check this machine, Kafka, Redis, the topics, the state and the models against the settings.

    Changes nothing. Exit codes: 0 nothing failed; 1 something did, and its line says what to do.
    """
    settings = with_running_servers(load_settings(group=group, bundle=bundle, shop=shop))
    try:
        longest = int(parse_duration(survive))
    except ValueError as error:
        raise UsageError(f"--survive {survive!r}: {error}", "Write it as 30min or 6h.") from error
    console = Console(highlight=False, soft_wrap=True)
    checks: list[Check] = []
    for check in examine(settings, longest):
        checks.append(check)
        if not as_json:
            console.print(f"{_MARKS[check.status]}  {check.part:<9}  {escape(check.what)}")
            if check.remedy:
                console.print(f"{'':17}[dim]→[/] {escape(check.remedy)}")
    bad = sum(check.status == "fail" for check in checks)
    if as_json:
        typer.echo(orjson.dumps({"ok": not bad, "checks": [asdict(check) for check in checks]}))
    else:
        warned = sum(check.status == "warn" for check in checks)
        console.print(f"\n{len(checks)} checks, {warned} warnings, {bad} failed")
    if bad:
        raise typer.Exit(1)
