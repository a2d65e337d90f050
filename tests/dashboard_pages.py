"""Pages of the dashboard, as Streamlit runs them without a browser."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest


def _page(name: str) -> None:
    import importlib

    import streamlit as st

    from clickstream.dashboard import theme

    # As a person who goes from page to page.
    name = st.session_state.get("page", name)

    with theme.guarded():
        importlib.import_module(f"clickstream.dashboard.{name}").page()


def shown(name: str) -> AppTest:
    """A page after its first run; it must not have failed."""
    at = AppTest.from_function(_page, kwargs={"name": name}, default_timeout=90).run()
    assert not at.exception, at.exception[0].value
    return at


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home of its own, and nothing cached from another test, nor left for one."""
    # Streamlit puts its page in place of the program, which processes that a later test spawns would run.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    for name in ("KAFKA_BOOTSTRAP", "REDIS_URL", "DATA", "BUNDLE"):
        monkeypatch.delenv(f"CLICKSTREAM_{name}", raising=False)
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


class Upload(Protocol):
    """Give the page a file: the page after it, scored or with a message."""

    def __call__(self, content: bytes, name: str = ..., mapping: bytes | None = ...) -> AppTest: ...


def first_sessions(dataset: Path, count: int) -> bytes:
    """The first sessions in the zip of UCI 553, as CSV."""
    with zipfile.ZipFile(dataset) as archive:
        content = archive.read(next(name for name in archive.namelist() if name.endswith(".csv")))
    header, *rows = content.splitlines(keepends=True)
    sessions = (list(group) for _, group in groupby(rows, key=lambda row: row.split(b";")[5]))
    return header + b"".join(row for session in islice(sessions, count) for row in session)


def words(page: AppTest) -> str:
    """All that is shown as plain text."""
    return "\n".join(element.value for element in page.text)


def sessions(page: AppTest) -> pd.DataFrame:
    """The table of sessions."""
    return next(shown.value for shown in page.dataframe if shown.key == "sessions")


def clicks(page: AppTest) -> pd.DataFrame:
    """The clicks of the session that is told."""
    return next(shown.value for shown in page.dataframe if "product" in shown.value)


def parsed(page: AppTest) -> str:
    """All that Streamlit reads as Markdown, HTML or a label: no text of a file may be in it."""
    kinds = (
        "markdown",
        "caption",
        "header",
        "subheader",
        "title",
        "html",
        "code",
        "error",
        "warning",
        "info",
    )
    found = [str(element.value) for kind in kinds for element in page.get(kind) if hasattr(element, "value")]
    for kind in ("metric", "selectbox", "multiselect", "slider", "text_input", "download_button", "expander"):
        found += [str(getattr(element, "label", "")) for element in page.get(kind)]
    return "\n".join(found)
