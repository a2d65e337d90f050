"""Text of others on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with what is not a visible character written as its escape, so that it cannot move the cursor."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )
