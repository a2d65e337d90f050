"""`clickstream train --shop`: the models of any shop, from a log to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from clickstream.bundles.signature import signing_key
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.mapping import map_log, mapping_by_name, read_shop_mapping
from clickstream.infra.errors import MissingFileError, UsageError
from clickstream.infra.room import check_room
from clickstream.infra.settings import Settings
from clickstream.models.shop.examples import ShopWindow
from clickstream.offline.shop_windows import shop_windows
from clickstream.operate.candidate import PromotionPolicy, decide, show_decision
from clickstream.producer.synthetic_shop import SHOP, known_sessions
from clickstream.terminal.cleaning_view import show_cleaning
from clickstream.terminal.shop_training_view import show_shop_training
from clickstream.terminal.steps import step_report
from clickstream.training.shop.comparison import compare_shop
from clickstream.training.shop.training import train_shop
from clickstream.training.writing import write_shop
from clickstream.windows.partition import Rules


class WindowedLog(NamedTuple):
    """A log of a shop, cut into windows; `sha256` is of the file, or of the sessions that were made up."""

    name: str
    sha256: str
    windows: list[ShopWindow]


def train_any_shop(
    settings: Settings,
    definition: ShopDefinition,
    data: Path | None,
    mapping: Path | None,
    synthetic: int | None,
    seed: int,
    promotion: PromotionPolicy,
) -> None:
    """Train on a log, or on `synthetic` made-up sessions; write the bundle, and show how good it is.

    Raises:
        MissingFileError, InputError: there is no log, or it cannot be used.
        UsageError: no sessions of this shop can be made up.
    """
    signing_key(settings)
    check_room(settings.bundles)
    console = Console(highlight=False)
    step = step_report(console)

    shop_log = read_windowed_log(settings, definition, data, mapping, synthetic, seed, console)
    fitted = train_shop(
        definition,
        shop_log.windows,
        data_sha256=shop_log.sha256,
        data_name=shop_log.name,
        seed=seed,
        step=step,
    )
    bundle = write_shop(fitted, settings)
    put_in_use = decide(
        settings, bundle, promotion, lambda one, other: compare_shop(one, other, shop_log.windows)
    )
    step("written, verified, in use" if put_in_use.promoted else "written, verified")
    show_shop_training(fitted.evaluation, bundle.path, console)
    show_decision(put_in_use, bundle.id, shop_log.name, console, f" --shop {settings.shop}")


def read_windowed_log(
    settings: Settings,
    definition: ShopDefinition,
    data: Path | None,
    mapping: Path | None,
    synthetic: int | None,
    seed: int,
    console: Console,
) -> WindowedLog:
    """Read a log, or make up `synthetic` sessions, and cut them into windows.

    Raises:
        MissingFileError, InputError: there is no log, or it cannot be used.
        UsageError: no sessions of this shop can be made up.
    """
    if synthetic is not None:
        if data is not None or definition != built_in(SHOP):
            raise UsageError(
                f"--synthetic {synthetic} draws sessions of shop {SHOP} alone, and needs no --data",
                f"Add --shop {SHOP}, or give --data without --synthetic.",
            )
        name, (sessions, _, sha256) = SHOP, known_sessions(synthetic, seed)
    else:
        if data is None:
            raise MissingFileError(
                f"there is no log of shop {definition.name}",
                "Name it with --data F, and with --mapping M what says which column is which field.",
            )
        columns = mapping_by_name(definition) if mapping is None else read_shop_mapping(mapping, definition)
        name, sha256, sessions, cleaning = map_log(data, definition, columns)
        show_cleaning(cleaning, console)
    return WindowedLog(
        name, sha256, shop_windows(sessions, Rules(**settings.rules, shop=shop_of(definition)))
    )
