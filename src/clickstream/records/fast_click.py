"""A click as a msgspec struct, which is read several times as fast as by its pydantic model.

The struct takes a part of what the model takes, with the same values. It has no word for what it does not
take, and passes over no field: what stands in one would have to be JSON, too. The model decides about both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from types import UnionType
from typing import Annotated, Any, get_args

import msgspec
from pydantic.fields import FieldInfo

from clickstream.records.click import Click

REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading raises where it does not take a record."""


def fast_reader(model: type[Click]) -> Callable[[bytes], Any]:
    """A reader of the JSON of a click; what it returns has the attributes of the model."""
    fields: list[Any] = [
        (name, _bounded(info))
        if name == "type" or info.is_required()
        else (name, _bounded(info), info.default)
        for name, info in model.model_fields.items()
    ]
    struct = msgspec.defstruct(
        model.__name__, fields, kw_only=True, frozen=True, gc=False, forbid_unknown_fields=True
    )
    return msgspec.json.Decoder(struct).decode


def _bounded(info: FieldInfo) -> Any:
    bounds: dict[str, Any] = {}
    for bound in info.metadata:
        bounds |= asdict(bound)
    kind, *optional = (
        get_args(info.annotation) if isinstance(info.annotation, UnionType) else [info.annotation]
    )
    if kind is int:
        bounds = {name: int(bound) for name, bound in bounds.items()}
    bounded: Any = Annotated[kind, msgspec.Meta(**bounds)] if bounds else kind
    return bounded | None if optional else bounded
