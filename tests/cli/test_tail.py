"""What `scores tail` lets through, and what it shows of it."""

from __future__ import annotations

import io
import sys
from typing import Any

import orjson
import pytest
from rich.console import Console
from scored_log import ScoredLog

from clickstream.features.shop import UCI553, shop_of
from clickstream.features.shop_file import built_in, from_source
from clickstream.infra.settings import Settings
from clickstream.records.scorers import SCORERS
from clickstream.terminal.scores.fields import UnknownFieldError, find_field, of_shop
from clickstream.terminal.scores.filters import chosen
from clickstream.terminal.scores.writers import FieldTableWriter, JsonFieldWriter, TableWriter, TsvFieldWriter


@pytest.fixture
def score() -> dict[str, Any]:
    """Three clicks: batch 0.33, online 1.00, reference 0.25, of cluster exploratory."""
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
        ({"cluster": "exploratory"}, True),
        ({"cluster": "long"}, False),
        ({"cluster": "long", "scorer": "online"}, True),
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
    score["predictions"] = dict.fromkeys(SCORERS)
    assert chosen(session="alice")(score)
    assert not chosen(max_conversion=1)(score)
    assert not chosen(cluster="exploratory")(score)


def test_what_is_no_score_passes_where_nothing_is_filtered() -> None:
    assert chosen()(None)
    assert not chosen(session="alice")(None)


def test_the_table_has_its_titles_once_and_a_row_a_score(score: dict[str, Any]) -> None:
    screen = io.StringIO()
    rows = TableWriter(Console(file=screen, width=100), "reference")
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
        *SCORERS,
        "revenue",
        "cluster",
    ]
    conversions = [f"{score['predictions'][name]['conversion']:.2f}" for name in SCORERS]
    assert len(set(conversions)) >= 3
    assert first.split() == ["alice", "3", "gap", *conversions, "$20.00", "exploratory"]
    assert second.split() == ["alice", "3", "gap", *["-"] * len(SCORERS), "-", "rebuilt-partly"]
    assert third.strip() == "not a score"


def test_what_a_sender_wrote_cannot_style_the_terminal(score: dict[str, Any]) -> None:
    screen = io.StringIO()
    rows = TableWriter(Console(file=screen, width=100, force_terminal=True), "batch")
    rows.write(b"", score | {"session_id": "[red]\x1b[2J"})
    rows.flush()
    assert "[red]" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()


def shown(
    writer: type[JsonFieldWriter] | type[TsvFieldWriter], capture: Any, *scores: dict[str, Any] | None
) -> str:
    columns = writer(
        [find_field(name) for name in ("session_id", "batch.conversion", "converted", "features")]
    )
    for score in scores:
        columns.write(b"", score)
    columns.flush()
    return str(capture.readouterr().out)


def test_chosen_fields_are_json_under_the_names_that_were_asked_for(
    score: dict[str, Any], capsys: Any
) -> None:
    without = score | {"predictions": {"batch": None}}
    lines = shown(JsonFieldWriter, capsys, score, None, without).splitlines()
    first, second = (orjson.loads(line) for line in lines)
    assert first == {
        "session_id": "alice",
        "batch.conversion": score["predictions"]["batch"]["conversion"],
        "converted": True,
        "features": score["features"],
    }
    assert second["batch.conversion"] is None


def test_tsv_has_a_line_of_names_and_keeps_each_score_on_its_line(score: dict[str, Any], capsys: Any) -> None:
    strange = score | {"session_id": "a\tb\nc\x1b", "predictions": {"batch": None}}
    lines = shown(TsvFieldWriter, capsys, score, strange).splitlines()
    assert lines[0] == "session_id\tbatch.conversion\tconverted\tfeatures"
    assert lines[1].split("\t")[:3] == ["alice", "0.3333333333", "true"]
    assert lines[2].split("\t")[:3] == [r"a\tb\nc\x1b", "", "true"]


def test_chosen_fields_are_a_table_on_a_terminal(score: dict[str, Any]) -> None:
    screen = io.StringIO()
    fields = [find_field(name) for name in ("session_id", "mean_price", "batch.conversion", "error")]
    rows = FieldTableWriter(Console(file=screen, width=100), fields)
    rows.write(b"", score)
    rows.write(b"", None)
    rows.flush()
    titles, row, none = screen.getvalue().splitlines()
    assert titles.split() == ["session_id", "mean_price", "batch.conversion", "error"]
    assert row.split() == ["alice", "38", "0.3333", "-"]
    assert none.strip() == "not a score"


def test_a_condition_is_one_more_filter(score: dict[str, Any]) -> None:
    assert chosen(where="conversion > 0.3", session="alice")(score)
    assert not chosen(where="conversion > 0.3", session="bob")(score)
    assert not chosen(where="conversion > 0.3", scorer="reference")(score)
    assert not chosen(where="true")(None)


