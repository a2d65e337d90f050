"""The records on our topics as JSON Schema, made from the models that check them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import DEFAULT_REF_TEMPLATE, JsonSchemaMode

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553
from clickstream.records.click import Heartbeat
from clickstream.records.score import DeadLetter, Score
from clickstream.records.shop_click import click_model

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

# What others send is described as we take it, what we publish as it leaves us.
_RECORDS: Mapping[str, tuple[type[BaseModel], JsonSchemaMode]] = {
    "click": (click_model(UCI553.definition), "validation"),
    "heartbeat": (Heartbeat, "validation"),
    "score": (Score, "serialization"),
    "dead-letter": (DeadLetter, "serialization"),
}


def schema_files() -> Mapping[str, bytes]:
    """The schemas, as file name -> content."""
    return {f"{name}.json": as_json({"$schema": _DIALECT} | schema(name)) for name in _RECORDS}


def schema(record: str, ref_template: str = DEFAULT_REF_TEMPLATE) -> dict[str, Any]:
    """The schema of "click", "heartbeat", "score" or "dead-letter"."""
    return _schema_of(*_RECORDS[record], ref_template)


def click_schema(definition: ShopDefinition) -> dict[str, Any]:
    """The schema of the clicks of any shop."""
    return {"$schema": _DIALECT} | _schema_of(click_model(definition), "validation")


def _schema_of(
    model: type[BaseModel], mode: JsonSchemaMode, ref_template: str = DEFAULT_REF_TEMPLATE
) -> dict[str, Any]:
    found = model.model_json_schema(mode=mode, ref_template=ref_template)
    # What follows in a docstring is for who imports the class.
    found["description"] = found["description"].partition("\n\n")[0]
    if mode == "validation":
        # It has a default in the model and none on the wire: the tag tells clicks and heartbeats apart.
        found["required"] = ["type", *found["required"]]
    return found


def as_json(document: object) -> bytes:
    """A document as JSON with two spaces of indent, as it lies in a file."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
