"""Shop files: refused in words, or a fold that computes what the definition says, and runs nothing else.

Parts: the file, TOML or the JSON of a bundle; bytes of which clicks are made.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from clickstream.features import interpreter
from clickstream.features.definition import DERIVED, Field, FieldType, ShopDefinition
from clickstream.features.fold import compile_fold
from clickstream.features.shop_file import DefinitionError, from_source, read_definition
from fuzz.contract import parts, refusing

_MOST_CLICKS = 12
_FORBIDDEN = ("import", "open", "os.", "subprocess.", "socket.", "ctypes.", "shutil.", "builtins.input")

_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith(_FORBIDDEN):
        raise AssertionError(f"the fold does {event} {arguments!r:.200}")


# There is no taking it off again: it does nothing while `_watching` is False.
sys.addaudithook(_watch)


def check(data: bytes) -> None:
    """Read one definition, and fold clicks by it."""
    text, clicks = parts(data, 2)
    definition = None
    with refusing(DefinitionError):
        read = from_source if text.startswith(b"{") else read_definition
        definition = read(text, "shop.toml")
    if definition is None:
        return
    if from_source(definition.source, "again").hash != definition.hash:
        raise AssertionError("the source of a definition is another definition")
    _fold(definition, [_row(definition, clicks, at) for at in range(1 + len(clicks) % _MOST_CLICKS)])


def _fold(definition: ShopDefinition, rows: list[dict[str, Any]]) -> None:
    global _watching
    _watching = True
    try:
        # Past the cache of those that are in use: a fuzzer makes no end of them.
        fold = compile_fold.__wrapped__(definition)
        aggregate = fold.aggregate()
        for row in rows:
            aggregate.add(fold.step(**{name: row[name] for name in fold.step.__struct_fields__}))
        found = aggregate.features()
    finally:
        _watching = False
    meant = interpreter.features(definition, interpreter.WindowClicks(rows))
    numbers = [abs(one) for row in rows for one in row.values() if isinstance(one, int | float)]
    for feature in definition.features:
        ours, right = found[feature.name], meant[feature.name]
        # What is derived may take a difference of rounding for any other.
        if feature.aggregation not in DERIVED and not _close(ours, right, max(numbers)):
            raise AssertionError(f"{feature.name}: the fold says {ours!r}, the definition {right!r}")


def _row(definition: ShopDefinition, content: bytes, at: int) -> dict[str, Any]:
    fields = {
        field.name: _value(field, content, 7 * at + place) for place, field in enumerate(definition.fields)
    }
    return {"event_time": 1_000 * at, "order": at + 1, "end": False, "time_source": None, **fields}


def _value(field: Field, content: bytes, at: int) -> Any:
    drawn = content[at % len(content)] if content else 0
    if field.optional and drawn % 5 == 0:
        return None
    if field.type is FieldType.TEXT:
        return chr(97 + drawn % 26) * max(int(field.at_least or 0), 1)
    if field.type is FieldType.BOOLEAN:
        return bool(drawn % 2)
    # What is near the bounds is what overflows.
    edges = [edge for edge in (field.at_least, field.at_most, 0, drawn / 8) if edge is not None]
    within = [edge for edge in edges if _is_within(field, edge)]
    number = within[drawn % len(within)] if within else 0
    return float(number) if field.type is FieldType.NUMBER else int(number)


def _is_within(field: Field, value: float) -> bool:
    return (field.at_least is None or value >= field.at_least) and (
        field.at_most is None or value <= field.at_most
    )


def _close(one: Any, other: Any, largest: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6 * max(largest, 1.0))
    return bool(one == other)
