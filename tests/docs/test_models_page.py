"""The pages with plots: what they point to is there, and the plots are files that load nothing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
TEXT = "\n".join((DOCS / page).read_text() for page in ("models.md", "own-shop.md"))
PLOTS = sorted((DOCS / "images").glob("*.svg"))


def test_every_link_leads_somewhere_and_every_plot_is_shown() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    assert not [link for link in links if not (DOCS / link).is_file()]
    assert {f"images/{plot.name}" for plot in PLOTS} == {link for link in links if link.startswith("images/")}


@pytest.mark.parametrize("plot", PLOTS, ids=[plot.stem for plot in PLOTS])
def test_a_plot_is_well_formed_and_loads_nothing(plot: Path) -> None:
    text = plot.read_text()
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"url\((?!#)|<script|<image", text)


def test_the_words_beside_a_plot_are_its_title() -> None:
    for title, name in re.findall(r"!\[([^]]+)\]\((images/[^)]+)\)", TEXT):
        drawn = " ".join(re.findall(r"font-weight: 600[^>]*>([^<]*)</text>", (DOCS / name).read_text()))
        assert drawn.replace("\N{NO-BREAK SPACE}", " ") == title.replace("\N{NO-BREAK SPACE}", " ")
