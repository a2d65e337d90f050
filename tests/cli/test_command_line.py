"""The command line under hostile environments, and what its help shows."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENTED = {0, 1, 2, 64, 65, 66, 69, 74, 75, 78, 130}
# What no stream can take is met in one place, whatever the command: test_hostile_places.py runs them all.
COMMANDS = [[], ["scores", "audit"], ["consume"]]


def run(
    words: list[str], home: Path, shell: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """`clickstream` in a process of its own; `shell` is appended to its line."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CLICKSTREAM_")}
    line = ["sh", "-c", f'exec "$0" -m clickstream "$@" {shell}', sys.executable, *words]
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
        env=ours | {"CLICKSTREAM_HOME": str(home), "COLUMNS": "80"} | environment,
    )


@pytest.mark.parametrize("words", COMMANDS, ids=["root", "audit", "consume"])
@pytest.mark.parametrize("shell", [">/dev/full", ">&-", ">&- 2>&- <&-"])
def test_no_command_ends_in_a_traceback_without_standard_output(
    tmp_path: Path, words: list[str], shell: str
) -> None:
    ended = run([*words, "--help"], tmp_path, shell)
    assert "Traceback" not in ended.stderr + ended.stdout
    assert ended.returncode == 74


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "xx_XX.UTF-8"},
        {"COLUMNS": "0"},
        {"COLUMNS": "1"},
        {"TERM": ""},
        {"HOME": ""},
    ],
    ids=str,
)
def test_help_is_shown_on_any_terminal(tmp_path: Path, environment: dict[str, str]) -> None:
    ended = run(["--help"], tmp_path, **environment)
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)


def test_a_home_that_cannot_hold_a_bundle_is_told_before_the_models_are_fitted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run(["train", "--synthetic", "500"], tmp_path / "file")
    assert ended.returncode == 74
    assert f"{tmp_path / 'file'}" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("width", ["80", "120"])
def test_help_shows_brackets_and_wraps_once(tmp_path: Path, width: str) -> None:
    shown = run(["dashboard", "--help"], tmp_path, COLUMNS=width).stdout
    assert "clickstream-scoring[dashboard]" in shown
    text = shown.partition("╭")[0].strip().splitlines()
    first = next(n for n, line in enumerate(text) if "Whoever reaches" in line)
    assert len(text[first].rstrip()) > int(width) - 15


def test_the_version_is_shown(tmp_path: Path) -> None:
    ended = run(["--version"], tmp_path)
    assert ended.returncode == 0
    assert ended.stdout.startswith("clickstream 0.")


def test_commands_that_use_no_models_do_not_wait_for_their_libraries() -> None:
    code = (
        "import sys; from clickstream.cli.main import command_line\n"
        "for words in 'replay', 'sessions', 'shop check', 'forget', 'topics', 'scores tail':\n"
        "    command_line(words.split())\n"
        "print(sorted({'sklearn', 'river', 'pandas', 'duckdb'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "[]"


def test_a_command_with_models_starts_without_pandas_which_can_be_imported_later() -> None:
    code = (
        "import atexit, importlib.util, sys; from clickstream.cli.main import main\n"
        "def ended():\n"
        "    loaded = [name in sys.modules for name in ('sklearn', 'pandas')]\n"
        "    print('loaded', *loaded, importlib.util.find_spec('pandas') is not None)\n"
        "atexit.register(ended)\n"
        "main()"
    )
    here = importlib.util.find_spec("pandas") is not None
    words = [sys.executable, "-c", code, "consume", "--help"]
    ended = subprocess.run(words, check=True, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == f"loaded True False {here}"


def test_an_unknown_variable_is_named_with_the_nearest_setting(tmp_path: Path) -> None:
    ended = run(["--version"], tmp_path, CLICKSTREAM_REDIS_UR="redis://x", CLICKSTREAM_DATA="x")
    assert "CLICKSTREAM_REDIS_UR is no setting" in ended.stderr
    assert "did you mean CLICKSTREAM_REDIS_URL?" in ended.stderr
    assert "CLICKSTREAM_DATA is" not in ended.stderr


def test_a_file_name_that_is_not_utf_8_is_shown_escaped(tmp_path: Path) -> None:
    ended = run(["models", "list", "--home", os.fsdecode(os.fsencode(tmp_path) + b"/\xff")], tmp_path)
    assert (ended.returncode in DOCUMENTED, "Traceback" in ended.stderr) == (True, False)
