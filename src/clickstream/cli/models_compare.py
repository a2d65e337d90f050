"""`clickstream models compare`: two bundles on the same sessions, which neither has learned from."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.console import Console

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.chosen_shop import chosen_definition
from clickstream.cli.options import ColumnsOption, DatasetOption, HomeOption, Shop
from clickstream.cli.train import read_sessions
from clickstream.cli.train_shop import read_windowed_log
from clickstream.features.shop_file import UCI553_NAME
from clickstream.infra.errors import UsageError
from clickstream.infra.settings import load_settings
from clickstream.terminal.comparison_view import comparison_as_dict, show_comparison
from clickstream.training import comparison
from clickstream.training.comparison import BundleComparison
from clickstream.training.shop.comparison import compare_shop


def compare(
    one: Annotated[str, typer.Argument(metavar="A", help="Bundle id, path, or champion.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The other, which the differences are of.")],
    data: DatasetOption = None,
    mapping: ColumnsOption = None,
    synthetic: Annotated[
        int | None, typer.Option(help="N made-up sessions, drawn with the seed of B.", min=500)
    ] = None,
    from_topic: Annotated[
        bool, typer.Option("--from-topic", help="The sessions of the clicks topic instead.")
    ] = False,
    shop: Shop = None,
    clicks_topic: Annotated[str | None, typer.Option(help="Topic of the clicks, for --from-topic.")] = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show two bundles on the same sessions: figures of both, and the difference with its 95 % interval.

    Sessions that one of them learned from are left out. The log-loss of batch decides which is better;
    nothing is promoted.

    Exit codes: 0 done; 64 options contradict each other; 65 a bundle or the data cannot be used, or too few
    sessions are left; 66 there is no data, the message says where to get it.
    """
    settings = load_settings(home=home, clicks_topic=clicks_topic, shop=shop)
    console = Console(highlight=False, stderr=as_json)
    definition = chosen_definition(settings)
    first, second = (load_bundle(settings, name, definition) for name in (one, other))
    if definition.name != UCI553_NAME:
        if clicks_topic is not None and not from_topic:
            raise UsageError(f"--clicks-topic {clicks_topic} without --from-topic", "Add --from-topic.")
        seed = second.manifest.seed
        log = read_windowed_log(settings, definition, data, mapping, synthetic, from_topic, seed, console)
        _show(compare_shop(first, second, log.windows), log.name, console, as_json)
        return
    source = read_sessions(
        settings,
        console,
        lambda _: None,
        data=data,
        mapping=mapping,
        synthetic=synthetic,
        from_topic=from_topic,
        clicks_topic=clicks_topic,
        seed=second.manifest.seed,
    )
    fresh = comparison.unseen(source.sessions, source.sha256, first.manifest, second.manifest)
    found = comparison.compare(first, second, fresh)
    _show(found, source.name, console, as_json)


def _show(found: BundleComparison, data_name: str, console: Console, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(comparison_as_dict(found, data_name)))
    else:
        show_comparison(found, data_name, console)
