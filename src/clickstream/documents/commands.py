"""The page of the commands, made of what their --help says."""

from __future__ import annotations

import re

from clickstream.documents.command_tree import commands
from clickstream.documents.templates import page


def commands_page() -> str:
    """The content of docs/reference/commands.md."""
    return page("commands.md.j2", commands=commands(), plain=_plain)


def _plain(text: str) -> str:
    """A text of --help as Markdown: nothing in it is a tag."""
    return re.sub(r"<(?=[A-Za-z/!])", "&lt;", text.strip()).replace("  [", " [")
