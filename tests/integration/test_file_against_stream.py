"""A file by `clickstream score` and the same file replayed through a real consumer say the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shop import Shop, stop

from clickstream.bundles.bundle import load_bundle
from clickstream.files.mapping import UciMapping, read_mapping
from clickstream.files.source import read_source
from clickstream.infra.settings import Settings
from clickstream.offline.scoring import FileScores, score_file

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-clicks"
FILE, MAPPING = EXAMPLE / "clicks.csv", EXAMPLE / "mapping.toml"
COMMAND = "import typer; from clickstream.cli.replay import replay; typer.run(replay)"
SESSIONS = 300
COUNTED = ("closed_by", "clicks", "duplicates", "late", "missing", "evidence", "error")


def replayed(settings: Settings, *words: str) -> None:
    """`clickstream replay` as a process of its own, to its end."""
    environment = os.environ | {
        "CLICKSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap or "",
        "CLICKSTREAM_CLICKS_TOPIC": settings.clicks_topic,
        "CLICKSTREAM_HOME": str(settings.home),
    }
    command = [sys.executable, "-c", COMMAND, *words, "--speed", "max"]
    subprocess.run(command, env=environment, check=True, timeout=120)


def published(shop: Shop) -> list[dict[str, Any]]:
    """The scores of a consumer of what is on the topic."""
    consumer = shop.consumer()
    shop.drain(consumer)
    stop(consumer)
    return shop.scores()


def scored(shop: Shop, file: Path, mapping: UciMapping | None = None) -> FileScores:
    bundle = load_bundle(shop.settings)
    return score_file(file, bundle=bundle, settings=shop.settings, mapping=mapping)


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert {name: ours[name] for name in COUNTED} == {name: theirs[name] for name in COUNTED}
    assert {name: ours[name] for name in theirs["features"]} == theirs["features"]
    for scorer in ("batch", "reference"):
        answers = theirs["predictions"][scorer]
        assert {answer: ours[f"{scorer}_{answer}"] for answer in answers} == answers


def beginning(dataset: Path) -> bytes:
    """The file up to its session number SESSIONS, which is named so there."""
    content = read_source(dataset)[1].splitlines(keepends=True)
    return b"".join(line for n, line in enumerate(content) if n == 0 or int(line.split(b";")[5]) <= SESSIONS)


def test_sessions_of_a_file_are_scored_as_in_the_stream(shop: Shop, shop_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "beginning.csv"
    file.write_bytes(beginning(shop_file))
    replayed(shop.settings, "--data", str(file))
    stream = {one["session_id"]: one for one in published(shop)}
    assert len(stream) == SESSIONS
    scores = scored(shop, file)
    rows = [scores.sessions.row(place) for place in range(SESSIONS)]
    for row in rows:
        assert_same(row, stream[row["session_id"]])


def test_a_mapped_file_goes_through_kafka_and_is_scored_as_it_is_from_the_file(shop: Shop) -> None:
    replayed(shop.settings, "--data", str(FILE), "--mapping", str(MAPPING))
    stream = {(one["session_id"], one["opened_at"]): one for one in published(shop)}
    assert {one["time_source"] for one in stream.values()} == {"recorded"}
    scores = scored(shop, FILE, read_mapping(MAPPING))
    assert len(scores.sessions) == len(stream)
    for place in range(len(scores.sessions)):
        row = scores.sessions.row(place)
        theirs = stream[row["session_id"], row["opened_at"]]
        assert row["last_click_at"] == theirs["last_click_at"]
        assert_same(row, theirs)
    assert {one["closed_by"] for one in stream.values()} == {"gap", "end"}
    report = shop.audit()
    assert report.clean
    assert report.clicks == scores.cleaning.kept
    assert report.scored == len(stream)
