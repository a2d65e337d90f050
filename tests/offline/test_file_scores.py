"""A file scored: what the stream would say of the same sessions, and each of them as a story."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from factory import parse
from scored_log import ScoredLog
from shop_files import csv_bytes, row, visits

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.features.shop import UCI553, Shop
from clickstream.files.mapping import read_mapping
from clickstream.files.sifting import sift_dataset
from clickstream.infra.errors import UsageError
from clickstream.infra.settings import Settings
from clickstream.models.lessons import LESSON
from clickstream.offline import scoring as module
from clickstream.offline.scoring import FileScores, UnseenValues, score_file
from clickstream.offline.sessions import columns_of
from clickstream.offline.trace import trace_session
from clickstream.producer.plan import PlanOptions, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.windows.fingerprint import fingerprint
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules

SESSIONS = 60
EXAMPLE = Path(__file__).parents[2] / "examples" / "own-clicks"
COLUMNS = columns_of(UCI553)
OF_FEATURES = {"session_length", "mean_price", "last_category", "navigation_depth"}


@pytest.fixture(scope="module")
def bundle(synthetic_bundle: Path) -> Bundle:
    return load_bundle(synthetic_bundle.parent, synthetic_bundle.name)


@pytest.fixture(scope="module")
def scores(bundle: Bundle) -> FileScores:
    return score(bundle, *visits(SESSIONS), row("one", 1), row("gap", 1), row("gap", 4))


def score(bundle: Bundle, *rows: str, **settings: Any) -> FileScores:
    return score_file(csv_bytes(*rows), bundle=bundle, settings=Settings(**settings), name="shop.csv")


def streamed(content: bytes, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """The scores of a replay of the file through the consumer's logic, by session id."""
    dataset = sift_dataset(content).dataset
    plan = make_plan(make_schedule(dataset, ScheduleOptions()), PlanOptions(1))
    log, online = Partition(Rules()), bundle.online()
    scorer = WindowScorer(bundle, "clicks", "", UCI553)
    for offset, sent in enumerate(plan.publications()):
        log.advance(offset, sent.timestamp, parse(sent.value, sent.key))
    found = scorer.score([UnscoredWindow(0, closed, online) for closed in log.closed])
    return {one["session_id"]: one for one in (orjson.loads(value or b"") for value in found)}


def test_batch_and_reference_say_what_they_say_in_the_stream(scores: FileScores, bundle: Bundle) -> None:
    content = csv_bytes(*visits(SESSIONS), row("one", 1), row("gap", 1), row("gap", 4))
    stream = streamed(content, bundle)
    assert len(stream) == len(scores.sessions) == SESSIONS + 2
    for place in range(len(scores.sessions)):
        ours = scores.sessions.row(place)
        theirs = stream[ours["session_id"]]
        for name in ("clicks", "missing", "evidence", "error"):
            assert ours[name] == theirs[name]
        assert {name: ours[name] for name in theirs["features"]} == theirs["features"]
        for scorer in ("batch", "reference"):
            for answer, value in theirs["predictions"][scorer].items():
                assert ours[f"{scorer}_{answer}"] == value
        assert (ours["converted"], ours["revenue"]) == (
            theirs["outcome"]["converted"],
            theirs["outcome"]["revenue"],
        )


