"""What `scores tail` lets through, and what it shows of it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from scored_log import ScoredLog

from clickstream.app.cli.tail import Rows, chosen


@pytest.fixture
def score() -> dict[str, Any]:
    """Three clicks: batch 0.33, online 1.00, reference 0.25, of kind 1."""
    log = ScoredLog()
    for order in (1, 2, 3):
        log.click("alice", order, order)
    log.heartbeat(60)
    log.publish()
    return log.contents(log.scores)[0]


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({}, True),
        ({"session": "alice"}, True),
        ({"session": "bob"}, False),
        ({"closed_by": "gap"}, True),
        ({"closed_by": "end"}, False),
        ({"cluster": "kind 1"}, True),
        ({"cluster": "kind 0"}, False),
        ({"cluster": "kind 0", "scorer": "online"}, True),
        ({"min_conversion": 0.33}, True),
        ({"min_conversion": 0.34}, False),
        ({"max_conversion": 0.34}, True),
        ({"max_conversion": 0.33}, False),
        ({"min_conversion": 0.9, "scorer": "online"}, True),
        ({"min_conversion": 0.25, "max_conversion": 0.25, "scorer": "reference"}, True),
        ({"session": "alice", "closed_by": "end"}, False),
    ],
)
def test_a_filter_lets_through_what_it_names(
    score: dict[str, Any], filters: dict[str, Any], passes: bool
) -> None:
    assert chosen(**filters)(score) is passes


def test_a_score_without_predictions_passes_no_filter_on_them(score: dict[str, Any]) -> None:
    score["predictions"] = {"batch": None, "online": None, "reference": None}
    assert chosen(session="alice")(score)
    assert not chosen(max_conversion=1)(score)
    assert not chosen(cluster="kind 1")(score)


def test_what_is_no_score_passes_where_nothing_is_filtered() -> None:
    assert chosen()(None)
    assert not chosen(session="alice")(None)


def test_the_table_has_its_titles_once_and_a_row_a_score(score: dict[str, Any]) -> None:
    screen = io.StringIO()
    rows = Rows(Console(file=screen, width=100), "reference")
    rows.flush()
    assert screen.getvalue() == ""
    rows.write(b"", score)
    rows.flush()
    rows.write(b"", score | {"error": "rebuilt-partly", "predictions": dict.fromkeys(score["predictions"])})
    rows.write(b"", None)
    rows.flush()
    titles, first, second, third = screen.getvalue().splitlines()
    assert titles.split() == [
        "session",
        "clicks",
        "closed",
        "batch",
        "online",
        "reference",
        "revenue",
        "cluster",
    ]
    assert first.split() == ["alice", "3", "gap", "0.33", "1.00", "0.25", "$20.00", "kind", "1"]
    assert second.split() == ["alice", "3", "gap", "-", "-", "-", "-", "rebuilt-partly"]
    assert third.strip() == "not a score"


def test_what_a_sender_wrote_cannot_style_the_terminal(score: dict[str, Any]) -> None:
    screen = io.StringIO()
    rows = Rows(Console(file=screen, width=100, force_terminal=True), "batch")
    rows.write(b"", score | {"session_id": "[red]\x1b[2J"})
    rows.flush()
    assert "[red]" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()
