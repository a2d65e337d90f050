"""`clickstream shop`: what a person sees of a definition, and of a trial of it on some clicks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from clickstream.cli.main import command_line
from clickstream.documents.records import schema
from clickstream.infra.errors import ConfigurationError, MissingFileError

SHOP = """
name = "corner"
currency = "EUR"
[fields]
event = { type = "text", about = "what happened" }
price = { type = "number", at_least = 0, optional = true }
[goal]
when = 'event == "purchase"'
value = "price"
[features]
clicks = { count = true }
carts = { count = 'event == "cart"' }
dearest = { max = "price" }
"""


def click(session: str, time: int, event: str, **more: Any) -> str:
    return json.dumps({"type": "click", "session_id": session, "event_time": time, "event": event} | more)


LINES = [
    click("a", 2_000_000, "purchase", price=12.5),
    click("a", 1_000_000, "cart", price=12.5),
    click("b", 1_500_000, "look"),
    "",
    click("b", 1_600_000, "look", price="12"),
    "no JSON",
]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "corner.toml"
    path.write_text(SHOP)
    (tmp_path / "clicks.jsonl").write_text("\n".join(LINES))
    return path


def run(*words: str, code: int = 0, given: str | None = None) -> str:
    result = CliRunner().invoke(command_line(words[:2]), list(words), input=given)
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_a_trial_says_how_often_the_goal_is_met_and_what_features_are(shop: Path) -> None:
    said = run("shop", "check", str(shop), "--data", str(shop.with_name("clicks.jsonl")))
    assert "3 clicks, 2 sessions; the goal is met in 50.0%" in said
    assert "6.25 EUR a session" in said
    assert "2 lines are no clicks of this shop" in said
    assert "line 5: price: Input should be a valid number" in said


MAPPING = """
[clicks]
session_id = "visitor"
event_time = "at"
event = "what"
price = "paid"
"""


def test_a_log_is_tried_by_its_mapping_and_gives_what_its_clicks_give(shop: Path) -> None:
    log = shop.with_name("log.csv")
    log.write_text(
        "visitor,at,what,paid\n"
        "a,1970-01-01T00:33:20Z,purchase,12.5\na,1970-01-01T00:16:40Z,cart,12.5\n"
        "b,1970-01-01T00:25:00Z,look,\n"
    )
    mapping = shop.with_name("mapping.toml")
    mapping.write_text(MAPPING)
    words = ("shop", "check", str(shop), "--data")
    said = run(*words, str(log), "--mapping", str(mapping))
    assert "3 clicks, 2 sessions; the goal is met in 50.0%" in said
    assert "6.25 EUR a session" in said
    by_mapping = json.loads(
        CliRunner()
        .invoke(command_line(words[:2]), [*words, str(log), "--mapping", str(mapping), "--json"])
        .stdout
    )
    by_clicks = json.loads(run(*words, "-", "--json", given="\n".join(LINES[:3])))
    assert by_mapping["trial"]["first_rows"] == by_clicks["trial"]["first_rows"]


def test_a_trial_as_json_has_the_first_rows(shop: Path) -> None:
    found = json.loads(run("shop", "check", str(shop), "--data", "-", "--json", given="\n".join(LINES)))
    assert found["trial"]["first_rows"][0] == {
        "session_id": "a",
        "clicks": 2,
        "carts": 1,
        "dearest": 12.5,
        "converted": True,
    }
    assert found["trial"]["features"]["dearest"] == {"nulls": 1, "values": 1, "least": 12.5, "most": 12.5}


@pytest.mark.parametrize(
    ("goal", "often"), [('event == "sale"', "never met"), ('event != "sale"', "always met")]
)
def test_a_goal_that_is_never_met_or_always_is_said(shop: Path, goal: str, often: str) -> None:
    shop.write_text(SHOP.replace('event == "purchase"', goal))
    said = run("shop", "check", str(shop), "--data", str(shop.with_name("clicks.jsonl")))
    assert often in said


def test_data_that_fit_nowhere_are_a_failure(shop: Path) -> None:
    run("shop", "check", str(shop), "--data", "-", given="{}\n", code=1)


def test_a_definition_that_cannot_be_used_is_an_error_of_configuration(shop: Path) -> None:
    shop.write_text(SHOP.replace("max", "maximum"))
    with pytest.raises(ConfigurationError, match=r"features.dearest has the unknown key 'maximum'"):
        run("shop", "check", str(shop))
    with pytest.raises(ConfigurationError, match="there is no shop"):
        run("shop", "show", str(shop.with_name("nowhere.toml")))
    with pytest.raises(MissingFileError):
        run("shop", "check", "uci553", "--data", str(shop.with_name("nowhere")))


def test_the_schema_of_a_shop_takes_its_clicks_and_no_others(shop: Path) -> None:
    of_clicks = json.loads(run("shop", "show", str(shop), "--schema"))
    good = json.loads(LINES[0])
    jsonschema.validate(good, of_clicks)
    for change in (
        {"price": -1},
        {"event": ""},
        {"price": "12"},
        {"session_id": None},
        {"type": "heartbeat"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(good | change, of_clicks)


def test_scores_and_topics_of_a_shop_are_described(shop: Path) -> None:
    score = json.loads(run("shop", "show", str(shop), "--score-schema"))
    assert list(score["properties"]["features"]["properties"]) == ["clicks", "carts", "dearest"]
    assert score["$defs"]["Prediction"]["properties"]["revenue"]["description"] == "in EUR"
    topics = json.loads(run("shop", "show", str(shop), "--asyncapi"))
    assert topics["components"]["schemas"]["Click"]["properties"]["event"]["description"] == "what happened"
    assert topics["info"]["title"] == "clickstream-scoring, shop corner"


def test_a_shop_is_shown_in_words_and_as_code(shop: Path) -> None:
    said = run("shop", "show", str(shop))
    assert 'number of clicks where event == "cart"' in said
    assert "what happened" in said
    assert "class Aggregate" in run("shop", "show", str(shop), "--code")


def test_the_clicks_of_uci553_are_those_of_the_stream() -> None:
    generated = json.loads(run("shop", "show", "uci553", "--schema"))
    stream = {"$schema": generated["$schema"]} | schema("click")
    assert generated == stream
