"""A mapping in SQL: what six public logs need, what it may not do, and what it says where it is wrong."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from clickstream.features.shop import Shop, shop_of
from clickstream.features.shop_file import built_in, read_definition
from clickstream.files.history import ClickBuckets, in_sql, open_clicks, read_select
from clickstream.files.mapping import read_mapping, read_shop_mapping
from clickstream.infra.errors import InputError, MissingFileError

LOGS = Path(__file__).parents[2] / "examples" / "logs"
SHOP = shop_of(read_definition((LOGS / "shop.toml").read_bytes(), "shop.toml"))


def opened(tmp_path: Path, log: Path, mapping: Path, shop: Shop = SHOP) -> ClickBuckets:
    return open_clicks([log], shop, mapping, work=tmp_path / "work", memory_mib=512, buckets=1)


def clicks_of(found: ClickBuckets) -> list[dict[str, Any]]:
    return [row for batch in found.batches(0) for row in batch.to_pylist()]


def click(session: str, at: int, event: str, *shown: Any) -> dict[str, Any]:
    product, category, price = (*shown, None, None, None)[:3]
    found: dict[str, Any] = {"session_id": session, "event_time": at, "order": None, "event": event}
    return found | {"product": product, "category": category, "price": price, "end": False}


EXPECTED = {
    "rees46/events.csv": [
        click("72d76fde-8bb3-4e00-8c23-a032dfed738c", 1_772_445_600_000, "view", "44600062", None, 35.79),
        click("72d76fde-8bb3-4e00-8c23-a032dfed738c", 1_772_445_640_000, "cart", "44600062", None, 35.79),
        click("72d76fde-8bb3-4e00-8c23-a032dfed738c", 1_772_445_720_000, "purchase", "44600062", None, 35.79),
        click(
            "9333dfbd-b87a-4708-9857-6336556b0fcc", 1_772_445_612_000, "view", "3900821", "appliances", 33.2
        ),
        click("9333dfbd-b87a-4708-9857-6336556b0fcc", 1_772_445_780_000, "view", "3900821", "appliances"),
    ],
    "retailrocket/events.csv": [
        click("257597", 1_772_445_732_117, "view", "355908", "1338", 55.1),
        click("992329", 1_772_450_224_214, "view", "248676", "209", 12.48),
        click("992329", 1_772_450_227_827, "cart", "248676", "209", 12.48),
        click("992329", 1_772_450_321_620, "purchase", "248676", "209", 12.48),
        click("992329", 1_772_451_321_620, "view", "355908", "1338", 49.9),
    ],
    "otto/sessions.jsonl": [
        click("12899779", 1_772_445_600_278, "view", "59625"),
        click("12899780", 1_772_445_600_378, "view", "1142000"),
        click("12899780", 1_772_445_605_378, "view", "582732"),
        click("12899780", 1_772_445_660_378, "cart", "582732"),
        click("12899780", 1_772_445_720_378, "purchase", "582732"),
    ],
    "sigir/browsing.csv": [
        click("04233462b1f4", 1_772_449_200_000, "view", "61ef3869355b78e1"),
        click("20c458b802f6ea93", 1_772_445_600_250, "page"),
        click("20c458b802f6ea93", 1_772_445_601_250, "view", "d5157f8bc5296539", "cbb2a1bc/fd0a1e2c", 7.0),
        click("20c458b802f6ea93", 1_772_445_661_000, "cart", "d5157f8bc5296539", "cbb2a1bc/fd0a1e2c", 7.0),
        click(
            "20c458b802f6ea93", 1_772_445_721_000, "purchase", "d5157f8bc5296539", "cbb2a1bc/fd0a1e2c", 7.0
        ),
    ],
    "yoochoose/clicks.dat": [
        click("1", 1_775_559_069_277, "view", "214536502"),
        click("1", 1_775_559_249_868, "view", "214536500"),
        click("1", 1_775_559_420_306, "view", "214577561", "3"),
        click("1", 1_775_559_480_306, "purchase", "214577561", None, 2092.0),
        click("2", 1_775_570_197_614, "view", "214662742"),
    ],
    "ga4/events.csv": [
        click("1005.99.987", 1_772_445_600_123, "session_start"),
        click("1005.99.987", 1_772_445_612_123, "view", "GGOEGAAX0568", "Apparel", 16.5),
        click("1005.99.987", 1_772_445_652_123, "cart", "GGOEGAAX0568", "Apparel", 16.5),
        click("1005.99.987", 1_772_445_752_123, "purchase", "GGOEGAAX0568", "Apparel", 16.5),
        click("2007.11.11", 1_772_445_600_923, "page_view"),
    ],
}


@pytest.mark.parametrize("log", EXPECTED)
def test_ten_lines_of_sql_read_a_log_of_each_public_shape(tmp_path: Path, log: str) -> None:
    mapping = LOGS / Path(log).parent / "mapping.sql"
    statement = re.sub(r"/\*.*?\*/|--[^\n]*", "", read_select(mapping).sql, flags=re.DOTALL)
    assert len([line for line in statement.splitlines() if line.strip()]) <= 10
    assert clicks_of(opened(tmp_path, LOGS / log, mapping)) == EXPECTED[log]


def test_a_row_that_does_not_fit_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    found = opened(tmp_path, LOGS / "rees46/events.csv", LOGS / "rees46/mapping.sql")
    (one,) = found.refused.examples
    assert (one.file, one.reason, one.detail) == ("events.csv", "session_id", "'', empty")
    assert (found.rows, found.kept) == (6, 5)


GOOD = "SELECT visit AS session_id, CAST(at_ms AS BIGINT) AS event_time, what AS event FROM log"


def of_sql(tmp_path: Path, sql: str, rows: str = "v,1772445600000,look\n") -> ClickBuckets:
    log, mapping = tmp_path / "log.csv", tmp_path / "mapping.sql"
    log.write_text("visit,at_ms,what\n" + rows)
    mapping.write_text(sql)
    return opened(tmp_path, log, mapping)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1; SELECT 2", "must be one SELECT; it is SELECT, SELECT"),
        ("COPY (SELECT 1) TO 'stolen.csv'", "must be one SELECT; it is COPY"),
        ("SET enable_external_access = true", "it is SET"),
        ("ATTACH 'other.db'", "it is ATTACH"),
        ("CREATE TABLE t AS SELECT 1", "it is CREATE"),
        ("-- nothing", "it is nothing"),
        ("SELEC 1", "is not SQL"),
        ("SELECT who AS session_id FROM log", '"who" not found'),
        ("SELECT visit AS session_id, at_ms AS event_tme, what AS event FROM log", "no column event_time"),
        (GOOD.replace("what AS event", "what"), "yields no column event and yields what"),
        (GOOD.replace("what AS event", "[what] AS event"), "the column event is a VARCHAR"),
        ("/* colour = 1 */ " + GOOD, "colour: there is no such key"),
        ("/* [log */ " + GOOD, "is not TOML"),
        ("/* [files]\nelse = '../else.csv' */ " + GOOD, "does not lie beside the mapping"),
        ("/* [files]\npasswords = '/etc/passwd' */ " + GOOD, "does not lie beside the mapping"),
    ],
)
def test_what_is_no_mapping_says_what_is_wrong(tmp_path: Path, sql: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        of_sql(tmp_path, sql)
    assert said in error.value.what
    assert error.value.remedy


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('/etc/passwd', header = false, columns = {'what': 'VARCHAR'})",
        "(SELECT content AS what FROM read_text('{work}/../secret.txt'))",
        "(SELECT file AS what FROM glob('/etc/*'))",
        "'{work}/../secret.txt'",
        "(SELECT content AS what FROM read_text('https://localhost/secret'))",
        "read_parquet('/proc/self/environ')",
        "query('COPY (SELECT 1) TO ''{work}/../stolen.csv''')",
        "(SELECT Prompt AS what FROM sniff_csv('{work}/../secret.txt'))",
        "rows",
    ],
)
def test_sql_opens_no_file_but_those_it_was_given(tmp_path: Path, source: str) -> None:
    rows = [("a variable of the program is no table",)]
    (tmp_path / "secret.txt").write_text("secret")
    sql = GOOD.replace("what AS event FROM log", "secrets.what AS event FROM log, ")
    with pytest.raises(InputError) as error:
        of_sql(tmp_path, sql + source.replace("{work}", str(tmp_path / "work")) + " AS secrets")
    assert re.search("Permission Error|does not exist|Expected a single SELECT", error.value.what)
    assert "root:" not in error.value.what
    assert not (tmp_path / "stolen.csv").exists()
    assert rows


@pytest.mark.parametrize(
    ("name", "text", "unread"),
    [
        ("prices.csv", 'item,price\na,1\nb,2,3\n"x"y,4\nd,5\n', 2),
        ("prices.jsonl", '{"item": "a", "price": 1}\nnone\n[]\n{"item": "d", "price": 5}\n', 2),
        ("prices.csv", "item,price\na,1\nd,5\n", 0),
    ],
)
def test_rows_of_a_further_file_that_cannot_be_read_are_noted(
    tmp_path: Path, name: str, text: str, unread: int
) -> None:
    (tmp_path / name).write_text(text)
    log, mapping = tmp_path / "log.csv", tmp_path / "mapping.sql"
    log.write_text("who,item\nv,a\nv,c\nw,d\n")
    mapping.write_text(
        f'/*\n[files]\nprices = "{name}"\n*/\nSELECT who AS session_id, 1772445600000 AS event_time,'
        " 'view' AS event, item AS product, CAST(prices.price AS DOUBLE) AS price"
        " FROM log LEFT JOIN prices USING (item)"
    )
    found = opened(tmp_path, log, mapping)
    assert (found.rows, found.kept) == (3, 3)
    assert {one["product"]: one["price"] for one in clicks_of(found)} == {"a": 1, "c": None, "d": 5}
    assert found.notes == ((f"{unread} rows of {name} cannot be read: left out",) if unread else ())


def test_a_link_beside_the_mapping_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "passwords.csv").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="does not lie beside"):
        of_sql(tmp_path, f"/* [files]\npasswords = 'passwords.csv' */ {GOOD}")


def test_a_file_beside_the_mapping_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"files\.prices: .*prices\.csv is not there"):
        of_sql(tmp_path, f"/* [files]\nprices = 'prices.csv' */ {GOOD}")


def test_what_a_select_yields_is_judged_as_any_row_is(tmp_path: Path) -> None:
    rows = "v,1772445600000,look\nw,5,look\n,1772445600000,look\nx,1772445600,look\ny,1772445600000\n"
    found = of_sql(tmp_path, GOOD, rows + f"z,1772445600000,{'x' * 65}\n")
    refused = {(one.line, one.reason) for one in found.refused.examples}
    assert found.kept == 2
    assert refused == {(None, "session_id"), (None, "event_time"), (6, "fields"), (None, "event")}
    assert found.refused.count == 4


def test_sql_that_fails_on_a_row_ends_with_what_it_says(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Could not convert string 'soon'"):
        of_sql(tmp_path, GOOD, "v,soon,look\n")


ROOT = Path(__file__).parents[2] / "examples"
IN_TOML = [
    ("own-clicks/clicks.csv", "own-clicks/mapping.toml", "uci553"),
    ("online-store/events.csv.gz", "online-store/mapping.toml", "online-store"),
    ("online-store/purchases/events.csv", "online-store/purchases/mapping.toml", None),
    ("online-store/nested/events.jsonl", "online-store/nested/mapping.toml", None),
    ("online-store/products/events.csv", "online-store/products/mapping.toml", None),
]


@pytest.mark.parametrize(("log", "mapping", "shop"), IN_TOML)
def test_a_mapping_in_toml_means_the_select_that_is_shown(
    tmp_path: Path, log: str, mapping: str, shop: str | None
) -> None:
    definition = (
        built_in(shop) if shop else read_definition((ROOT / log).with_name("shop.toml").read_bytes(), "s")
    )
    read = read_mapping if shop == "uci553" else partial(read_shop_mapping, definition=definition)
    sql = tmp_path / "mapping.sql"
    sql.write_text(in_sql(read(ROOT / mapping)))
    of_sql = opened(tmp_path, ROOT / log, sql, shop_of(definition))
    found = clicks_of(of_sql)
    of_toml = opened(tmp_path, ROOT / log, ROOT / mapping, shop_of(definition))
    assert found == clicks_of(of_toml)
    assert found
    assert of_sql.refused.count == of_toml.refused.count


def test_a_mapping_of_many_words_is_shown_as_sql_that_reads_the_same(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text(
        "order;the time;Kind;cost;what\n"
        "v;02.03.2026 10:00;view;1.250,5;a.b\nv;02.03.2026 10:05;bye;;\nv;02.07.2026 10:00;view;;\n"
        "w;02.03.2026 10:00;buy;3;sock\nw;02.03.2026 10:00;cart;3;sock\n"
    )
    toml = """
