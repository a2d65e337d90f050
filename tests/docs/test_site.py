"""The site of the documentation: builds without a network and a warning, and loads nothing from one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from blocks import PAGES, ROOT


class Loads(HTMLParser):
    """What a page loads by itself, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "src" in given:
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(given["href"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


def read(page: Path) -> Loads:
    found = Loads()
    found.feed(page.read_text())
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # A proxy that is not there: what asks for a network does not get it.
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def html(site: Path) -> list[Path]:
    return sorted(page for page in site.rglob("*.html") if page.name != "404.html")


def test_each_page_is_in_the_site_and_in_its_menu(site: Path) -> None:
    sources = {"index", "changelog", "contributing", "security"}
    sources |= {
        p.relative_to(ROOT / "docs").with_suffix("").as_posix() for p in PAGES if p.name != "README.md"
    }
    pages = {page.relative_to(site).with_suffix("").as_posix() for page in html(site)}
    assert pages == sources
    menu = {link.partition("#")[0] for link in read(site / "index.html").links}
    assert {f"{page}.html" for page in pages} <= menu


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in html(site):
        for load in read(page).loads:
            assert not re.match(r"[a-z]*:?//", load), f"{page.name} loads {load}"
            assert (page.parent / unquote(load.partition("?")[0])).is_file(), f"{page.name} loads {load}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text()), style.name


def test_links_between_pages_and_to_files_beside_docs_lead_somewhere(site: Path) -> None:
    for page in html(site):
        for link in read(page).links:
            path = unquote(link.partition("#")[0])
            if path and not re.match(r"[a-z]+:", path):
                assert (page.parent / path).exists(), f"{page.name}: {link}"
    assert (site / "notebooks" / "01_explore.ipynb").is_file()
    assert (site / "asyncapi.json").is_file()


def test_what_is_no_page_stays_out(site: Path) -> None:
    assert not [file for file in site.rglob("*.py") if "examples" not in file.parts]
    assert not list(site.rglob("*.md"))


def test_the_search_finds_a_setting_from_the_disk(site: Path) -> None:
    text = (site / "search" / "search_index.js").read_text()
    index = json.loads(text.removeprefix("var __index = "))
    found = [entry["location"] for entry in index["docs"] if "allowed_lateness" in entry["text"]]
    assert any(location.startswith("reference/settings.html") for location in found)
