"""`clickstream shop check` and `shop show`: a definition examined, tried on clicks, and put into words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from clickstream.cli.shop_log import read_shop_log
from clickstream.documents.asyncapi import asyncapi as asyncapi_document
from clickstream.documents.records import as_json as json_document
from clickstream.documents.records import schema_document
from clickstream.features.definition import ShopDefinition
from clickstream.features.fold import compile_fold
from clickstream.features.words import feature_in_words, field_in_words, goal_in_words
from clickstream.files.reading import is_of_duckdb
from clickstream.infra.errors import MissingFileError
from clickstream.infra.words import counted
from clickstream.offline.trial import ShopTrial, try_definition, try_sessions
from clickstream.records.shops import load_shop
from clickstream.terminal.printable import plain

_Shop = Annotated[str, typer.Argument(metavar="FILE|NAME", help="A shop file, or a shop that is built in.")]


def check(
    shop: _Shop,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Clicks to try it on: one JSON object a line, as on the topic; - for a pipe."
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File that says which column of --data is which, TOML or SQL field."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON object.")] = False,
) -> None:
    """Check a shop file; with --data also show its features on real clicks, and how often the goal is met.

    Exit codes: 78 the file cannot be used; 1 no click of the data fits it; 65 data or mapping cannot be used.
    """
    definition = load_shop(shop).definition
    trial = None
    if mapping is not None or (data is not None and is_of_duckdb(data)):
        # What became of the rows goes beside a JSON object, not into it.
        log = read_shop_log(definition, data, mapping, None, 0, Console(stderr=as_json))
        trial = try_sessions(definition, log.sessions)
    elif data is not None:
        if str(data) == "-":
            trial = try_definition(definition, sys.stdin.buffer)
        elif not data.is_file():
            raise MissingFileError(f"{data} is not there", "Name a file of clicks, one JSON object a line.")
        else:
            with data.open("rb") as lines:
                trial = try_definition(definition, lines)
    if as_json:
        typer.echo(orjson.dumps(_as_dict(definition, trial)))
    else:
        console = Console(highlight=False, soft_wrap=True)
        console.print(
            f"[green]✓[/] shop {plain(definition.name)} {definition.hash}: {len(definition.fields)} fields,"
            f" {len(definition.features)} features; {plain(goal_in_words(definition))}"
        )
        if trial is not None:
            _show_trial(console, definition, trial)
    if trial is not None and not trial.clicks:
        raise typer.Exit(1)


def show(
    shop: _Shop = "uci553",
    code: Annotated[
        bool, typer.Option("--code", help="Print the code that its fold is compiled to.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of its clicks.")] = False,
    score_schema: Annotated[
        bool, typer.Option("--score-schema", help="Print the JSON Schema of its scores.")
    ] = False,
    asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="Print its topics as an AsyncAPI document.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the definition as one JSON object.")] = False,
) -> None:
    """Show a shop: what a click carries, what each feature is in words, what counts as a conversion."""
    definition = load_shop(shop).definition
    if code:
        typer.echo(compile_fold(definition).source, nl=False)
    elif schema:
        typer.echo(json_document(schema_document("click", definition)), nl=False)
    elif score_schema:
        typer.echo(json_document(schema_document("score", definition)), nl=False)
    elif asyncapi:
        typer.echo(asyncapi_document(shop), nl=False)
    elif as_json:
        typer.echo(orjson.dumps(_as_dict(definition, None)))
    else:
        _show(Console(highlight=False), definition)


def _show(console: Console, definition: ShopDefinition) -> None:
    console.print(
        f"shop [bold]{plain(definition.name)}[/]  {definition.hash}  {plain(definition.currency or '')}"
    )
    console.print(f"goal: {plain(goal_in_words(definition))}\n")
    fields = Table(title="fields", title_justify="left", box=None)
    for heading in ("field", "holds", "about"):
        fields.add_column(heading)
    for field in definition.fields:
        fields.add_row(plain(field.name), field_in_words(field), plain(field.about))
    console.print(fields)
    features = Table(title="\nfeatures", title_justify="left", box=None)
    features.add_column("feature", no_wrap=True)
    features.add_column("is")
    features.add_column("cluster")
    for feature in definition.features:
        mark = "✓" if feature.name in definition.clustered else ""
        features.add_row(plain(feature.name), plain(feature_in_words(feature)), mark)
    console.print(features)


def _show_trial(console: Console, definition: ShopDefinition, trial: ShopTrial) -> None:
    if trial.refused:
        console.print(f"[yellow]![/] {trial.refused:,} lines are no clicks of this shop:")
        for line, why in trial.first_refused.items():
            console.print(f"    line {line}: {plain(why)}")
    share = trial.share_converted
    if share is None:
        console.print("no click fits: compare a line with `clickstream shop show`")
        return
    console.print(
        f"{counted(trial.clicks, 'click')}, {counted(trial.sessions, 'session')}; the goal is met in"
        f" {share:.1%}"
    )
    if definition.goal.value is not None:
        console.print(f"revenue {trial.revenue / trial.sessions:,.2f} {definition.currency or ''} a session")
    if share in (0.0, 1.0):
        often = "never" if share == 0 else "always"
        console.print(f"[yellow]![/] the goal is {often} met here: nothing can be learned of it")
    table = Table(box=None)
    for heading in ("feature", "least", "most"):
        table.add_column(heading, no_wrap=True, justify="right" if heading != "feature" else "left")
    table.add_column("values", justify="right")
    table.add_column("null", justify="right")
    for name, of in trial.ranges.items():
        table.add_row(
            name, _short(of.least), _short(of.most), f"{of.distinct:,}", f"{of.nulls:,}" if of.nulls else ""
        )
    console.print(table)


def _short(value: Any) -> str:
    text = f"{value:,.6g}" if isinstance(value, float) else "" if value is None else str(value)
    return plain(text if len(text) <= 24 else text[:23] + "…")


def _as_dict(definition: ShopDefinition, trial: ShopTrial | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": definition.name,
        "hash": definition.hash,
        "currency": definition.currency,
        "goal": goal_in_words(definition),
        "fields": {field.name: field_in_words(field) for field in definition.fields},
        "features": {feature.name: feature_in_words(feature) for feature in definition.features},
        "clusters": definition.clustered,
    }
    if trial is not None:
        content["trial"] = {
            "clicks": trial.clicks,
            "sessions": trial.sessions,
            "refused": trial.refused,
            "first_refused": {str(line): why for line, why in trial.first_refused.items()},
            "converted": trial.converted,
            "revenue": trial.revenue if definition.goal.value is not None else None,
            "first_rows": trial.first_rows,
            "features": {
                name: {"nulls": of.nulls, "values": of.distinct, "least": of.least, "most": of.most}
                for name, of in trial.ranges.items()
            },
        }
    return content
