"""Options: what several commands ask for in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path | None, typer.Option(help="Folder that bundles/ lies in; by default CLICKSTREAM_HOME.")
]
ServerHomeOption = Annotated[Path | None, typer.Option(help="Folder for servers, jars and bundles.")]
DatasetOption = Annotated[
    Path | None,
    typer.Option(help="The file of UCI 553, zip or CSV. Else $CLICKSTREAM_DATA, or one in data/."),
]
Shop = Annotated[
    str | None,
    typer.Option(metavar="FILE|NAME", help="Shop file, or a shop that is built in. Else CLICKSTREAM_SHOP."),
]
ColumnsOption = Annotated[
    Path | None, typer.Option(help="File that says which column of --data is which, TOML or SQL.")
]
