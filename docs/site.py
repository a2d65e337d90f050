"""What the site has beside docs/: the README as its start page, the changelog, files that pages point to."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")

# Of the repository -> of the site.
_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and each file outside docs/ that a page links to."""
    texts = {f"docs/{page.src_uri}": page.content_string for page in files.documentation_pages()}
    for source, uri in _PAGES.items():
        texts[source] = (_ROOT / source).read_text()
        files.append(File.generated(config, uri, content=_moved(texts[source], source)))
    for source, text in texts.items():
        for _, link, _ in _LINK.findall(text):
            target = _target(source, link)
            if _is_outside(target) and files.get_file_from_path(target) is None:
                files.append(File.generated(config, target, abs_src_path=str(_ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point links that leave docs/ to where the site has what they mean."""
    uri = page.file.src_uri
    return markdown if uri in _PAGES.values() else _moved(markdown, f"docs/{uri}")


def _moved(text: str, source: str) -> str:
    """The links of a page of the repository, as they are in the site."""
    folder = posixpath.dirname(_in_site(source))

    def moved(found: re.Match[str]) -> str:
        before, link, after = found.groups()
        target = _target(source, link)
        if not (_ROOT / target).is_file():
            return found[0]
        return before + posixpath.relpath(_in_site(target), folder or ".") + after

    return _LINK.sub(moved, text)


def _target(source: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _in_site(path: str) -> str:
    return _PAGES.get(path, path.removeprefix("docs/"))


def _is_outside(target: str) -> bool:
    return not target.startswith(("docs/", "..")) and target not in _PAGES and (_ROOT / target).is_file()
