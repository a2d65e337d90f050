"""`clickstream dashboard`: when it cannot start, whom it lets in, and that no other command pays for it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from http.client import HTTPConnection
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from shop import wait_for
from streamlit import net_util
from streamlit.web.server import server_util

from clickstream.cli.dashboard import dashboard
from clickstream.dashboard.server import ask_nobody_for_our_address
from clickstream.infra.errors import ConfigurationError
from clickstream.infra.settings import Settings
from clickstream.local.child import HOST, free_port
from clickstream.local.processes import Process


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
        "import sys; from clickstream.cli import main; main.command_line();"
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


def _handshake(port: int, name: str) -> int:
    """Status of the answer to a browser that calls this machine `name` and wants to see pages."""
    connection = HTTPConnection(HOST, port, timeout=10)
    headers = {
        "Host": f"{name}:{port}",
        "Origin": f"http://{name}:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        "Sec-WebSocket-Protocol": "streamlit",
    }
    try:
        connection.request("GET", "/_stcore/stream", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_on_all_addresses_only_those_are_let_in_who_use_an_allowed_name(tmp_path: Path) -> None:
    port = free_port()
    process = Process(
        ["dashboard", "--host", "0.0.0.0", "--port", str(port), "--allow-host", "shop.test", "--read-only"],
        Settings(home=tmp_path),
        tmp_path / "log",
    )

    def answers() -> bool:
        assert process.poll() is None, process.last_words()
        try:
            return _handshake(port, HOST) > 0
        except OSError:
            return False

    try:
        wait_for(answers, "the dashboard answers")
        found = {name: _handshake(port, name) for name in (HOST, "localhost", "shop.test", "evil.test")}
    finally:
        status = process.stop()
    assert found == {HOST: 101, "localhost": 101, "shop.test": 101, "evil.test": 403}
    assert status == 0
    assert "shop.test" in process.log.read_text()
