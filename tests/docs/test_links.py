"""Every link of README, changelog and docs leads somewhere on the disk; anchors too."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from blocks import PAGES, ROOT
from markdown_it import MarkdownIt
from markdown_it.token import Token

FILES = [*PAGES, ROOT / "CHANGELOG.md"]


def inline(page: Path) -> list[Token]:
    """The parts of a page's lines: text, code, links, images."""
    tokens = MarkdownIt().enable("table").parse(page.read_text())
    return [inner for token in tokens for inner in token.children or ()]


def links(page: Path) -> list[str]:
    found = [str(one.attrs.get("href") or one.attrs.get("src") or "") for one in inline(page)]
    return [link for link in found if link]


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a heading is called in a link, as the usual viewers of Markdown make it."""
    tokens = MarkdownIt().parse(page.read_text())
    headings = [
        "".join(inner.content for inner in tokens[at + 1].children or ())
        for at, token in enumerate(tokens)
        if token.type == "heading_open"
    ]
    slugs: list[str] = []
    for heading in headings:
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", one) is not None for one in slugs)
        slugs.append(f"{slug}-{count}" if count else slug)
    return frozenset(slugs)


def broken(page: Path) -> list[str]:
    found = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or not (target == page or ROOT in target.parents):
            found.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target):
            found.append(f"{link}: {target.name} has {', '.join(sorted(anchors(target)))}")
    return found


@pytest.mark.parametrize("page", FILES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A: `b` c\n\n[1](#a-b-c) [2](#b) [3](nothing.md) ![4](no.svg) [5](http://there/x)\n")
    assert anchors(page) == {"a-b-c"}
    assert [found.partition(":")[0] for found in broken(page)] == ["#b", "nothing.md", "no.svg"]
