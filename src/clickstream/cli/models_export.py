"""`clickstream models export`: models for other programs, each proved to answer the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.bundles.onnx.export import TOLERANCE
from clickstream.bundles.onnx.export import export as convert
from clickstream.cli.options import HomeOption
from clickstream.features.shop import UCI553
from clickstream.files.dataset import Dataset, read_dataset
from clickstream.files.location import find_dataset
from clickstream.files.source import WHERE
from clickstream.infra.errors import MissingFileError, UsageError
from clickstream.infra.settings import load_settings
from clickstream.models.case import Case
from clickstream.producer.synthetic import NAME as SYNTHETIC
from clickstream.producer.synthetic import synthetic_dataset


def export(
    bundle: Annotated[
        str, typer.Argument(metavar="ID|PATH", help="Bundle id, path, or champion.")
    ] = "champion",
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX, the one format there is.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default ID-onnx here.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Sessions to compare answers on: the file of UCI 553. Else the data of the bundle, where it"
            " is found."
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Export the scikit-learn models of a bundle, each with a JSON file that explains its inputs.

    Each is asked for all sessions of the data; one whose answer differs anywhere by more than 1e-5 is not
    written. Needs `pip install 'clickstream-scoring[onnx]'`.

    Exit codes: 0 all were written; 1 some were refused; 66 there is no data to compare on.
    """
    if not onnx:
        raise UsageError("no format was named", "Give --onnx.")
    settings = load_settings(home=home)
    models = load_bundle(settings, bundle)
    dataset = _dataset(models, data)
    console = Console(highlight=False, soft_wrap=True)
    trained_on = models.manifest.data
    if dataset.sha256 != trained_on.sha256:
        console.print(
            f"[yellow]note:[/] answers are compared on {escape(dataset.name)}; the bundle was trained on"
            f" {escape(trained_on.name)}"
        )
    cases = [Case(UCI553.evidence(session), UCI553.features(session)) for _, _, session in dataset.sessions()]
    folder = out or Path(f"{models.id}-onnx")
    refused = False
    for one in convert(models, cases, f"{dataset.name}, SHA-256 {dataset.sha256}", folder):
        if one.refused is None:
            unit = "in another cluster" if one.name == "clusters" else "largest difference"
            console.print(
                f"[green]written[/]  {one.name:<21} {one.sessions:>7,} sessions, {unit} {one.difference:.3g}"
            )
        else:
            refused = True
            console.print(f"[bold red]refused[/]  {one.name:<21} {escape(one.refused)}")
    console.print(f"{escape(str(folder))}: a difference of {TOLERANCE:g} is allowed")
    if refused:
        raise typer.Exit(1)


def _dataset(bundle: Bundle, given: Path | None) -> Dataset:
    trained_on = bundle.manifest.data
    if given is None and trained_on.name == SYNTHETIC:
        made_up = synthetic_dataset(trained_on.sessions, bundle.manifest.seed)
        if made_up.sha256 == trained_on.sha256:
            return made_up
    file = find_dataset(given)
    if file is None:
        raise MissingFileError(
            "there are no sessions to compare answers on, and nothing is exported unchecked",
            "Name the file with --data F. " + WHERE,
        )
    return read_dataset(file)
