"""Text of others on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with each character that is not visible written as its escape: none can move the cursor."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )
