"""The documents of docs/ that are made from the code: schemas, AsyncAPI, pages of the reference."""

from __future__ import annotations

from collections.abc import Mapping

from clickstream.documents.asyncapi import asyncapi
from clickstream.documents.commands import commands_page
from clickstream.documents.records import schema_files
from clickstream.documents.rights import rights_page
from clickstream.documents.settings import settings_page

__all__ = ["documents"]


def documents() -> Mapping[str, bytes]:
    """The documents, as path below docs/ -> content."""
    pages = {
        "asyncapi.json": asyncapi(),
        "reference/commands.md": commands_page().encode(),
        "reference/rights.md": rights_page().encode(),
        "reference/settings.md": settings_page().encode(),
    }
    return {f"schemas/{name}": text for name, text in schema_files().items()} | pages
