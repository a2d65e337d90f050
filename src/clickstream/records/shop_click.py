"""The click record of any shop as a pydantic model: what every click has, and the shop's own fields."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import Field as Described
from pydantic import create_model

from clickstream.features.definition import Field, FieldType, ShopDefinition
from clickstream.records.click import ClickBase

_PYTHON: dict[FieldType, Any] = {
    FieldType.TEXT: str,
    FieldType.NUMBER: float,
    FieldType.INTEGER: int,
    FieldType.BOOLEAN: bool,
}


@cache
def click_model(definition: ShopDefinition) -> type[ClickBase]:
    """Clicks of this shop, checked field by field; strict, frozen, unknown fields are ignored."""
    fields: dict[str, Any] = {field.name: _described(field) for field in definition.fields}
    return create_model("Click", __base__=ClickBase, __doc__=ClickBase.__doc__, **fields)


def _described(field: Field) -> tuple[Any, Any]:
    bounds: dict[str, Any] = {}
    if field.type is FieldType.TEXT:
        bounds = {"min_length": int(field.at_least or 0), "max_length": int(field.at_most or 0)}
    elif field.type is not FieldType.BOOLEAN:
        bounds = {"ge": field.at_least, "le": field.at_most}
    described = Described(description=field.about or None, **bounds)
    if field.optional:
        return Annotated[_PYTHON[field.type] | None, described], None
    return Annotated[_PYTHON[field.type], described], ...
