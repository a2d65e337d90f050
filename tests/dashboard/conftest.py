"""Page *Score a file* as a person uses it: a bundle in use, a file in, and what is on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from dashboard_pages import Upload, alone, first_sessions, shown
from streamlit.testing.v1 import AppTest

__all__ = ["alone"]


@pytest.fixture
def page(synthetic_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page before any upload; the bundle in use is the synthetic one."""
    monkeypatch.setenv("CLICKSTREAM_BUNDLE", str(synthetic_bundle))
    return shown("score")


@pytest.fixture
def upload(page: AppTest) -> Upload:
    def given(content: bytes, name: str = "clicks.csv", mapping: bytes | None = None) -> AppTest:
        if mapping is not None:
            page.file_uploader(key="mapping").set_value(("mapping.toml", mapping, "application/toml"))
        page.file_uploader(key="file").set_value((name, content, "text/csv"))
        page.run(timeout=240)
        assert not page.exception, page.exception
        return page

    return given


@pytest.fixture(scope="session")
def few_sessions(shop_file: Path) -> bytes:
    """The first 300 sessions of the file."""
    return first_sessions(shop_file, 300)
