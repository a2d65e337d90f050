"""The records on our topics as JSON Schema, made from the models that check them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import DEFAULT_REF_TEMPLATE, JsonSchemaMode

from clickstream.features.definition import Aggregation, Feature, FieldType, ShopDefinition
from clickstream.features.shop import UCI553
from clickstream.features.words import feature_in_words
from clickstream.models.scorers import REGISTRY
from clickstream.records.click import Click, Forget, Heartbeat
from clickstream.records.score import DeadLetter, OpenScore, Score
from clickstream.records.scorers import SCORERS
from clickstream.records.shop_click import click_model

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

# What others send is described as we take it, what we publish as it leaves us.
_RECORDS: Mapping[str, tuple[type[BaseModel], JsonSchemaMode]] = {
    "click": (Click, "validation"),
    "heartbeat": (Heartbeat, "validation"),
    "forget": (Forget, "validation"),
    "score": (Score, "serialization"),
    "open-score": (OpenScore, "serialization"),
    "dead-letter": (DeadLetter, "serialization"),
}

_JSON_TYPES = {FieldType.TEXT: "string", FieldType.BOOLEAN: "boolean"}

_COUNTS = (Aggregation.COUNT, Aggregation.DISTINCT, Aggregation.CHANGES)


def schema_files() -> Mapping[str, bytes]:
    """The schemas of shop uci553, as file name -> content."""
    return {f"{name}.json": as_json(schema_document(name, UCI553.definition)) for name in _RECORDS}


def schema_document(record: str, definition: ShopDefinition) -> dict[str, Any]:
    """As `schema`, to stand alone."""
    return {"$schema": _DIALECT} | schema(record, definition)


def schema(
    record: str,
    definition: ShopDefinition = UCI553.definition,
    ref_template: str = DEFAULT_REF_TEMPLATE,
) -> dict[str, Any]:
    """The schema of "click", "heartbeat", "forget", "score", "open-score" or "dead-letter" of a shop."""
    model, mode = _RECORDS[record]
    if model is Click:
        model = click_model(definition)
    found = _schema_of(model, mode, ref_template)
    if model is Score and definition.goal.last_click:
        _without_drawn(found)
    # What the score of uci553 holds was published before shops were, and stays as it is.
    if model in (Score, OpenScore) and definition != UCI553.definition:
        parts = {name: part["properties"] for name, part in found["$defs"].items()}
        _narrow(parts, definition)
        if model is Score:
            _narrow_score(found, parts, definition)
    return found


def _without_drawn(score: dict[str, Any]) -> None:
    """A session whose last click decides has one decision point: none is drawn."""
    del score["properties"]["drawn"]
    score["required"].remove("drawn")
    for part in ("DrawnPoint", "OpenPredictions"):
        del score["$defs"][part]


def _narrow_score(score: dict[str, Any], parts: dict[str, Any], definition: ShopDefinition) -> None:
    """Say of the scores of closed sessions what is true of those of a shop alone."""
    shown = [feature for feature in definition.features if feature.in_scores]
    score["properties"]["features"] |= {
        "properties": {feature.name: _feature_schema(definition, feature) for feature in shown},
        "required": [feature.name for feature in shown],
        "additionalProperties": False,
    }
    parts["ScoredOutcome"]["source"] = {"const": "proxy" if definition.goal.last_click else "goal"}
    for name in SCORERS:
        if not REGISTRY[name].of_any_shop:
            parts["Predictions"][name] = {"type": "null"}


def _narrow(parts: dict[str, Any], definition: ShopDefinition) -> None:
    """The same of what open scores have as well: the shop, and what it says of revenue."""
    parts["ScoredShop"]["name"] = {"const": definition.name}
    parts["ScoredShop"]["hash"] = {"const": definition.hash}
    amount = {"type": "null"} if definition.goal.value is None else {"type": ["number", "null"]}
    for part in {"Prediction", "ScoredOutcome"} & parts.keys():
        about = f"in {definition.currency}" if definition.currency else "in the shop's currency"
        parts[part]["revenue"] = amount | ({} if definition.goal.value is None else {"description": about})


def _feature_schema(definition: ShopDefinition, feature: Feature) -> dict[str, Any]:
    about = {"description": feature_in_words(feature)}
    if feature.aggregation in _COUNTS:
        return {"type": "integer", "minimum": 0} | about
    kind = "number"
    if feature.aggregation in (Aggregation.FIRST, Aggregation.LAST) and feature.field is not None:
        kind = _JSON_TYPES.get(definition.field(feature.field).type, kind)
    return {"type": [kind, "null"]} | about


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
