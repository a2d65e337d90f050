"""`clickstream models export`: models for other programs, each proved to answer the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.bundles.onnx.export import CLUSTERS, TOLERANCE, ExportedModel
from clickstream.bundles.onnx.export import export as convert
from clickstream.bundles.onnx.shop import export_shop
from clickstream.cli.chosen_shop import chosen_definition
from clickstream.cli.options import ColumnsOption, HomeOption, Shop
from clickstream.cli.train_shop import read_windowed_log
from clickstream.features.shop import UCI553
from clickstream.files.dataset import Dataset, read_dataset
from clickstream.files.location import find_dataset
from clickstream.files.source import WHERE
from clickstream.infra.errors import MissingFileError, UsageError
from clickstream.infra.settings import Settings, load_settings
from clickstream.models.case import Case
from clickstream.producer.synthetic import NAME as SYNTHETIC
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.producer.synthetic_shop import SHOP as KNOWN_SHOP
from clickstream.training.shop.points import points_of, whole_of


def export(
    bundle: Annotated[
        str, typer.Argument(metavar="ID|PATH", help="Bundle id, path, or champion.")
    ] = "champion",
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX, the one format there is.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default ID-onnx here.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Sessions to compare answers on: the file of UCI 553, or a log of the shop. Else the data of"
            " the bundle, where it is found."
        ),
    ] = None,
    mapping: ColumnsOption = None,
    shop: Shop = None,
    home: HomeOption = None,
) -> None:
    """Export the scikit-learn models of a bundle, each with a JSON file that explains its inputs.

    Each is asked for all sessions of the data, of a shop of your own for all decision points; one whose
    answer differs anywhere by more than 1e-5 is not written. Needs `pip install 'clickstream-scoring[onnx]'`.

    Exit codes: 0 all were written; 1 some were refused; 66 there is no data to compare on.
    """
    if not onnx:
        raise UsageError("no format was named", "Give --onnx.")
    settings = load_settings(home=home, shop=shop)
    models = load_bundle(settings, bundle, chosen_definition(settings))
    console = Console(highlight=False, soft_wrap=True)
    folder = out or Path(f"{models.id}-onnx")
    if models.manifest.shop is None:
        exported = _uci(models, data, folder, console)
    else:
        exported = _own(settings, models, data, mapping, folder, console)
    refused = False
    for one in exported:
        if one.refused is None:
            unit = "in another cluster" if one.name == CLUSTERS else "largest difference"
            of = "sessions" if models.manifest.shop is None or one.name == CLUSTERS else "moments"
            console.print(
                f"[green]written[/]  {one.name:<21} {one.sessions:>7,} {of}, {unit} {one.difference:.3g}"
            )
        else:
            refused = True
            console.print(f"[bold red]refused[/]  {one.name:<21} {escape(one.refused)}")
    of_most = "" if models.manifest.shop is None else "; of revenue, that part of the largest"
    console.print(f"{escape(str(folder))}: a difference of {TOLERANCE:g} is allowed{of_most}")
    if refused:
        raise typer.Exit(1)


def _uci(models: Bundle, data: Path | None, folder: Path, console: Console) -> Iterator[ExportedModel]:
    dataset = _dataset(models, data)
    _note(models, dataset.name, dataset.sha256, console)
    cases = [Case(UCI553.evidence(session), UCI553.features(session)) for _, _, session in dataset.sessions()]
    return convert(models, cases, f"{dataset.name}, SHA-256 {dataset.sha256}", folder)


def _own(
    settings: Settings,
    models: Bundle,
    data: Path | None,
    mapping: Path | None,
    folder: Path,
    console: Console,
) -> Iterator[ExportedModel]:
    trained_on = models.manifest.data
    drawn = trained_on.sessions if data is None and trained_on.name == KNOWN_SHOP else None
    log = read_windowed_log(settings, models.shop, data, mapping, drawn, False, models.manifest.seed, console)
    _note(models, log.name, log.sha256, console)
    points, whole = points_of(models.shop, log.windows).table, whole_of(models.shop, log.windows)
    return export_shop(models, points, whole, f"{log.name}, SHA-256 {log.sha256}", folder)


def _note(models: Bundle, name: str, sha256: str, console: Console) -> None:
    trained_on = models.manifest.data
    if sha256 != trained_on.sha256:
        console.print(
            f"[yellow]note:[/] answers are compared on {escape(name)}; the bundle was trained on"
            f" {escape(trained_on.name)}"
        )


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
