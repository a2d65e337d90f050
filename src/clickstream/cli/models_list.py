"""`clickstream models list`: the bundles, how good they are, which is in use, which can be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import orjson
import typer
from rich.console import Console

from clickstream.bundles.folder import ListedBundle, day_and_time, examine_bundles, figure, history
from clickstream.cli.chosen_shop import chosen_shop
from clickstream.cli.options import HomeOption, Shop
from clickstream.infra.settings import Settings, load_settings
from clickstream.infra.words import counted
from clickstream.terminal.printable import plain

_SIGNED = {
    "valid": "signed",
    "not checked": "signed, not checked",
    "no": "not signed",
    None: "wrongly signed or damaged",
}


def list_bundles(
    shop: Shop = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the bundles as one JSON array.")] = False,
) -> None:
    """List the bundles: when and on what they were trained, how good they are, which is in use.

    Each is verified, none is opened. AUC and R² are those of scorer batch on held-out sessions.
    """
    settings = load_settings(home=home, shop=shop)
    definition, folder = chosen_shop(settings)
    found = list(examine_bundles(settings, definition.name))
    if as_json:
        typer.echo(orjson.dumps([one.as_dict() for one in found]))
        return
    console = Console(highlight=False, soft_wrap=True)
    if not found:
        console.print(f"no bundles in {folder}\nRun `clickstream train`.")
        return
    for one in found:
        for line in _lines(one):
            console.print(line)
    _print_champion(found, settings, definition.name, console)


def _lines(one: ListedBundle) -> Iterator[str]:
    mark = "[green]▶[/]" if one.in_use else " "
    usable = "[green]usable[/]" if one.problem is None else "[bold red]not usable here[/]"
    manifest = one.manifest
    if manifest is None:
        yield f"{mark} [bold]{one.id}[/]  {usable}"
    else:
        figures = "  ".join(
            f"{title} {value:.3f}"
            for title, name in (("AUC", "auc"), ("R²", "r2"))
            if (value := figure(manifest, "batch", name)) is not None
        )
        yield f"{mark} [bold]{one.id}[/]  {figures}  {_SIGNED[one.signed]}  {usable}"
        split = manifest.split
        held = f"from {split.held_out_from}" if split.held_out_from else "20 % at random"
        yield (
            f"    trained {day_and_time(manifest.created_at)} on {plain(manifest.data.name)},"
            f" {counted(manifest.data.sessions, 'session')}, held out {held}"
        )
    if one.problem is not None:
        what = one.problem.what.replace(f"bundle {one.path} ", "").replace(f" of bundle {one.path}", "")
        yield f"    [red]{plain(what)}[/]"
        yield f"    [dim]→[/] {plain(one.problem.remedy)}"


def _print_champion(found: list[ListedBundle], settings: Settings, shop: str, console: Console) -> None:
    before = history(settings, shop)
    if not before:
        console.print("\nNone is in use: `clickstream models promote ID`.")
        return
    current, *earlier = before
    since = "" if current.at is None else f" since {day_and_time(current.at)}"
    if current.bundle_id not in {one.id for one in found}:
        console.print(f"\n[bold red]{current.bundle_id} is in use, and is not here[/]")
    else:
        console.print(f"\n▶ in use{since}")
    if earlier:
        console.print(f"`clickstream models rollback` leads back to {earlier[0].bundle_id}")
    if settings.bundle != "champion":
        console.print(f"CLICKSTREAM_BUNDLE is {plain(settings.bundle)}: consumers use that one.")
