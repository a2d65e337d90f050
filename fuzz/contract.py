"""What all targets ask of what they call, and how they take their bytes apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clickstream.infra.errors import ClickstreamError

SEPARATOR = b"\n---\n"
"""Between the parts of an input, so that a person can write one."""

_LONGEST = 20_000


def parts(data: bytes, count: int) -> list[bytes]:
    """Exactly `count` parts of an input; those that are not there are empty."""
    found = data.split(SEPARATOR, count - 1)
    return found + [b""] * (count - len(found))


@contextmanager
def refusing(*refusals: type[Exception]) -> Iterator[None]:
    """Let what is called refuse by one of these errors, with a message that a person can use."""
    try:
        yield
    except refusals as error:
        what = error.what if isinstance(error, ClickstreamError) else str(error)
        if not what.strip() or len(what) > _LONGEST:
            raise AssertionError(
                f"{type(error).__name__} with {len(what)} characters: {what[:200]!r}"
            ) from error
