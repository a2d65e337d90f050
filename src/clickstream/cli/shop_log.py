"""The clicks of any shop, as `train`, `replay` and the others are told where they lie."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop_file import built_in
from clickstream.files.mapping import ColumnMapping, map_log, mapping_by_name, read_shop_mapping
from clickstream.files.shop_log import ShopLog
from clickstream.infra.errors import MissingFileError, UsageError
from clickstream.producer.synthetic_shop import SHOP, known_log
from clickstream.terminal.cleaning_view import show_cleaning


def columns_of(definition: ShopDefinition, mapping: Path | None) -> ColumnMapping:
    """The mapping in a file; without one, columns are named as the fields.

    Raises:
        MissingFileError, InputError: it is not there, or it is none.
    """
    return mapping_by_name(definition) if mapping is None else read_shop_mapping(mapping, definition)


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
    log, cleaning = map_log(data, definition, columns_of(definition, mapping))
    show_cleaning(cleaning, console)
    return log
