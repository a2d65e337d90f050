"""Log lines: for people on a terminal, for programs elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from clickstream.infra.logs import configure, logger, on_every_line
from clickstream.infra.settings import Settings


@pytest.fixture(autouse=True)
def _apart() -> Iterator[None]:
    """Other tests log as they did before."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


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
