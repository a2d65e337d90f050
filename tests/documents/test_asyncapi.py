"""docs/asyncapi.json: sound by the rules of AsyncAPI 3.0, and true of what is published."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7
from scored_log import ScoredLog

from clickstream.documents.asyncapi import asyncapi
from clickstream.documents.examples import record_examples
from clickstream.documents.records import schema
from clickstream.infra.settings import Settings
from clickstream.records.score import SCHEMA_VERSION
from clickstream.records.shop_click import parser_of
from clickstream.records.shops import load_shop

EXAMPLES = Path(__file__).parents[2] / "examples" / "online-store"

SHOPS = ("uci553", "online-store", "synthetic", str(EXAMPLES / "nested" / "shop.toml"))
DOCUMENTS: dict[str, dict[str, Any]] = {shop: orjson.loads(asyncapi(shop)) for shop in SHOPS}
DOCUMENT = DOCUMENTS["uci553"]

FORGET = b'{"type":"forget","session_id":"dave"}'
SPECIFICATION = "@asyncapi/specs@6.11.1"
"""The official JSON Schema of the format, as its authors publish it."""


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def resolved(reference: str, document: dict[str, Any]) -> Any:
    """What a reference within the document points to."""
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def payload(record: str, document: dict[str, Any] = DOCUMENT) -> Draft7Validator:
    """Of the document as a whole, so that the references of a schema lead somewhere."""
    title = document["components"]["messages"][record]["title"]
    components = {"components": document["components"]}
    return Draft7Validator(components | {"$ref": f"#/components/schemas/{title}"})


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, which brings the official schema of AsyncAPI")
    folder = tmp_path_factory.mktemp("asyncapi")
    command = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", SPECIFICATION]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        pytest.skip(f"{SPECIFICATION} cannot be installed here: {done.stderr[-300:]}")
    file = folder / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_the_document_satisfies_the_official_schema(official: dict[str, Any]) -> None:
    # Its parts are named by the addresses of their own; nothing is fetched.
    parts = official["definitions"].items()
    registry: Registry[Any] = Registry().with_resources(
        (name, DRAFT7.create_resource(part)) for name, part in parts
    )
    check = Draft7Validator(official, registry=registry)
    for document in DOCUMENTS.values():
        assert [error.message for error in check.iter_errors(document)] == []
    broken = DOCUMENT | {"operations": {"sendScores": {"action": "shout"}}}
    assert not check.is_valid(broken)
    channels = DOCUMENT["channels"]
    bindings = {"kafka": {"partitions": "eight", "bindingVersion": "0.5.0"}}
    assert not check.is_valid(
        DOCUMENT | {"channels": channels | {"clicks": channels["clicks"] | {"bindings": bindings}}}
    )


def test_every_reference_leads_somewhere_in_the_document() -> None:
    for document in DOCUMENTS.values():
        found = set(references(document))
        assert found
        for reference in found:
            assert resolved(reference, document) is not None


def test_each_operation_names_messages_of_its_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])
    sent = {(o["action"], o["channel"]["$ref"]) for o in DOCUMENT["operations"].values()}
    assert sent == {
        ("receive", "#/channels/clicks"),
        ("send", "#/channels/clicks"),
        ("send", "#/channels/scores"),
        ("send", "#/channels/openScores"),
        ("send", "#/channels/deadLetters"),
    }


def test_topics_are_those_of_the_defaults_whatever_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = DOCUMENT["channels"]
    addresses = {name: channel["address"] for name, channel in channels.items()}
    assert addresses == {
        "clicks": "clicks",
        "scores": "scores",
        "openScores": "scores.open",
        "deadLetters": "clicks.dead-letter",
    }
    partitions = {name: channel["bindings"]["kafka"]["partitions"] for name, channel in channels.items()}
    assert partitions == {"clicks": 8, "scores": 8, "openScores": 8, "deadLetters": 1}
    assert DOCUMENT["info"]["version"] == str(SCHEMA_VERSION)
    monkeypatch.setenv("CLICKSTREAM_SCORES_TOPIC", "elsewhere")
    assert Settings().scores_topic == "elsewhere"
    assert orjson.loads(asyncapi()) == DOCUMENT


@pytest.mark.parametrize("record", ["click", "heartbeat", "forget", "score", "open-score", "dead-letter"])
def test_an_example_satisfies_its_schema_and_so_does_a_recorded_message(record: str) -> None:
    log = ScoredLog()
    log.settings = log.settings.model_copy(update={"open_scores": "each"})
    log.click("alice", 0, 1, time_source="synthetic")
    log.click("alice", 1, 2)
    log.send(b"carol", b"{", 0)
    log.send(b"dave", FORGET, 0)
    log.heartbeat(60)
    log.publish()
    recorded = {
        "click": orjson.loads(log.clicks[0].value or b""),
        "heartbeat": orjson.loads(log.clicks[-1].value or b""),
        "forget": orjson.loads(FORGET),
        "score": log.contents(log.scores)[0],
        "open-score": log.contents(log.opened)[0],
        "dead-letter": log.contents(log.letters)[0],
    }
    (example,) = DOCUMENT["components"]["messages"][record]["examples"]
    check = payload(record)
    for one in (example["payload"], recorded[record]):
        assert [error.message for error in check.iter_errors(one)] == []
        assert not check.is_valid({name: value for name, value in one.items() if name != next(iter(one))})
    assert Draft202012Validator(schema(record)).is_valid(example["payload"])


@pytest.mark.parametrize("shop", SHOPS)
@pytest.mark.parametrize("record", ["click", "heartbeat", "score", "dead-letter"])
def test_the_records_of_any_shop_satisfy_the_document_of_that_shop(record: str, shop: str) -> None:
    (example,) = DOCUMENTS[shop]["components"]["messages"][record]["examples"]
    for document in DOCUMENTS.values():
        taken = payload(record, document).is_valid(example["payload"])
        assert taken or document is not DOCUMENTS[shop]
        # A score says of which shop it is; that of uci553 is described as it was before there were others.
        if record == "score" and document not in (DOCUMENTS[shop], DOCUMENT):
            assert not taken


@pytest.mark.parametrize("shop", SHOPS)
def test_the_example_of_a_click_is_one_that_is_taken(shop: str) -> None:
    example = record_examples(shop)["click"]
    parser = parser_of(load_shop(shop).definition)
    parser.parse(orjson.dumps(example), example["session_id"].encode())


def test_the_example_of_a_score_says_of_its_session_what_the_code_says() -> None:
    score = record_examples()["score"]
    assert (score["clicks"], score["evidence"], score["closed_by"]) == (3, 2, "gap")
    assert score["features"]["mean_price"] == 47
    assert score["outcome"] == {
        "converted": True,
        "revenue": 61.0,
        "source": "proxy",
        "at": score["last_click_at"],
    }
