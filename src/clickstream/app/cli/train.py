"""`clickstream train`: fit the models of a bundle, judge them, write it and put it in use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from clickstream.app.data import find_dataset
from clickstream.infra.errors import MissingFileError
from clickstream.infra.settings import load_settings
from clickstream.models import bundle as bundles
from clickstream.models.champion import promote
from clickstream.models.manifest import Manifest
from clickstream.models.split import SplitKind
from clickstream.models.training import TrainingSession
from clickstream.models.training import train as fit
from clickstream.producer.dataset import read_dataset
from clickstream.producer.source import WHERE
from clickstream.producer.synthetic import synthetic_dataset

_SCORERS = ("batch", "online", "reference")

# Title, name in the manifest, places.
_COLUMNS = (
    ("AUC", "auc", 3),
    ("Brier", "brier", 3),
    ("ECE", "ece", 3),
    ("R²", "r2", 3),
    ("MAE $", "mae", 2),
    ("n", "conversion_n", 0),
)

_PROXY = (
    "The labels are a proxy: the data holds no purchase, conversion and revenue are a rule over a session's"
    " last click. reference sees that click and recovers the rule; batch and online predict it unseen."
)


def train(
    data: Annotated[
        Path | None,
        typer.Option(help="The file of UCI 553, zip or CSV. Else $CLICKSTREAM_DATA, or one in data/."),
    ] = None,
    synthetic: Annotated[
        int | None, typer.Option(help="Train on N made-up sessions instead, to try things out.", min=500)
    ] = None,
    split: Annotated[
        SplitKind,
        typer.Option(help="What is held out to judge the models: the last months, or 20 % at random."),
    ] = "time",
    seed: Annotated[int, typer.Option(help="Equal seeds on equal data give equal models.", min=0)] = 42,
    home: Annotated[
        Path | None, typer.Option(help="Folder that bundles/ lies in; by default CLICKSTREAM_HOME.")
    ] = None,
) -> None:
    """Fit all models on a dataset, show how good they are, and put them in use.

    Exit codes: 0 done; 65 the data cannot be used; 66 there is no data, the message says where to get it.
    """
    settings = load_settings(home=home)
    file = None if synthetic else find_dataset(data)
    if file is None and synthetic is None:
        raise MissingFileError("there is no dataset to train on", "Name it with --data F. " + WHERE)
    console = Console(highlight=False)
    begun = time.monotonic()

    def progress(step: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:5.1f} s[/]  {step}")

    if synthetic:
        progress(f"drawing {synthetic:,} synthetic sessions")
    else:
        progress(f"reading {file}")
    dataset = read_dataset(file) if file else synthetic_dataset(synthetic or 0, seed)
    fitted = fit(
        [TrainingSession(*session) for session in dataset.sessions()],
        data_sha256=dataset.sha256,
        data_name=dataset.name,
        split=split,
        seed=seed,
        progress=progress,
    )
    bundle = bundles.write(fitted, settings.bundles)
    promote(settings.bundles, bundle.id)
    progress("written, verified, in use")
    console.print()
    console.print(_figures(bundle.manifest))
    console.print(_clusters(bundle.manifest))
    console.print(_PROXY)
    console.print(f"\nbundle {bundle.id}\n{bundle.path}", soft_wrap=True)


def _figures(manifest: Manifest) -> Table:
    division = manifest.split
    seen = f"from {division.held_out_from}" if division.held_out_from else "random 20 %"
    held_out = {"batch": seen, "online": seen, "reference": "random 20 %"}
    table = Table(title="Conversion (AUC, Brier, ECE) and revenue (R², MAE), held out", title_justify="left")
    table.add_column("scorer")
    for title, _, _ in _COLUMNS:
        table.add_column(title, justify="right")
    table.add_column("held out")
    for scorer in _SCORERS:
        figures = manifest.figures[scorer]
        values = (f"{figures[name]:,.{places}f}" for _, name, places in _COLUMNS)
        table.add_row(scorer, *values, held_out[scorer])
    return table


def _clusters(manifest: Manifest) -> str:
    shares = ", ".join(f"{cluster.name} {cluster.share:.0%}" for cluster in manifest.clusters)
    figures = manifest.figures["clusters"]
    quality = ", ".join(
        f"{title} {figures[name]:.3f}"
        for title, name in (("silhouette", "silhouette_all"), ("Davies–Bouldin", "davies_bouldin_all"))
        if name in figures
    )
    return (
        f"Clusters: {shares} ({quality} on all sessions;"
        f" online agrees with batch: ARI {manifest.figures['online']['ari']:.3f}).\n"
    )
