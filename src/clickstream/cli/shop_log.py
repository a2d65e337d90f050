"""The clicks of any shop, as `train`, `replay` and the others are told where they lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553, shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.dataset import Dataset
from clickstream.files.reading import read_any_mapping, read_clicks
from clickstream.files.shop_log import ShopLog
from clickstream.infra.errors import MissingFileError, UsageError
from clickstream.infra.extras import need_history
from clickstream.infra.objects import url_of
from clickstream.infra.settings import Settings
from clickstream.infra.words import counted
from clickstream.offline.sample import Taught
from clickstream.producer.synthetic_shop import SHOP, known_log
from clickstream.terminal.cleaning_view import show_cleaning
from clickstream.terminal.steps import StepReport
from clickstream.windows.partition import ClosedWindow

if TYPE_CHECKING:
    from clickstream.history.lessons import LoggedSessions

T = TypeVar("T")


def no_log(definition: ShopDefinition) -> MissingFileError:
    """The error where nobody named a log of a shop, and none is at hand."""
    return MissingFileError(
        f"there is no log of shop {definition.name}",
        "Name it with --data F, and with --mapping M what says which column is which field.",
    )


def read_shop_log(
    definition: ShopDefinition,
    data: Path | None,
    mapping: Path | None,
    synthetic: int | None,
    seed: int,
    console: Console,
) -> ShopLog:
    """The clicks of a log, or of so many made-up sessions; what became of its rows is shown.

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
        return known_log(synthetic, seed)
    if data is None:
        raise no_log(definition)
    log, cleaning = read_clicks(data, shop_of(definition), read_any_mapping(mapping, definition))
    show_cleaning(cleaning, console)
    if not isinstance(log, ShopLog):
        raise TypeError("the clicks of shop uci553")
    return log


def read_any_size(
    data: Path,
    mapping: Path | None,
    settings: Settings,
    taught: Callable[[ClosedWindow], Taught[T]],
    console: Console,
    step: StepReport,
) -> LoggedSessions[T]:
    """The sessions to train on of logs of any size, or of a folder that they became; what became of rows is
    shown.

    Raises:
        RefusedError: the sessions of the folder are not such that can be trained on here.
        MissingFileError, InputError: there is no log, or it cannot be used.
        UnavailableError: it lies in a store that does not answer.
        ConfigurationError: the store refuses, or the extra `history` is not installed.
    """
    need_history(f"to read {data.name}")
    from clickstream.history.folder import holds_sessions
    from clickstream.history.lessons import read_folder, read_lessons
    from clickstream.terminal.history_view import show_rows

    step(f"reading {url_of(data) or data}")
    if not holds_sessions(data):
        found = read_lessons([data], settings, taught, mapping)
    elif mapping is None:
        found = read_folder(data, settings, taught)
    else:
        raise UsageError(f"--mapping {mapping}: {data} holds sessions, and no log", "Leave it out.")
    if found.log is not None:
        show_rows(found.log, console)
    words = counted(found.found, "session")
    if len(found.sessions) < found.found:
        words += f"; a sample of {len(found.sessions):,} is trained on"
    step(words)
    return found


def read_mapped_dataset(data: Path | None, mapping: Path, synthetic: int | None, console: Console) -> Dataset:
    """The clicks of shop uci553 in a log of another layout; what became of its rows is shown.

    Raises:
        UsageError: no log is named, or made-up sessions are asked for, too.
        MissingFileError, InputError: the log or the mapping is not there, or cannot be used.
    """
    if data is None or synthetic is not None:
        raise UsageError(
            f"--mapping {mapping} needs --data, and it alone", "Name the file that it describes."
        )
    dataset, cleaning = read_clicks(data, UCI553, read_any_mapping(mapping, UCI553.definition))
    show_cleaning(cleaning, console)
    if not isinstance(dataset, Dataset):
        raise TypeError("the clicks of another shop")
    return dataset
