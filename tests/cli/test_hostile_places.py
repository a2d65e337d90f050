"""Each command where nothing is as it should be: it ends in words and with a code that is documented."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clickstream.cli import main as cli
from clickstream.cli.boundary import BUG, exit_code_of
from clickstream.documents.command_tree import commands

# These start servers or a browser's; tests of their own see how they end.
SERVERS = {"demo", "up", "chaos", "dashboard"}
NAMES = sorted({one.name for one in commands(hidden=True)} - SERVERS)
CODES = {0, 1, 2, 3, 64, 65, 66, 69, 73, 74, 78}


def words_of(name: str, folder: Path) -> list[str]:
    """A command with what it cannot do without."""
    needed = {
        "score": [str(folder / "clicks.csv"), "--out", str(folder / "out.csv")],
        "shop check": ["uci553"],
        "models compare": ["a", "b", "--synthetic", "50"],
        "models promote": ["a"],
        "models sign": ["a"],
        "models export": ["--onnx", str(folder / "onnx"), "--synthetic", "50"],
        "replay": ["--synthetic", "5"],
        "schemas": ["--check"],
        "scores audit": ["--json"],
        "train": ["--synthetic", "300"],
        "top": ["--once"],
    }
    return [*name.split(), *needed.get(name, [])]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No server anywhere, and little patience."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLICKSTREAM_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    monkeypatch.setenv("CLICKSTREAM_REDIS_URL", "redis://127.0.0.1:9/0")
    monkeypatch.setenv("CLICKSTREAM_PATIENCE", "1s")
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path / "home"))
    return tmp_path


def ends_in_words(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> int:
    monkeypatch.setattr(sys, "argv", ["clickstream", *words_of(name, folder)])
    code = exit_code_of(cli._command)
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err, said.err[-2_000:]
    assert code in CODES - {BUG}, said.err[-2_000:]
    assert code == 0 or said.out + said.err
    return code


@pytest.mark.parametrize("name", NAMES)
def test_a_home_that_is_a_file(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("no folder")
    monkeypatch.setenv("CLICKSTREAM_HOME", str(folder / "file"))
    ends_in_words(name, folder, monkeypatch, capsys)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_that_is_nested_beyond_reason(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = folder / "home" / "bundles" / "20260101T000000Z-00000000"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text("[" * 100_000)
    (bundle.parent / "champion").write_text(f"{bundle.name}\n")
    (folder / "home" / "servers.json").write_text("[" * 100_000)
    monkeypatch.setenv("CLICKSTREAM_BUNDLE", str(bundle))
    ends_in_words(name, folder, monkeypatch, capsys)


@pytest.mark.parametrize("value", ["nonsense", "9" * 10_000, "-1s", "1e999s", "\x7f"])
def test_a_setting_that_is_none(
    value: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLICKSTREAM_GAP", value)
    assert ends_in_words("doctor", folder, monkeypatch, capsys) == 78


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"\0" * 100, b"[" * 100_000, b"a,b\n1,2\n", b"PK\x03\x04"]
)
def test_a_file_that_is_no_log(
    content: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "clicks.csv").write_bytes(content)
    for name in ("score", "shop check"):
        monkeypatch.setattr(sys, "argv", ["clickstream", *words_of(name, folder)])
        ends_in_words(name, folder, monkeypatch, capsys)
