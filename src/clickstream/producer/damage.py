"""Damage: ways to spoil a click, each with the reason that its dead letter must give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import orjson

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


def _nan_price(key: bytes, fields: RecordFields) -> tuple[bytes, bytes]:
    return key, orjson.dumps(fields | {"price": "?"}).replace(b'"?"', b"NaN", 1)


DAMAGES = (
    Damage("cut short", "not-json", _cut_short),
    Damage("not text", "not-json", lambda key, _fields: (key, b"\xff\xfe\x00click")),
    Damage("negative price", "invalid", _with(price=-1.0)),
    Damage("price is not a number", "invalid", _nan_price),
    Damage("price as text", "invalid", _with(price="cheap")),
    Damage("no product", "invalid", _without("product")),
    Damage("unknown type", "invalid", _with(type="purchase")),
    Damage("another key", "key-mismatch", lambda key, fields: (key + b"?", orjson.dumps(fields))),
    Damage("no key", "key-mismatch", lambda _key, fields: (None, orjson.dumps(fields))),
)
