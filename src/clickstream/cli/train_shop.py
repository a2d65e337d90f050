"""`clickstream train --shop`: the models of any shop, from a log to a bundle."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape

from clickstream.bundles.signature import signing_key
from clickstream.cli.shop_log import read_shop_log
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.infra.room import check_room
from clickstream.infra.settings import Settings
from clickstream.models.shop.examples import ShopWindow
from clickstream.offline.shop_windows import shop_windows
from clickstream.operate.candidate import PromotionPolicy, decide, show_decision
from clickstream.terminal.shop_training_view import show_shop_training
from clickstream.training.shop.comparison import compare_shop
from clickstream.training.shop.training import train_shop
from clickstream.training.writing import write_shop
from clickstream.windows.partition import Rules


class OwnLog(NamedTuple):
    """The windows of a log, what it is called, and a hash of what it was read from."""

    name: str
    sha256: str
    windows: list[ShopWindow]


def train_own(
    settings: Settings,
    definition: ShopDefinition,
    data: Path | None,
    mapping: Path | None,
    synthetic: int | None,
    seed: int,
    promotion: PromotionPolicy,
) -> None:
    """Train on a log, or on so many made-up sessions; write the bundle, and show how good it is.

    Raises:
        MissingFileError, InputError: there is no log, or it cannot be used.
        UsageError: no sessions of this shop can be made up.
    """
    signing_key(settings)
    check_room(settings.bundles)
    console = Console(highlight=False)
    begun = time.monotonic()

    def step(words: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:5.1f} s[/]  {escape(words)}")

    source = own_windows(settings, definition, data, mapping, synthetic, seed, console)
    fitted = train_shop(
        definition, source.windows, data_sha256=source.sha256, data_name=source.name, seed=seed, step=step
    )
    bundle = write_shop(fitted, settings)
    put_in_use = decide(
        settings, bundle, promotion, lambda one, other: compare_shop(one, other, source.windows)
    )
    step("written, verified, in use" if put_in_use.promoted else "written, verified")
    show_shop_training(fitted.evaluation, bundle.path, console)
    show_decision(put_in_use, bundle.id, source.name, console, f" --shop {settings.shop}")


def own_windows(
    settings: Settings,
    definition: ShopDefinition,
    data: Path | None,
    mapping: Path | None,
    synthetic: int | None,
    seed: int,
    console: Console,
) -> OwnLog:
    """The windows of a log, or of so many made-up sessions.

    Raises:
        MissingFileError, InputError: there is no log, or it cannot be used.
        UsageError: no sessions of this shop can be made up.
    """
    log = read_shop_log(definition, data, mapping, synthetic, seed, console)
    rules = Rules(**settings.rules, shop=shop_of(definition))
    return OwnLog(log.name, log.sha256, shop_windows(log.sessions, rules))
