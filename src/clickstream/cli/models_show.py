"""`clickstream models show`: a bundle in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from clickstream.bundles.folder import day_and_time, have, history
from clickstream.bundles.manifest import MANIFEST, Manifest
from clickstream.bundles.shop import definition_of
from clickstream.bundles.signature import SIGNATURE, signing_key
from clickstream.bundles.verification import VerifiedBundle, verify
from clickstream.cli.chosen_shop import chosen_shop
from clickstream.cli.options import HomeOption, Shop
from clickstream.features.words import goal_in_words
from clickstream.infra.settings import load_settings
from clickstream.infra.words import counted
from clickstream.models.evaluation import Estimate
from clickstream.models.shop.evaluation import ShopEvaluation
from clickstream.terminal.printable import plain
from clickstream.terminal.shop_training_view import by_seen_table

_SIGNED = {
    "valid": "signed; the signature is valid",
    "not checked": "signed; not checked, as no key is set",
    "no": "not signed",
}


def show(
    bundle: Annotated[
        str, typer.Argument(metavar="ID|PATH", help="Bundle id, path, or champion.")
    ] = "champion",
    shop: Shop = None,
    home: HomeOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print manifest and evaluation as one JSON object.")
    ] = False,
) -> None:
    """Show what is in a bundle: data, split, figures with their 95 % intervals, clusters, files.

    It is verified first; no pickle of it is opened.
    """
    settings = load_settings(home=home, shop=shop)
    definition, _ = chosen_shop(settings)
    verified = verify(have(settings, definition.name, bundle), signing_key(settings))
    manifest = verified.manifest
    evaluation = verified.evaluation() if manifest.shop is None else verified.shop_evaluation()
    if as_json:
        content = {
            "path": str(verified.path),
            "signed": verified.signed,
            "manifest": manifest.model_dump(mode="json"),
            "evaluation": evaluation.model_dump(mode="json"),
        }
        typer.echo(orjson.dumps(content))
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in _words(verified, [one.bundle_id for one in history(settings, definition.name)]):
        console.print(plain(line))
    if isinstance(evaluation, ShopEvaluation):
        console.print(_figures(evaluation.beside()))
        console.print(by_seen_table(evaluation))
    else:
        console.print(_figures(evaluation.figures))
    clusters = ", ".join(f"{cluster.name} {cluster.share:.0%}" for cluster in manifest.clusters)
    console.print(f"clusters: {plain(clusters)}")
    console.print(_files(manifest, verified.path))


def _words(verified: VerifiedBundle, used: list[str]) -> Iterator[str]:
    manifest = verified.manifest
    data, split = manifest.data, manifest.split
    yield f"bundle {manifest.id}" + (", in use" if used[:1] == [manifest.id] else "")
    yield str(verified.path)
    yield f"trained {day_and_time(manifest.created_at)}, seed {manifest.seed}; {_SIGNED[verified.signed]}"
    yield f"data: {data.name}, {counted(data.sessions, 'session')}, SHA-256 {data.sha256}"
    held = f"from {split.held_out_from}" if split.held_out_from else "at random"
    yield f"split: {split.train_sessions:,} to train, {split.held_out_sessions:,} held out {held}"
    currency = ""
    if manifest.shop is not None:
        shop = definition_of(manifest, verified.files)
        currency = f" {shop.currency}" if shop.currency else ""
        yield f"shop: {shop.name} {shop.hash}"
        yield f"goal: {goal_in_words(shop)}"
    if manifest.label_source == "goal":
        yield "labels: whether the goal was met"
    elif manifest.shop is None:
        yield "labels: a proxy; the data holds no purchase, the rule looks at a session's last click"
    else:
        yield "labels: a proxy; the rule looks at a session's last click"
    rates = manifest.base_rates
    earning = "" if rates.revenue is None else f", revenue {rates.revenue:.2f}{currency}"
    yield f"without evidence: conversion {rates.conversion:.3f}{earning}"
    yield "made with: " + ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    if manifest.feature_sets:
        yield "features: " + ", ".join(f"{name} {digest}" for name, digest in manifest.feature_sets.items())


def _figures(figures: Mapping[str, Mapping[str, Estimate]]) -> Table:
    table = Table(title="Held-out figures, with 95 % intervals over sessions", title_justify="left")
    table.add_column("scorer")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("95 %", justify="right")
    for scorer, of_scorer in figures.items():
        for name, estimate in of_scorer.items():
            value = f"{estimate.value:.3f}"
            table.add_row(scorer, name, value, f"{estimate.low:.3f} to {estimate.high:.3f}")
            scorer = ""
    return table


def _files(manifest: Manifest, path: Path) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("file", "bytes", "SHA-256"):
        table.add_column(title, justify="right" if title == "bytes" else "left", no_wrap=True)
    for name, entry in sorted(manifest.files.items()):
        table.add_row(name, f"{entry.bytes:,}", f"{entry.sha256[:16]}…")
    for name in (MANIFEST, SIGNATURE):
        if (path / name).is_file():
            table.add_row(name, f"{(path / name).stat().st_size:,}", "")
    return table