time_source = "shop's"
[rows]
column = "Kind"
keep = ["view", "buy"]
end = ["bye", "buy"]
[file]
delimiter = ";"
[clicks]
session_id = "order"
event_time = { column = "the time", format = "%d.%m.%Y %H:%M", timezone = "Europe/Warsaw" }
event = { column = "Kind", values = { view = "look", buy = "purchase" } }
category = { column = "what", up_to = ".", missing = "none" }
price = { column = "cost", decimal = "," }
"""
    sql, said = tmp_path / "mapping.sql", tmp_path / "mapping.toml"
    said.write_text(toml)
    sql.write_text(in_sql(read_shop_mapping(said, SHOP.definition)))
    of_toml = clicks_of(opened(tmp_path, log, said))
    assert [(one["event"], one["category"], one["price"], one["end"]) for one in of_toml] == [
        ("look", "a", 1250.5, True),
        ("look", "none", None, False),
        ("purchase", "sock", 3.0, True),
    ]
    assert clicks_of(opened(tmp_path, log, sql)) == of_toml


def test_the_mapping_that_the_page_shows_reads_prices_from_another_file(tmp_path: Path) -> None:
    page = (ROOT.parent / "docs" / "own-clicks.md").read_text()
    (shown,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    mapping = tmp_path / "mapping.sql"
    mapping.write_text(shown)
    properties = (LOGS / "retailrocket/item_properties.csv").read_text()
    (tmp_path / "item_properties.csv").write_text(properties)
    found = clicks_of(opened(tmp_path, LOGS / "retailrocket/events.csv", mapping))
    assert [one["price"] for one in found] == [55.1, 12.48, 12.48, 12.48, 49.9]
