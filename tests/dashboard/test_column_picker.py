"""An own file of any shop on the page *Score a file*: its columns are picked, previewed and saved."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dashboard_pages import Upload, sessions, shown, words
from log_files import map_log
from streamlit.testing.v1 import AppTest

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.dashboard.picker import read_saved
from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553, shop_of
from clickstream.features.shop_file import built_in, read_definition
from clickstream.files.mapping import (
    ColumnChoice,
    choices_of,
    mapping_file,
    read_mapping,
    read_sample,
    read_shop_mapping,
)
from clickstream.files.mapping.spec import RowSelection
from clickstream.files.mapping.table import FileSample
from clickstream.infra.settings import Settings
from clickstream.offline.scoring import score_file
from clickstream.producer.synthetic_shop import SHOP, known_sessions
from clickstream.records.shops import load_shop, shop_file

EXAMPLES = Path(__file__).parents[2] / "examples"
STORE = EXAMPLES / "online-store"
SESSIONS = 60


def definition(place: str) -> ShopDefinition:
    file = STORE / place / "shop.toml"
    return read_definition(file.read_bytes(), "shop.toml") if file.is_file() else built_in("online-store")


@pytest.mark.parametrize(
    ("place", "log"),
    [("", "events.csv.gz"), ("nested", "events.jsonl"), ("products", "events.csv")],
)
def test_what_is_guessed_of_a_known_log_and_saved_gives_the_clicks_of_its_own_mapping(
    place: str, log: str
) -> None:
    shop, folder = definition(place), STORE / place
    content = (folder / log).read_bytes()
    choices = choices_of(read_sample(content, log, shop), shop)
    by_hand = read_shop_mapping(folder / "mapping.toml", shop)
    # What no name gives away is chosen by a person.
    for name, spec in by_hand.clicks.targets.items():
        if name not in choices or choices[name].column != spec.column:
            choices[name] = ColumnChoice(str(spec.column), format=getattr(spec, "format", "iso"))
    saved = read_shop_mapping(mapping_file(choices, shop), shop)
    ours, theirs = map_log(content, shop, saved, log), map_log(content, shop, by_hand, log)
    assert ours.log.sessions == theirs.log.sessions
    assert ours.log.records == theirs.log.records


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1772445600000"], "ms"),
        (["1772445600.5"], "s"),
        (["1772445600000000"], "us"),
        (["2026-03-02T10:00:00Z", "2026-03-02 10:00:00"], "iso"),
        (["2026-03-02 10:00:00 UTC"], "%Y-%m-%d %H:%M:%S UTC"),
        (["02.03.2026 10:00"], "%d.%m.%Y %H:%M"),
        ([], "iso"),
    ],
)
def test_the_format_of_times_is_taken_from_the_first_values(values: list[str], expected: str) -> None:
    rows = [{"time": value}.get for value in values]
    assert choices_of(FileSample(["time"], rows), UCI553.definition)["event_time"].format == expected


def test_a_column_is_not_guessed_twice() -> None:
    choices = choices_of(FileSample(["user_session", "price", "item_id"], []), UCI553.definition)
    assert {name: one.column for name, one in choices.items()} == {
        "session_id": "user_session",
        "product": "item_id",
        "price": "price",
    }


def test_whatever_a_column_is_called_the_saved_mapping_names_it() -> None:
    name = 'a "b" \\ \x7f\t\u00e9 = #'
    choices = {
        "session_id": ColumnChoice(name),
        "event_time": ColumnChoice("t", format="%d.%m.%Y", timezone="Europe/Warsaw"),
        "product": ColumnChoice("p", missing="none", up_to="/"),
        "category": ColumnChoice("c", values={name: "trousers", "": name}),
        "price": ColumnChoice("x", decimal=","),
    }
    rows = RowSelection(column=name, keep=[name, "b"], end=["]"])
    mapping = read_mapping(mapping_file(choices, UCI553.definition, rows))
    clicks = mapping.clicks
    assert mapping.rows == rows
    assert (clicks.product.up_to, clicks.category.values) == ("/", {name: "trousers", "": name})
    assert clicks.session_id.column == name
    assert (clicks.event_time.format, clicks.event_time.timezone) == ("%d.%m.%Y", "Europe/Warsaw")
    assert (clicks.product.missing, clicks.price.decimal) == ("none", ",")


def test_the_shop_file_that_is_saved_defines_the_same_shop(tmp_path: Path) -> None:
    for named in ("uci553", "online-store", str(STORE / "products" / "shop.toml")):
        saved = tmp_path / "shop.toml"
        saved.write_bytes(shop_file(named))
        assert shop_of(read_definition(saved.read_bytes(), "shop.toml")) is load_shop(named)


def own_log(event: str = "{}", sessions: int = SESSIONS) -> bytes:
    """A log of the shop in columns of its own, with a row that cannot be used."""
    rows = ["visit;when;action;kind;cost"]
    for session_id, clicks in known_sessions(sessions, seed=5).sessions.items():
        rows += [
            f"{session_id};{click.event_time};{event.format(click.event)};{event.format(click.visitor)};"
            + ("" if click.price is None else str(click.price).replace(".", ","))
            for click in clicks
        ]
    return "\n".join([*rows, "s1;yesterday;home;new;", ""]).encode()


@pytest.fixture
def page(known_shop_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("CLICKSTREAM_SHOP", SHOP)
    monkeypatch.setenv("CLICKSTREAM_BUNDLE", str(known_shop_bundle))
    return shown("score")


def picked(page: AppTest) -> AppTest:
    """The page when the columns that no name gives away were chosen."""
    for name, column in (("event_time", "when"), ("visitor", "kind"), ("price", "cost")):
        field = next(one for one in page.selectbox if one.label.split()[0] == name)
        field.select(column).run()
    assert not page.exception
    return page


def tiles(page: AppTest) -> dict[str, str]:
    return {tile.label: tile.value for tile in page.metric}


def test_a_file_is_scored_by_the_columns_that_were_picked(
    upload: Upload, known_shop_bundle: Path, tmp_path: Path
) -> None:
    page = upload(own_log(), "log.csv")
    assert any("`event_time`" in info.value and "`visitor`" in info.value for info in page.info)
    page = picked(page)
    page.selectbox(key=_key(page, "format")).select("ms").run()
    page.selectbox(key=_key(page, "decimal")).select(",").run()
    assert tiles(page)["Refused"] == "1"
    errors = next(one.value for one in page.dataframe if "what is wrong" in one.value)
    assert errors["column"].tolist() == ["when"]
    assert "'yesterday'" in errors["what is wrong"][0]
    assert "Average conversion probability · batch" not in tiles(page), "nothing is scored before it is asked"

    page.button(key="score").click().run(timeout=120)
    assert not page.exception
    figures, saved = tiles(page), page.session_state["picked"][1]
    mapping = read_saved(saved, "mapping.toml", load_shop(SHOP))
    scores = score_file(
        own_log(),
        bundle=_bundle(known_shop_bundle),
        settings=Settings(shop=SHOP, home=tmp_path),
        mapping=mapping,
        name="log.csv",
    )
    mean = scores.summary.mean_conversion("batch")
    assert figures["Average conversion probability · batch"] == f"{mean:.1%}"
    assert figures["Average predicted revenue · batch"].startswith("\u20ac")
    assert sessions(page)["session_id"].tolist() == scores.sessions.columns["session_id"]
    assert not any("reference" in label for label in figures)
    assert "purchase" in words(page)


def test_what_was_picked_and_saved_is_read_by_the_commands(
    upload: Upload, known_shop_bundle: Path, tmp_path: Path
) -> None:
    """Rows that are no clicks are skipped, texts renamed and cut; the two saved files do the rest."""
    log = own_log("shop.{}", 700).replace(b";shop.purchase;", b";buy.;").replace(b";new;", b";new/9;")
    log += b"s1;1767225600000;ping;new/9;\ns1;1767225600001;logout;new/9;\n"
    page = picked(upload(log, "log.csv"))
    page.selectbox(key=_key(page, "format")).select("ms").run()
    page.selectbox(key=_key(page, "decimal")).select(",").run()
    _labelled(page.text_input, "Up to", "visitor").set_value("/").run()
    _labelled(page.selectbox, "Rows are told apart by").select("action").run()
    events = ("home", "search", "product_view", "add_to_cart", "checkout", "thank_you")
    kept = [*(f"shop.{event}" for event in events), "buy."]
    _labelled(page.multiselect, "Clicks have").set_value(kept).run()
    _labelled(page.multiselect, "A visit ends with").set_value(["logout"]).run()
    _labelled(page.multiselect, "Fields with texts").set_value(["event"]).run()
    meant = [f"shop.{event} = {event}" for event in events] + ["buy. = purchase"]
    _labelled(page.text_area, "Texts of event").set_value("\n".join(meant)).run()
    assert not page.exception, page.exception
    assert tiles(page)["Refused"] == "0", "the row that cannot be read is none of those that are clicks"
    page.button(key="score").click().run(timeout=120)
    saved = {"mapping.toml": page.session_state["picked"][1], "shop.toml": shop_file(SHOP), "log.csv": log}
    for name, content in saved.items():
        (tmp_path / name).write_bytes(content)

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "clickstream", *words, "--mapping", "mapping.toml"]
        found = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"CLICKSTREAM_BUNDLE": "champion"},
            capture_output=True,
            text=True,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    assert "event" in run("shop", "check", "shop.toml", "--data", "log.csv")
    run(
        "score", "log.csv", "--shop", "shop.toml", "--bundle", str(known_shop_bundle), "--out", "sessions.csv"
    )
    ours, theirs = sessions(page), pd.read_csv(tmp_path / "sessions.csv", dtype={"session_id": str})
    assert ours["session_id"].tolist() == theirs["session_id"].tolist()
    assert ours["converted"].tolist() == theirs["converted"].tolist()
    assert ours["converted"].any()
    assert ours["batch_conversion"].tolist() == pytest.approx((100 * theirs["batch_conversion"]).tolist())


def test_a_file_whose_texts_the_models_do_not_know_gets_no_averages(upload: Upload) -> None:
    page = picked(upload(own_log("x_{}"), "log.csv"))
    page.selectbox(key=_key(page, "format")).select("ms").run()
    page.selectbox(key=_key(page, "decimal")).select(",").run()
    page.button(key="score").click().run(timeout=120)
    assert any("Averages are withheld" in warning.value for warning in page.warning)
    assert not any("Average" in label for label in tiles(page))


def test_columns_that_fit_no_row_are_told_with_column_and_value(upload: Upload) -> None:
    page = picked(upload(own_log(), "log.csv"))
    page.selectbox(key=_key(page, "format")).select("iso").run()
    assert page.error[0].value == "**This did not work**"
    assert "not a time of format iso" in words(page)
    assert not any(button.key == "score" for button in page.button)


def test_the_shop_is_shown_in_its_own_words(page: AppTest) -> None:
    page = shown("definition")
    assert 'event == "purchase"' in words(page)
    assert "carts_a_view" in page.dataframe[1].value["feature"].tolist()


def test_the_example_of_the_store_is_read_whole() -> None:
    content = (STORE / "events.csv.gz").read_bytes()
    sample = read_sample(content, "events.csv.gz", built_in("online-store"))
    assert sample.columns == gzip.decompress(content).splitlines()[0].decode().split(",")


def _labelled(fields: Any, label: str, of: str = "") -> Any:
    """The field whose label begins so; of several, the one whose key names `of`."""
    return next(one for one in fields if one.label.startswith(label) and of in str(one.key))


def _key(page: AppTest, kind: str) -> str:
    return next(str(one.key) for one in page.selectbox if str(one.key).startswith(f"{kind} "))


def _bundle(path: Path) -> Bundle:
    return load_bundle(path.parent, path, built_in(SHOP))