def test_a_file_and_the_stream_score_by_the_same_fingerprint(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    made = WindowScorer.__init__

    def noted(self: WindowScorer, models: Bundle, topic: str, settings: str, shop: Shop, *more: Any) -> None:
        said.append(settings)
        made(self, models, topic, settings, shop, *more)

    monkeypatch.setattr(WindowScorer, "__init__", noted)
    settings = Settings()
    score_file(csv_bytes(*visits(1)), bundle=bundle, settings=settings, name="shop.csv")
    log = ScoredLog()
    log.click("alice", 0, 1)
    log.heartbeat(60)
    log.publish()
    assert said[0] == log.contents(log.scores)[0]["settings"] == fingerprint(settings)


def test_a_row_has_every_column_and_no_time_where_the_file_has_none(scores: FileScores) -> None:
    first = scores.sessions.row(0)
    assert list(first) == list(COLUMNS)
    assert first["session_id"] == "s0"
    assert str(first["day"]) == "2008-04-01"
    assert first["opened_at"] is None
    assert first["last_click_at"] is None
    assert all(isinstance(first[name], COLUMNS[name]) for name in COLUMNS if first[name] is not None)
    assert first.keys() >= OF_FEATURES


def test_the_summary_is_that_of_the_rows(scores: FileScores) -> None:
    column = scores.sessions.columns["online_conversion"]
    assert scores.summary.sessions == len(column)
    assert scores.summary.mean_conversion("online") == pytest.approx(sum(column) / len(column))
    shares = scores.summary.shares("batch")
    assert sum(share for _, share in shares) == pytest.approx(1.0)
    assert shares == sorted(shares, key=lambda one: -one[1])


def test_online_models_learn_on_the_way(bundle: Bundle) -> None:
    sessions = 3 * LESSON
    same = [row(f"s{n}", order, price=20 + order) for n in range(sessions) for order in (1, 2, 3)]
    found = score(bundle, *same).sessions.columns
    assert len(found["online_conversion"]) == sessions
    assert len(set(found["batch_conversion"])) == 1
    assert len(set(found["online_conversion"])) == 3


def test_a_session_of_too_many_clicks_is_cut_as_in_the_stream(bundle: Bundle) -> None:
    found = score(bundle, *(row("a", order) for order in range(1, 8)), max_clicks=3)
    columns = found.sessions.columns
    assert columns["clicks"] == [3, 3, 1]
    assert columns["window"] == [1, 2, 3]
    assert columns["closed_by"] == ["limit", "limit", "gap"]
    assert [len(steps) for steps in found.steps] == [3, 3, 1]


def test_what_the_bundle_does_not_know_is_counted(bundle: Bundle) -> None:
    known = bundle.vocabulary.values["last_product"][0]
    rows = [row("a", 1, product=known), row("a", 2, product="new"), row("a", 3, product="new")]
    assert score(bundle, *rows).unknown == UnseenValues(2, 1, 0)


def test_progress_ends_at_one_and_never_goes_back(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOLD_EVERY_S", 0.0)
    told: list[float] = []
    score_file(
        csv_bytes(*visits(SESSIONS)),
        bundle=bundle,
        settings=Settings(),
        progress=lambda share, _words: told.append(share),
    )
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("place", [0, 17, SESSIONS, SESSIONS + 1])
def test_a_story_ends_where_the_table_says(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    for name in (
        "clickstream.offline.scoring.AT_ONCE",
        "clickstream.offline.trace.AT_ONCE",
    ):
        monkeypatch.setattr(name, 16)
    scores = score(bundle, *visits(SESSIONS), row("one", 1), row("gap", 1), row("gap", 4))
    story, line = trace_session(scores, place, bundle), scores.sessions.row(place)
    last = story.clicks[-1]
    assert (story.session_id, len(story.clicks)) == (line["session_id"], line["clicks"])
    assert {name: line[name] for name in last.features} == last.features
    for scorer, prediction in last.predictions.items():
        for answer, value in prediction._asdict().items():
            assert line[f"{scorer}_{answer}"] == value
    assert [click.number for click in story.clicks] == list(range(1, line["clicks"] + 1))
    assert [click.features["session_length"] for click in story.clicks] == [c.number for c in story.clicks]


def test_a_prefix_of_a_story_is_the_story_of_the_prefix(bundle: Bundle, scores: FileScores) -> None:
    whole = trace_session(scores, 0, bundle)
    short = score(bundle, *visits(SESSIONS)[:2])
    assert trace_session(short, 0, bundle).clicks == whole.clicks[:2]


def test_a_story_that_cannot_be_told_is_refused(scores: FileScores, bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="there is no session 999"):
        trace_session(scores, 999, bundle)


def test_a_mapped_file_has_times_and_is_cut_by_them(bundle: Bundle) -> None:
    scores = score_file(
        EXAMPLE / "clicks.csv",
        bundle=bundle,
        settings=Settings(
            max_open_sessions=1
        ),  # A bound of the stream's memory, which a file has no part in.
        mapping=read_mapping(EXAMPLE / "mapping.toml"),
    )
    columns = scores.sessions.columns
    assert sum(columns["clicks"]) + sum(columns["duplicates"]) == scores.cleaning.kept
    assert all(a <= b for a, b in zip(columns["opened_at"], columns["last_click_at"], strict=True))
    assert set(columns["closed_by"]) == {"gap", "end"}
    assert scores.unknown is not None
    assert scores.unknown.clicks == scores.cleaning.kept
    story = trace_session(scores, 3, bundle)
    assert story.clicks[0].event_time == columns["opened_at"][3]
