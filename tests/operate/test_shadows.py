"""Candidates that ride along, as the metrics of their consumers say, and as they are shown."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import cast

import pytest
from rich.console import Console

from clickstream.local.child import free_port
from clickstream.monitoring.health import Health
from clickstream.monitoring.metrics import Sample
from clickstream.monitoring.serving import served
from clickstream.operate.quality import RecordedScores, WatchedScores
from clickstream.operate.scrape import Scrape, address_of, ask_all
from clickstream.operate.shadows import RidingShadow, shadows_of
from clickstream.terminal.watch_view import final_table, render_watched


def samples(rides: bool, failures: int = 0) -> Iterator[Sample]:
    yield Sample("clickstream_bundle_info", 1, ("in-use",))
    yield Sample("clickstream_shadow_info", int(rides), ("candidate",))
    yield Sample("clickstream_shadow_failures_total", failures)
    for window, sessions in (("since_start", 900), ("rolling", 700)):
        for kind, loss in (("model", 0.5), ("shadow", 0.25)):
            yield Sample(f"clickstream_{kind}_sessions", sessions, (window,))  # type: ignore[arg-type]
            for scorer in ("batch", "online"):
                yield Sample(f"clickstream_{kind}_log_loss", loss, (scorer, window))  # type: ignore[arg-type]
        yield Sample("clickstream_shadow_auc", 0.75, ("batch", window))


def scraped(rides: bool = True, failures: int = 0) -> list[Scrape]:
    """What a consumer serves, over HTTP."""
    with served("127.0.0.1", free_port(), lambda: samples(rides, failures), health=Health(())) as port:
        return ask_all([address_of(f"127.0.0.1:{port}")])


def shown(shadow: RidingShadow, final: bool) -> str:
    console = Console(file=io.StringIO(), width=120)
    view = final_table(RecordedScores().summary(), [shadow]) if final else None
    console.print(view or render_watched(WatchedScores(10), "", [shadow]))
    return cast(io.StringIO, console.file).getvalue()


def test_a_shadow_stands_beside_the_bundle_in_use_on_the_same_sessions() -> None:
    (shadow,) = shadows_of(scraped())
    assert (shadow.bundle, shadow.in_use, shadow.rides, shadow.failures) == ("candidate", "in-use", True, 0)
    assert shadow.figures["rolling"] == {
        "sessions": 700,
        "batch": {"log_loss": 0.25, "auc": 0.75, "mae": None},
        "online": {"log_loss": 0.25, "auc": None, "mae": None},
    }
    assert shadow.figures_in_use["since_start"]["online"]["log_loss"] == 0.5


@pytest.mark.parametrize("final", [False, True])
def test_it_is_shown_line_by_line_and_a_failure_is_said(final: bool) -> None:
    (shadow,) = shadows_of(scraped())
    text = shown(shadow, final)
    assert "shadow candidate beside in-use" in text
    assert "could not" not in text
    rows = [line.split() for line in text.splitlines() if line.lstrip().startswith(("batch,", "online,"))]
    assert rows == [
        ["batch,", "shadow", "900", "0.2500", "0.7500", "-", "700", "0.2500", "0.7500", "-"],
        ["batch,", "in", "use", "900", "0.5000", "-", "-", "700", "0.5000", "-", "-"],
        ["online,", "shadow", "900", "0.2500", "-", "-", "700", "0.2500", "-", "-"],
        ["online,", "in", "use", "900", "0.5000", "-", "-", "700", "0.5000", "-", "-"],
    ]
    (failed,) = shadows_of(scraped(rides=False, failures=60))
    assert "it could not score 60 sessions" in shown(failed, final)
    assert "rides no further" in shown(failed, final)


def test_a_consumer_without_one_or_one_that_is_away_has_none() -> None:
    assert list(shadows_of([Scrape("http://a:1", away="refused")])) == []
    with served("127.0.0.1", free_port(), list, health=Health(())) as port:
        assert list(shadows_of(ask_all([address_of(f"127.0.0.1:{port}")]))) == []
