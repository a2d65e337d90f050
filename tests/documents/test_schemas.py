"""The published JSON Schema files describe the records that are really taken and published."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from factory import click_json, parse
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from scored_log import START, ScoredLog
from typer.testing import CliRunner

from clickstream.cli.schemas import schemas
from clickstream.documents import documents
from clickstream.records.click import InvalidRecordError
from clickstream.records.scorers import SCORERS

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "schemas"

app = typer.Typer()
app.command()(schemas)


def validator(name: str) -> Draft202012Validator:
    """Of the file as it is in docs/."""
    schema = orjson.loads((FOLDER / f"{name}.json").read_bytes())
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["title"]
    return Draft202012Validator(schema)


def errors(name: str, records: Iterable[Any]) -> list[str]:
    check = validator(name)
    return [error.message for record in records for error in check.iter_errors(record)]


def test_the_files_are_those_of_the_models() -> None:
    assert {name: (DOCS / name).read_bytes() for name in documents()} == documents()
    assert {f"schemas/{path.name}" for path in FOLDER.iterdir()} < documents().keys()


def test_scores_and_dead_letters_as_published_satisfy_their_schemas() -> None:
    log = ScoredLog()
    for order in (1, 2, 4, 4):
        log.click("alice", order, order, time_source="synthetic")
    log.click("bob", 5)
    log.send(b"carol", b"{", START)
    log.send(None, None, START)
    log.heartbeat(60)
    log.publish()
    scores, letters = log.contents(log.scores), log.contents(log.letters)
    assert (len(scores), len(letters)) == (2, 2)
    assert errors("score", scores) == []
    assert errors("dead-letter", letters) == []

    without = scores[0] | {"error": "rebuilt-partly"}
    without["predictions"] = dict.fromkeys(SCORERS)
    assert errors("score", [without]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"score_id": None},
        {"closed_by": "boredom"},
        {"clicks": 0},
        {"mood": 1},
        {"predictions": {"batch": None, "online": None}},
        {"source": {"topic": "clicks"}},
    ],
)
def test_what_is_no_score_does_not(change: dict[str, Any]) -> None:
    log = ScoredLog()
    log.click("alice", 0, end=True)
    log.heartbeat(5)
    log.publish()
    (score,) = log.contents(log.scores)
    assert errors("score", [score]) == []
    assert errors("score", [score | change])
    del score["opened_at"]
    assert errors("score", [score])


BROKEN = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["click", "heartbeat", "forget", "purchase"]),
        "session_id": st.sampled_from(["visit", "", 7]),
        "event_time": st.sampled_from([0, -1, "1", 1.5, 10**15]),
        "product": st.sampled_from(["A1", "", None]),
        "price": st.sampled_from([0, 12.5, -0.5, "12", 1e10]),
        "price_2": st.sampled_from([1, 2, 3]),
        "page": st.sampled_from([1, 0, True]),
        "order": st.sampled_from([None, 1, 0, 1_000_001]),
        "end": st.sampled_from([True, False, None, 1]),
        "colour": st.sampled_from([None, 3, -1]),
        "anything": st.just({"else": 1}),
    },
)


@given(BROKEN, st.sampled_from(["", "type", "session_id", "event_time", "price", "page"]))
def test_a_click_satisfies_its_schema_exactly_when_it_is_taken(changes: dict[str, Any], without: str) -> None:
    value = click_json(**changes | ({without: ...} if without else {}))
    record = orjson.loads(value)
    try:
        parse(value, str(record.get("session_id")).encode())
        taken = True
    except InvalidRecordError:
        taken = False
    kind = record.get("type")
    name = kind if kind in ("heartbeat", "forget") else "click"
    assert (errors(name, [record]) == []) is taken


def test_stale_files_are_found_and_renewed(tmp_path: Path) -> None:
    run = CliRunner().invoke
    out = ["--out", str(tmp_path)]
    missing = run(app, [*out, "--check"])
    assert missing.exit_code == 1
    assert all(f"{name} is stale" in missing.output for name in documents())
    assert run(app, out).exit_code == 0
    assert run(app, [*out, "--check"]).exit_code == 0
    (tmp_path / "schemas" / "score.json").write_text("{}")
    stale = run(app, [*out, "--check"])
    assert stale.exit_code == 1
    assert "score.json is stale" in stale.output
