"""`clickstream dashboard`: what it says when it cannot start, and that no other command pays for it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest
from streamlit import net_util
from streamlit.web.server import server_util

from clickstream.app.cli.dashboard import dashboard
from clickstream.app.dashboard.server import ask_nobody_for_our_address
from clickstream.infra.errors import ConfigurationError


def test_without_the_extra_it_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def hidden(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in ("streamlit", "altair") else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    with pytest.raises(ConfigurationError) as error:
        dashboard()
    assert "streamlit, altair" in error.value.what
    assert "clickstream-scoring[dashboard]" in error.value.remedy


def test_registering_the_commands_imports_no_streamlit() -> None:
    code = (
        "import sys; from clickstream.app.cli import main; main.command_line([]);"
        " sys.exit('streamlit' in sys.modules or 'altair' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_page_of_somebody_else_is_refused_without_a_question_to_the_internet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(net_util, "_external_ip", None)
    monkeypatch.setattr(net_util, "_make_blocking_http_get", lambda url, **_: asked.append(url))
    ask_nobody_for_our_address()
    assert not server_util.is_url_from_allowed_origins("http://shop.example")
    assert asked == []
    monkeypatch.setattr(net_util, "_external_ip", None)
    assert not server_util.is_url_from_allowed_origins("http://shop.example")
    assert asked, "Streamlit asks where it holds no answer"
