"""Damage: ways to spoil a click, each with the reason that its dead letter must give."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import orjson

from clickstream.features.definition import FieldType, ShopDefinition

RecordFields = dict[str, Any]
DamageReason = Literal["not-json", "invalid", "key-mismatch"]


class Damage(NamedTuple):
    """`spoil` takes key and fields of a sound click and gives key and value of the record sent instead."""

    name: str
    reason: DamageReason
    spoil: Callable[[bytes, RecordFields], tuple[bytes | None, bytes]]


def _with(**changes: object) -> Callable[[bytes, RecordFields], tuple[bytes, bytes]]:
    return lambda key, fields: (key, orjson.dumps(fields | changes))


def _without(name: str) -> Callable[[bytes, RecordFields], tuple[bytes, bytes]]:
    return lambda key, fields: (key, orjson.dumps({k: v for k, v in fields.items() if k != name}))


def _cut_short(key: bytes, fields: RecordFields) -> tuple[bytes, bytes]:
    value = orjson.dumps(fields)
    return key, value[: len(value) // 2]


def _nan(name: str) -> Callable[[bytes, RecordFields], tuple[bytes, bytes]]:
    return lambda key, fields: (key, orjson.dumps(fields | {name: "?"}).replace(b'"?"', b"NaN", 1))


@cache
def damages_of(definition: ShopDefinition) -> tuple[Damage, ...]:
    """The ways to spoil a click of a shop: what ails any record, and its first number and needed text."""
    number = next((field for field in definition.fields if field.type is FieldType.NUMBER), None)
    text = next((f for f in definition.fields if f.type is FieldType.TEXT and not f.optional), None)
    damages = [
        Damage("cut short", "not-json", _cut_short),
        Damage("not text", "not-json", lambda key, _fields: (key, b"\xff\xfe\x00click")),
    ]
    if number is not None:
        name = number.name
        if number.at_least is not None:
            below = "negative" if number.at_least == 0 else "too small a"
            damages.append(Damage(f"{below} {name}", "invalid", _with(**{name: number.at_least - 1.0})))
        damages += [
            Damage(f"{name} is not a number", "invalid", _nan(name)),
            Damage(f"{name} as text", "invalid", _with(**{name: "cheap"})),
        ]
    if text is not None:
        damages.append(Damage(f"no {text.name}", "invalid", _without(text.name)))
    return (
        *damages,
        Damage("unknown type", "invalid", _with(type="purchase")),
        Damage("another key", "key-mismatch", lambda key, fields: (key + b"?", orjson.dumps(fields))),
        Damage("no key", "key-mismatch", lambda _key, fields: (None, orjson.dumps(fields))),
    )
