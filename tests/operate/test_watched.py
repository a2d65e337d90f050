"""The scores topic as a judgement of the models, and how it is shown."""

from __future__ import annotations

import io
from threading import Event
from typing import Any, cast

import orjson
import pytest
from rich.console import Console
from scored_log import ScoredLog

from clickstream.cli.watch import watching
from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka import Reader, Record
from clickstream.models.figures import conversion_figures, revenue_figures
from clickstream.operate.quality import RecordedScores, WatchedScores
from clickstream.terminal.watch_view import final_table, render_watched


@pytest.fixture
def records() -> list[Record]:
    """The scores of 40 sessions, of one to five clicks; every second converts."""
    log = ScoredLog()
    for number in range(40):
        for order in range(1, 2 + number % 5):
            log.click(f"s{number}", 10 * number + order, order, price=20 + number, price_2=1 + number % 2)
    log.heartbeat(600)
    log.publish()
    return cast(list[Record], log.scores)


def evident(records: list[Record]) -> list[dict[str, Any]]:
    contents = [orjson.loads(record.value or b"") for record in records]
    return [score for score in contents if score["evidence"]]


def shown(what: Any) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(what)
    return cast(io.StringIO, console.file).getvalue()


def test_a_recording_is_judged_with_the_figures_of_training(records: list[Record]) -> None:
    recording = RecordedScores()
    recording.add(records[:7])
    recording.add(records[7:])
    summary = recording.summary()
    scores = evident(records)
    converted = [score["outcome"]["converted"] for score in scores]
    revenue = [score["outcome"]["revenue"] for score in scores]
    assert summary["sessions"] == 40
    assert len(scores) == 32
    for name in ("batch", "reference"):
        answers = [score["predictions"][name] for score in scores]
        assert summary["figures"][name] == {
            **conversion_figures(converted, [answer["conversion"] for answer in answers]),
            **revenue_figures(revenue, [answer["revenue"] for answer in answers]),
        }
    assert -1 <= summary["figures"]["online"]["ari"] <= 1


def test_the_order_in_which_partitions_are_read_does_not_matter(records: list[Record]) -> None:
    one, other = RecordedScores(), RecordedScores()
    one.add(records)
    other.add(records[::-1])
    assert other.summary() == one.summary()


def test_what_comes_is_judged_over_the_window_and_since_the_start(records: list[Record]) -> None:
    watched = WatchedScores(10)
    watched.add(records[:25])
    watched.add(records[25:])
    since, rolling = watched.since_start(), watched.rolling()
    assert since is not None
    assert rolling is not None
    assert (watched.sessions, since.sessions, rolling.sessions) == (40, 32, 10)
    last = evident(records)[-10:]
    error = sum(abs(s["outcome"]["revenue"] - s["predictions"]["batch"]["revenue"]) for s in last) / 10
    assert rolling.scorers["batch"].mae == pytest.approx(error)
    assert watched.summary()["rolling"]["batch"]["mae"] == pytest.approx(error)


def test_scores_of_another_bundle_and_what_is_no_score_are_left_out(records: list[Record]) -> None:
    strange = ScoredLog()
    strange.put(strange.scores, "scores", 0, None, b"hello")
    strange.put(strange.scores, "scores", 0, None, None)
    watched, recording = WatchedScores(10, "another"), RecordedScores("another")
    for one in (watched, recording):
        one.add(records)
        one.add(cast(list[Record], strange.scores))
    assert watched.sessions == 0
    assert watched.rolling() is None
    assert recording.summary()["figures"] == {}
    assert "0 sessions" in shown(final_table(recording.summary()))
    assert "0 sessions" in shown(render_watched(watched, ""))


def test_a_terminal_shows_each_scorer_the_bundle_and_the_state(records: list[Record]) -> None:
    watched, recording = WatchedScores(10), RecordedScores()
    watched.add(records)
    recording.add(records)
    live, final = shown(render_watched(watched, "no answer")), shown(final_table(recording.summary()))
    for text in (live, final):
        assert all(name in text for name in ("batch", "online", "reference", "log-loss", "AUC"))
        assert "oracle (40)" in text
        assert "32 of them" in text
    assert "last 10" in live
    assert "no answer" in live


class Flaky:
    """A reader whose broker is away for a while."""

    def __init__(self, polls: list[list[Record] | None]) -> None:
        self._polls = polls

    def poll(self) -> list[Record]:
        return self._polls.pop(0) or []

    def end_offsets(self) -> dict[int, int]:
        if self._polls and self._polls[0] is None:
            raise UnavailableError("no answer")
        return {0: 0}


def test_a_broker_that_is_away_is_said_and_followed_again(records: list[Record]) -> None:
    watched = WatchedScores(10)
    reader = cast(Reader, Flaky([records[:5], [], None, None, [], records[5:]]))
    states = watching(reader, watched, "scores at kafka:9092", Event(), silence_s=0)
    said = [next(states) for _ in range(6)]
    assert ["no answer" in state for state in said] == [False, True, True, False, False, False]
    assert watched.sessions == 40
