"""`clickstream train --shop`: the models of any shop, from its sessions to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from clickstream.bundles.signature import signing_key
from clickstream.cli.shop_log import read_any_size, read_shop_log
from clickstream.cli.topic import read_topic
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.files.reading import is_of_duckdb
from clickstream.infra.errors import UsageError
from clickstream.infra.room import check_room
from clickstream.infra.settings import Settings
from clickstream.models.shop.examples import ShopWindow
from clickstream.offline.recorded import read_recorded_windows
from clickstream.offline.sample import as_window
from clickstream.offline.shop_windows import shop_windows
from clickstream.operate.candidate import PromotionPolicy, decide, show_decision
from clickstream.terminal.shop_training_view import show_shop_training
from clickstream.terminal.steps import StepReport, step_report
from clickstream.training.shop.comparison import compare_shop
from clickstream.training.shop.training import train_shop
from clickstream.training.writing import write_shop
from clickstream.windows.rules import Rules


class WindowedLog(NamedTuple):
    """A log or a topic of a shop, cut into windows; `sha256` is of what they were read or made from."""

    name: str
    sha256: str
    windows: list[ShopWindow]


def train_any_shop(
    settings: Settings,
    definition: ShopDefinition,
    data: Path | None,
    mapping: Path | None,
    synthetic: int | None,
    from_topic: bool,
    seed: int,
    promotion: PromotionPolicy,
) -> None:
    """Train on the sessions that the options name; write the bundle, and show how good it is.

    Raises:
        MissingFileError, InputError: there are no sessions, or they cannot be used.
        UsageError: the options contradict each other.
        UnavailableError: the broker does not answer, or there is no such topic.
    """
    signing_key(settings)
    check_room(settings.bundles)
    console = Console(highlight=False)
    step = step_report(console)

    shop_log = read_windowed_log(
        settings, definition, data, mapping, synthetic, from_topic, seed, console, step
    )
    fitted = train_shop(
        definition,
        shop_log.windows,
        data_sha256=shop_log.sha256,
        data_name=shop_log.name,
        seed=seed,
        step=step,
    )
    step("report")
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
    from_topic: bool,
    seed: int,
    console: Console,
    step: StepReport = lambda _: None,
) -> WindowedLog:
    """Read a log or the clicks topic, or make up `synthetic` sessions, and cut them into windows.

    Raises:
        MissingFileError, InputError: there are no sessions, or they cannot be used.
        UsageError: the options contradict each other.
        UnavailableError: the broker does not answer, or there is no such topic.
    """
    if from_topic:
        if (data, mapping, synthetic) != (None, None, None):
            raise UsageError(
                "--from-topic stands together with --data, --mapping or --synthetic",
                "Name one source of sessions.",
            )
        recorded = read_topic(settings, read_recorded_windows, console, step)
        return WindowedLog(recorded.topic, recorded.sha256, recorded.sessions)
    if data is not None and synthetic is None and is_of_duckdb(data):
        logged = read_any_size(data, mapping, settings, as_window, console, step)
        return WindowedLog(data.name, logged.sha256, logged.sessions)
    log = read_shop_log(definition, data, mapping, synthetic, seed, console)
    rules = Rules(**settings.rules, shop=shop_of(definition))
    return WindowedLog(log.name, log.sha256, shop_windows(log.sessions, rules))