STORE = shop_of(built_in("online-store"))


@pytest.fixture
def purchase() -> dict[str, Any]:
    """Two clicks and a purchase in a shop whose goal has no value: batch 0.33."""
    log = ScoredLog(Settings(clicks_topic="clicks", group="group", shop="online-store"))
    for order, event in enumerate(("home", "add_to_cart", "purchase"), 1):
        log.click("bob", order, order, event=event, platform="mobile")
    log.heartbeat(60)
    log.publish()
    return log.contents(log.scores)[0]


def test_columns_of_the_table_are_those_of_the_shop(purchase: dict[str, Any]) -> None:
    screen = io.StringIO()
    rows = TableWriter(Console(file=screen, width=120), "online", STORE)
    rows.write(b"", purchase)
    rows.flush()
    titles, row = screen.getvalue().splitlines()
    assert titles.split() == ["session", "clicks", "closed", "batch", "online", "cluster"]
    assert row.split() == ["bob", "3", "gap", "0.33", "1.00", "long"]


def test_a_row_of_another_shop_names_it(score: dict[str, Any], purchase: dict[str, Any]) -> None:
    screen = io.StringIO()
    rows = TableWriter(Console(file=screen, width=120), "batch")
    for one in (score, purchase):
        rows.write(b"", of_shop(one, UCI553))
    rows.flush()
    _, mine, other = screen.getvalue().splitlines()
    assert "shop" not in mine
    assert other.split() == [
        "bob",
        "3",
        "gap",
        "0.33",
        "1.00",
        "-",
        "-",
        "exploratory",
        "shop",
        "online-store",
    ]


def test_conditions_and_columns_know_the_features_of_the_shop(purchase: dict[str, Any], capsys: Any) -> None:
    assert chosen(where="add_to_carts == 1 and on_platform == 'mobile'", shop=STORE)(purchase)
    assert not chosen(where="add_to_carts > 1", shop=STORE)(purchase)
    JsonFieldWriter([find_field(name, shop=STORE) for name in ("kinds", "last_event")]).write(b"", purchase)
    sys.stdout.flush()
    assert orjson.loads(capsys.readouterr().out) == {"kinds": 3, "last_event": "purchase"}


@pytest.mark.parametrize(
    ("name", "scorer"),
    [
        ("mean_price", "batch"),
        ("reference.conversion", "batch"),
        ("revenue", "batch"),
    ],
)
def test_what_no_score_of_the_shop_has_is_an_error_that_names_the_shop(name: str, scorer: str) -> None:
    with pytest.raises(UnknownFieldError, match=f"a score of shop online-store has no field `{name}`"):
        find_field(name, scorer, STORE)


def test_features_of_another_shop_are_not_taken_for_ones_of_the_same_name(purchase: dict[str, Any]) -> None:
    source = orjson.loads(STORE.definition.source)
    source["features"]["kinds"] = {"count": True}
    changed = shop_of(from_source(orjson.dumps(source), "shop.json"))
    known = of_shop(purchase, changed)
    assert not chosen(where="kinds > 0", shop=changed)(known)
    assert chosen(where="clicks == 3 and conversion > 0", shop=changed)(known)
    assert of_shop(purchase, STORE) is purchase


def test_a_score_that_names_no_shop_is_of_the_one_that_there_was(score: dict[str, Any]) -> None:
    former = {name: value for name, value in score.items() if name != "shop"}
    assert of_shop(former, UCI553) is former
    assert of_shop(former, shop_of(built_in("online-store")))["features"] == {}


@pytest.fixture
def opened() -> dict[str, Any]:
    """At the second click: batch 0.33, online 1.00."""
    log = ScoredLog(Settings(open_scores="2", open_conditions="few: clicks < 5"))
    log.click("alice", 1, 1)
    log.click("alice", 2, 2)
    log.publish()
    return log.contents(log.opened)[1]


def test_open_scores_have_filters_and_columns_of_their_own(opened: dict[str, Any], capsys: Any) -> None:
    assert chosen(where="clicks == 2 and online.conversion > conversion", opened=True)(opened)
    assert not chosen(min_conversion=0.5, opened=True)(opened)
    names = ("session_id", "clicks", "batch.conversion", "cluster", "conditions")
    writer = JsonFieldWriter([find_field(name, opened=True) for name in names])
    writer.write(b"", opened)
    writer.flush()
    shown = orjson.loads(capsys.readouterr().out)
    assert shown | {"cluster": ""} == {
        "session_id": "alice",
        "clicks": 2,
        "batch.conversion": 0.3333333333,
        "cluster": "",
        "conditions": [],
    }
    with pytest.raises(UnknownFieldError, match="an open score of shop uci553 has no field `closed_by`"):
        chosen(closed_by="gap", opened=True)
