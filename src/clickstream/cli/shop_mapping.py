"""`clickstream shop mapping`: a mapping in TOML as the SQL that it means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clickstream.cli.chosen_shop import chosen_definition
from clickstream.cli.options import Shop
from clickstream.files.mapping import ColumnMapping
from clickstream.files.reading import read_any_mapping
from clickstream.infra.errors import UsageError
from clickstream.infra.extras import need_history
from clickstream.infra.settings import load_settings


def mapping(
    file: Annotated[Path, typer.Argument(help="TOML file that says which column of a log is which field.")],
    shop: Shop = None,
) -> None:
    """Print a mapping as one SELECT over the log: the same clicks, to go on from where TOML ends.

    Exit codes: 64 it is SQL already; 65 it is no mapping; 66 it is not there; 78 DuckDB is not installed.
    """
    need_history("a mapping in SQL")
    from clickstream.files.history import in_sql

    found = read_any_mapping(file, chosen_definition(load_settings(shop=shop)))
    if not isinstance(found, ColumnMapping):
        raise UsageError(f"{file} is SQL already", "Name a mapping in TOML.")
    typer.echo(in_sql(found), nl=False)
