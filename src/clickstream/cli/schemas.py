"""`clickstream schemas`: the documents of docs/ that are made from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clickstream.documents import documents
from clickstream.infra.files import replace_file


def schemas(
    out: Annotated[Path, typer.Option(help="Folder of the documents.")] = Path("docs"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 when a file is stale.")
    ] = False,
) -> None:
    """Write JSON Schema files, the AsyncAPI document, the pages of settings and commands."""
    stale = {path: text for name, text in documents().items() if _content(path := out / name) != text}
    if check:
        for path in stale:
            typer.echo(f"{path} is stale: run `clickstream schemas --out {out}`", err=True)
        if stale:
            raise typer.Exit(1)
        return
    for path, text in stale.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
