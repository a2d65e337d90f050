"""Log lines: for people on a terminal, for programs elsewhere."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import closing, redirect_stderr
from pathlib import Path
from typing import Literal

import pytest

from clickstream.infra.errors import FencedError, RefusedError
from clickstream.infra.logs import configure, last_words, logger, on_every_line
from clickstream.infra.settings import Settings
from clickstream.local.processes import environment


def test_elsewhere_than_on_a_terminal_a_line_is_a_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings())
    on_every_line(owner="shop-one")
    logger("engine").info("claimed", partition=3, committed=None)
    logger("engine").debug("not said at this level")
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = map(json.loads, captured.err.splitlines())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "part": "engine",
        "owner": "shop-one",
        "event": "claimed",
        "level": "info",
        "partition": 3,
        "committed": None,
    }


def test_for_a_person_it_is_words_without_escapes_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(Settings(log_format="console", log_level="warning"))
    logger("engine").info("not said at this level")
    logger("engine").warning("recovering", error="Redis is away")
    (line,) = capsys.readouterr().err.splitlines()
    assert "recovering" in line
    assert "Redis is away" in line
    assert "\x1b" not in line


def test_an_error_that_ends_a_command_is_a_line_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(log_format="json")
    configure(settings)
    on_every_line(owner="shop-one")
    with pytest.raises(SystemExit) as ended, last_words(settings):
        raise RefusedError("offsets were set back", "Set them again.")
    assert ended.value.code == 78
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    del line["timestamp"]
    assert line == {
        "part": "command",
        "owner": "shop-one",
        "event": "ended",
        "level": "error",
        "error": "offsets were set back",
        "remedy": "Set them again.",
        "code": 78,
    }


def test_a_bug_is_one_line_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(log_format="json", log_level="error")
    configure(settings)
    on_every_line(owner="shop-one")
    with pytest.raises(SystemExit) as ended, last_words(settings):
        raise AssertionError("a session has nothing to close")
    assert ended.value.code == 1
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (line["event"], line["level"], line["owner"]) == ("ended", "error", "shop-one")
    assert (line["error"], line["code"]) == ("AssertionError", 1)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("AssertionError: a session has nothing to close")
    assert __file__ in line["exception"]


def test_for_a_person_an_ending_is_left_to_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(log_format="console")
    configure(settings)
    for error in (FencedError("another has its name"), AssertionError("a bug")):
        with pytest.raises(type(error)), last_words(settings):
            raise error
    assert capsys.readouterr().err == ""


def test_being_asked_to_stop_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(log_format="json")
    configure(settings)
    with pytest.raises(SystemExit) as ended, last_words(settings):
        sys.exit(0)
    assert ended.value.code == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_consumer_says_once_why_it_ended(log_format: Literal["json", "console"], tmp_path: Path) -> None:
    """Without a bundle it ends before it asks for a server."""
    settings = Settings(home=tmp_path, bundle=str(tmp_path / "none"), log_format=log_format)
    done = subprocess.run(
        [sys.executable, "-m", "clickstream", "consume", "--instance", "one"],
        env=environment(settings),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b""
    told = done.stderr.decode()
    assert told.count("there is no bundle") == 1, told
    if log_format == "json":
        (line,) = map(json.loads, told.splitlines())
        assert line["owner"] == f"{settings.group}-one"
        assert (line["event"], line["code"]) == ("ended", done.returncode)
    else:
        assert told.startswith("error: ")
        assert "Traceback" not in told
    assert done.returncode == 65


def test_the_last_setting_up_says_where_lines_go(capsys: pytest.CaptureFixture[str]) -> None:
    log = logger("engine")
    with closing(io.StringIO()) as elsewhere, redirect_stderr(elsewhere):
        configure(Settings())
        log.info("one")
        assert "one" in elsewhere.getvalue()
    configure(Settings())
    log.info("two")
    assert json.loads(capsys.readouterr().err)["event"] == "two"
