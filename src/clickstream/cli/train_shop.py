"""`clickstream train --shop`: the models of any shop, from a log to a bundle."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from clickstream.features.definition import Definition
from clickstream.files.mapping import ShopLog, map_log, mapping_by_name, read_shop_mapping
from clickstream.infra.errors import MissingFileError
from clickstream.infra.room import check_room
from clickstream.infra.settings import Settings
from clickstream.models.bundle.signature import signing_key
from clickstream.offline.shop_windows import shop_windows
from clickstream.operate.candidate import Promote, decide, tell
from clickstream.terminal.cleaning_view import tell_cleaning
from clickstream.terminal.shop_training_view import show_shop_training
from clickstream.training.shop.comparison import compare_shop
from clickstream.training.shop.training import train_shop
from clickstream.training.writing import write_shop
from clickstream.windows.partition import Rules


def train_own(
    settings: Settings,
    definition: Definition,
    data: Path | None,
    mapping: Path | None,
    seed: int,
    promotion: Promote,
) -> None:
    """Train on a log, write the bundle, and show how good it is.

    Raises:
        MissingFileError, InputError: there is no log, or it cannot be used.
    """
    signing_key(settings)
    check_room(settings.bundles)
    console = Console(highlight=False)
    begun = time.monotonic()

    def step(words: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:5.1f} s[/]  {escape(words)}")

    log = read_own(definition, data, mapping)
    tell_cleaning(log.cleaning, console)
    windows = shop_windows(definition, log.sessions, Rules(**settings.rules))
    fitted = train_shop(definition, windows, data_sha256=log.sha256, data_name=log.name, seed=seed, step=step)
    bundle = write_shop(fitted, settings)
    put_in_use = decide(settings, bundle, promotion, lambda one, other: compare_shop(one, other, windows))
    step("written, verified, in use" if put_in_use.promoted else "written, verified")
    show_shop_training(fitted.evaluation, bundle.path, console)
    tell(put_in_use, bundle.id, log.name, console)


def read_own(definition: Definition, data: Path | None, mapping: Path | None) -> ShopLog:
    """The log of a shop; without a mapping its columns are named as the fields.

    Raises:
        MissingFileError: there is none.
        InputError: it cannot be used.
    """
    if data is None:
        raise MissingFileError(
            f"there is no log of shop {definition.name} to train on",
            "Name it with --data F, and with --mapping M what says which of its columns is which field.",
        )
    columns = mapping_by_name(definition) if mapping is None else read_shop_mapping(mapping, definition)
    return map_log(data, definition, columns)
