"""A file of any shop scored without a stream: as the stream would, in the columns that the shop has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from clickstream.bundles.bundle import Bundle
from clickstream.cli.score import score
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in, define
from clickstream.files.shop_log import ShopLog
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.settings import Settings
from clickstream.offline.scoring import FileScores, score_file
from clickstream.offline.sessions import columns_of
from clickstream.offline.writing import as_bytes
from clickstream.producer.plan import PlanOptions, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.producer.synthetic_shop import SHOP, known_log
from clickstream.records.shop_click import parser_of
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules

SESSIONS = 150

app = typer.Typer()
app.command()(score)


@pytest.fixture(scope="module")
def log() -> ShopLog:
    return known_log(SESSIONS, seed=3)


@pytest.fixture(scope="module")
def lines(log: ShopLog) -> bytes:
    """The clicks of the log, as they lie on the topic."""
    plan = make_plan(make_schedule(log, ScheduleOptions("dated")), PlanOptions(1, heartbeats=False))
    return b"".join(sent.value + b"\n" for sent in plan.publications())


@pytest.fixture(scope="module")
def scores(lines: bytes, bundle: Bundle) -> FileScores:
    return score_file(lines, bundle=bundle, settings=Settings(shop=SHOP), name="clicks.jsonl")


def streamed(log: ShopLog, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """The scores of a replay of the log through the consumer's logic, by score id."""
    shop = shop_of(log.definition)
    plan = make_plan(make_schedule(log, ScheduleOptions("dated")), PlanOptions(1))
    logic, online = Partition(Rules(shop=shop)), bundle.online()
    parse = parser_of(log.definition).parse
    for offset, sent in enumerate(plan.publications()):
        logic.advance(offset, sent.timestamp, parse(sent.value, sent.key))
    scorer = WindowScorer(bundle, "clicks", "", shop)
    found = scorer.score([UnscoredWindow(0, closed, online) for closed in logic.closed])
    return {one["score_id"]: one for one in (orjson.loads(value or b"") for value in found)}


def test_a_file_says_what_the_stream_says(scores: FileScores, log: ShopLog, bundle: Bundle) -> None:
    stream = streamed(log, bundle)
    assert len(stream) == len(scores.sessions) >= SESSIONS
    for place in range(len(scores.sessions)):
        ours = scores.sessions.row(place)
        theirs = stream[f"{ours['session_id']}/{ours['opened_at']}"]
        for name in ("clicks", "duplicates", "missing", "evidence", "closed_by", "error"):
            assert ours[name] == theirs[name]
        features = theirs["features"] | {"feature_clicks": theirs["features"]["clicks"]}
        assert {name: ours[name] for name in features} == features
        for scorer in ("batch", "online"):
            for answer, value in theirs["predictions"][scorer].items():
                assert ours[f"{scorer}_{answer}"] == value
        for name in ("converted", "revenue"):
            assert ours[name] == theirs["outcome"][name]


def test_the_columns_are_those_of_the_shop(scores: FileScores, shop: ShopDefinition) -> None:
    columns = columns_of(shop_of(shop))
    assert list(columns) == list(scores.sessions.columns)
    assert not any(name.startswith("reference") for name in columns)
    assert {"batch_revenue", "online_revenue", "revenue"} <= columns.keys()
    assert (columns["last_event"], columns["seconds"], columns["searches"]) == (str, float, int)
    for name, column in scores.sessions.columns.items():
        assert {type(value) for value in column} <= {
            columns[name],
            int if "_at" in name else None,
            type(None),
        }
    valueless = columns_of(shop_of(built_in("online-store")))
    assert not any("revenue" in name for name in valueless)
    assert valueless.keys() >= {"converted", "batch_conversion", "online_cluster_name"}


def test_a_feature_called_like_a_column_and_one_that_is_not_shown() -> None:
    features = {
        "clicks": {"count": True},
        "feature_clicks": {"count": 'event == "look"'},
        "price": {"last": "price", "in_scores": False},
        "member": {"first": "member"},
    }
    fields: dict[str, Any] = {
        "event": {"type": "text"},
        "price": {"type": "number", "optional": True},
        "member": {"type": "boolean", "optional": True},
    }
    goal = {"when": 'event == "buy"'}
    shop = shop_of(define({"name": "s", "fields": fields, "goal": goal, "features": features}, "s"))
    columns = columns_of(shop)
    assert columns["feature_clicks"] is columns["feature_feature_clicks"] is int
    assert columns["member"] is bool
    assert "price" not in columns


def test_every_format_holds_every_session(scores: FileScores) -> None:
    first = json.loads(as_bytes(scores.sessions, "jsonl").splitlines()[0])
    assert first.keys() == scores.sessions.types.keys()
    assert as_bytes(scores.sessions, "parquet")
    some = scores.sessions.at([3, 1])
    ids = scores.sessions.columns["session_id"]
    assert some.columns["session_id"] == [ids[3], ids[1]]


def test_the_command_scores_the_file_of_a_shop(lines: bytes, bundle: Bundle, tmp_path: Path) -> None:
    file, out = tmp_path / "clicks.jsonl", tmp_path / "found.jsonl"
    file.write_bytes(lines)
    words = [str(file), "--shop", SHOP, "--bundle", str(bundle.path), "--home", str(tmp_path)]
    result = CliRunner().invoke(app, [*words, "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    assert len(out.read_text().splitlines()) == len(known_log(SESSIONS, seed=3).sessions)
    for shown in ("conversions foretold", "conversions made", "average predicted revenue", "purchase"):
        assert shown in result.stderr
    assert "reference" not in result.stderr
    refused = CliRunner().invoke(app, [*words[:2], "online-store", *words[3:]])
    assert isinstance(refused.exception, ClickstreamError)
    assert "asked for is shop online-store" in str(refused.exception)
