"""`clickstream schemas`: JSON Schema files of the records, made from the models that check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from clickstream.consumer.score import DeadLetter, Score
from clickstream.features.click import Click, Heartbeat

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

# What others send is described as we take it, what we publish as it leaves us.
_RECORDS: tuple[tuple[str, type[BaseModel], JsonSchemaMode], ...] = (
    ("click", Click, "validation"),
    ("heartbeat", Heartbeat, "validation"),
    ("score", Score, "serialization"),
    ("dead-letter", DeadLetter, "serialization"),
)


def schemas(
    out: Annotated[Path, typer.Option(help="Folder of the files.")] = Path("docs/schemas"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 when a file is stale.")
    ] = False,
) -> None:
    """Write the JSON Schema files of clicks, heartbeats, scores and dead letters."""
    stale = [out / name for name, text in files().items() if _content(out / name) != text]
    if check:
        for path in stale:
            typer.echo(f"{path} is stale: run `clickstream schemas --out {out}`", err=True)
        if stale:
            raise typer.Exit(1)
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (out / name).write_bytes(text)


def files() -> dict[str, bytes]:
    """File name -> content."""
    return {
        f"{name}.json": orjson.dumps(_schema(model, mode), option=orjson.OPT_INDENT_2) + b"\n"
        for name, model, mode in _RECORDS
    }


def _schema(model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
    schema = model.model_json_schema(mode=mode)
    if mode == "validation":
        # It has a default in the model and none on the wire: the tag tells a click from a heartbeat.
        schema["required"] = ["type", *schema["required"]]
    return {"$schema": _DIALECT} | schema


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


if __name__ == "__main__":
    typer.run(schemas)
