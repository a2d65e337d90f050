"""Text of others on a terminal."""

from __future__ import annotations

from rich.markup import escape


def printable(text: str) -> str:
    """`text` with each character that is not visible written as its escape: none can move the cursor."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def plain(text: str) -> str:
    """`text` of others for a rich console: no markup, no control characters."""
    return escape(printable(text))
