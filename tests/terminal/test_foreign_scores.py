"""Records of others that are like scores: they are named as none, and whoever follows the topic goes on."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from clickstream.terminal.scores.filters import chosen
from clickstream.terminal.scores.writers import TableWriter

FOREIGN: list[dict[str, Any]] = [
    {"score_id": "a/1"},
    {"score_id": "a/1", "predictions": {"batch": {"conversion": "x"}}},
    {"score_id": 1, "session_id": 2, "clicks": 3, "closed_by": [], "predictions": [], "error": 7},
]


@pytest.mark.parametrize("record", FOREIGN)
def test_what_has_the_name_of_a_score_alone_is_shown_as_none(record: dict[str, Any]) -> None:
    shown = io.StringIO()
    writer = TableWriter(Console(file=shown), "batch")
    writer.write(b"", record)
    writer.flush()
    assert "not a score" in shown.getvalue()


@pytest.mark.parametrize("record", FOREIGN)
def test_what_holds_no_number_passes_no_bound(record: dict[str, Any]) -> None:
    assert not chosen(min_conversion=0.5)(record)
    assert not chosen(max_conversion=0.5)(record)
