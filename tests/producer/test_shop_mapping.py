"""A log file as the sessions of any shop, by a mapping onto the shop's own fields."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from log_files import map_log
from shop_definitions import EVENTS as SHOP

from clickstream.features.definition import ShopDefinition
from clickstream.features.goal import course_of
from clickstream.features.shop_file import built_in, read_definition
from clickstream.files.mapping import ColumnMapping, mapping_by_name, read_shop_mapping
from clickstream.files.shop_log import CleanedLog
from clickstream.infra.errors import InputError
from clickstream.offline.shop_windows import shop_windows
from clickstream.windows.rules import Rules

EXAMPLES = Path(__file__).parents[2] / "examples" / "online-store"

MAPPING = """
[clicks]
session_id = "visit"
event_time = { column = "at", format = "s" }
event = "what"
page = "page"
price = { column = "price", decimal = "," }
member = { column = "member", values = { yes = true, no = false } }
"""


def mapping(text: str = MAPPING, shop: ShopDefinition = SHOP) -> ColumnMapping:
    return read_shop_mapping(text.encode(), shop, "m.toml")


def log(*rows: dict[str, Any], text: str = MAPPING) -> CleanedLog:
    """A CSV of these rows, mapped; what a row does not say is empty."""
    columns = ("visit", "at", "what", "page", "price", "member", "over")
    written = io.StringIO()
    writer = csv.DictWriter(written, columns)
    writer.writeheader()
    for number, row in enumerate(rows):
        writer.writerow({"visit": "v", "at": 1_772_445_600 + number, "what": "look"} | row)
    return map_log(written.getvalue().encode(), SHOP, mapping(text), "log.csv")


def test_each_field_gets_its_type_and_what_is_empty_is_absent() -> None:
    (clicks,) = log(
        {"page": "3", "price": "1.250,5", "member": "yes"}, {"member": "no"}
    ).log.sessions.values()
    one, other = clicks
    assert (one.event_time, one.event, one.page, one.price, one.member) == (
        1_772_445_600_000,
        "look",
        3,
        1250.5,
        True,
    )
    assert (other.page, other.price, other.member, other.order, other.end) == (None, None, False, None, False)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"what": ""}, "what"),
        ({"page": "3.5"}, "page"),
        ({"price": "-1"}, "price"),
        ({"at": "yesterday"}, "at"),
        ({"visit": ""}, "visit"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_with_its_reason(row: dict[str, Any], reason: str) -> None:
    cleaning = log({}, row, {}).cleaning
    assert cleaning.kept == 2
    assert cleaning.reasons == {reason: 1}
    assert cleaning.refused[0].line == 3


def test_end_and_order_are_taken_from_columns_and_end_rows_mark_the_click_before() -> None:
    text = MAPPING + 'order = "page"\nend = "over"\n'
    (clicks,) = log(
        {"page": "1", "over": "false"}, {"page": "2", "over": "1"}, text=text
    ).log.sessions.values()
    assert [(click.order, click.end) for click in clicks] == [(1, False), (2, True)]
    rows = '\n[rows]\ncolumn = "what"\nkeep = ["look"]\nend = ["bye"]\n'
    (clicks,) = log({}, {"at": 1_772_445_601}, {"what": "bye"}, text=MAPPING + rows).log.sessions.values()
    assert [click.end for click in clicks] == [False, True]


def test_the_order_of_rows_has_no_part_in_the_result() -> None:
    placed = [("b", 1, "x"), ("a", 1, "y"), ("b", 1, "a"), ("a", 0, "z")]
    rows = [{"visit": visit, "at": 1_772_445_600 + at, "what": what} for visit, at, what in placed]
    assert log(*rows).log.sessions == log(*reversed(rows)).log.sessions
    assert [click.event for click in log(*rows).log.sessions["b"]] == ["a", "x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MAPPING + 'colour = "c"\n', "clicks.colour: there is no such key"),
        (MAPPING.replace('event = "what"', ""), "clicks.event: is needed"),
        (MAPPING.replace('"at"', "3"), "clicks.event_time"),
        ("", "clicks: is needed"),
    ],
)
def test_a_mapping_names_the_fields_of_its_shop(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mapping(text)


def test_a_constant_that_does_not_fit_its_field_is_refused_before_a_row_is_read() -> None:
    text = MAPPING.replace('member = { column = "member", values = { yes = true, no = false } }',
                           'member = { constant = "perhaps" }')  # fmt: skip
    with pytest.raises(InputError, match=r"clicks\.member\.constant: 'perhaps', neither true nor false"):
        log({}, text=text)


def test_without_a_mapping_clicks_are_read_as_they_lie_on_the_topic() -> None:
    click = {"session_id": "v", "event_time": 1_772_445_600_000, "event": "look", "member": True, "order": 1}
    lines = "\n".join(
        json.dumps(one) for one in (click, click | {"order": 2, "end": True}, click | {"price": -1})
    )
    read = map_log(lines.encode(), SHOP, mapping_by_name(SHOP), "clicks.jsonl")
    assert [(c.order, c.member, c.end) for c in read.log.sessions["v"]] == [(1, True, False), (2, True, True)]
    assert read.cleaning.reasons == {"price": 1}


@pytest.mark.parametrize(
    ("name", "file", "sessions", "converted", "revenue"),
    [
        ("purchases", "events.csv", 2, 1, 252.88),
        ("nested", "events.jsonl", 2, 1, 24.5),
        ("products", "events.csv", 3, 1, None),
    ],
)
def test_the_examples_read_their_samples_whole(
    name: str, file: str, sessions: int, converted: int, revenue: float | None
) -> None:
    folder = EXAMPLES / name
    shop = read_definition((folder / "shop.toml").read_bytes(), name)
    found = map_log(folder / file, shop, read_shop_mapping(folder / "mapping.toml", shop))
    assert not found.cleaning.refused
    windows = shop_windows(found.log.sessions, Rules())
    courses = [course_of(shop)(window.clicks) for window in windows]
    assert len(windows) == sessions
    assert sum(course.converted for course in courses) == converted
    spent = [course.revenue for course in courses]
    assert spent == [None] * sessions if revenue is None else sum(filter(None, spent)) == revenue


def test_a_packed_log_of_the_online_store_is_read_with_its_mapping() -> None:
    header = "user_id,session_id,event,timestamp,platform,acquisition_channel,user_cohort,user_lifecycle\n"
    row = "u,s,{},2024-03-13 10:21:{:02},desktop,email,2024-01,returning\n"
    content = gzip.compress((header + row.format("home", 14) + row.format("purchase", 20)).encode())
    shop = built_in("online-store")
    found = map_log(content, shop, read_shop_mapping(EXAMPLES / "mapping.toml", shop), "log.csv.gz")
    assert [click.event for click in found.log.sessions["s"]] == ["home", "purchase"]
    assert found.log.sessions["s"][0].event_time == 1_710_325_274_000
