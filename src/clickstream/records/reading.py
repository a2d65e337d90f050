"""The one reader of what we publish, as far as its caller needs it.

Anybody may write to a topic. What is none of our records, down to bytes that are no text and arrays nested
ten thousand deep, is nothing to its readers, and no error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def reader_of(shape: type[T]) -> Callable[[bytes | None], T | None]:
    """A reader of records with a `shape`: a msgspec type of the fields that are needed; others are skipped.

    It returns None for a record that does not have that shape.
    """
    decode = msgspec.json.Decoder(shape).decode

    def read(value: bytes | None) -> T | None:
        try:
            return decode(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    return read


_any = reader_of(dict[str, Any])


def read_score(value: bytes | None) -> dict[str, Any] | None:
    """All fields of a score; None for a record that is none."""
    return _named("score_id", value)


def read_open_score(value: bytes | None) -> dict[str, Any] | None:
    """All fields of an open score; None for a record that is none."""
    return _named("open_score_id", value)


class _Kind(msgspec.Struct):
    type: str


_kind = reader_of(_Kind)


def is_forget(value: bytes | None) -> bool:
    """Whether a record of the clicks topic drops a session: it may lie where no click of it does."""
    kind = _kind(value)
    return kind is not None and kind.type == "forget"


def _named(name: str, value: bytes | None) -> dict[str, Any] | None:
    found = _any(value)
    return found if found is not None and name in found else None
