"""A log file of another shop as clicks, by a mapping file."""

from __future__ import annotations

import json
import random
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from factory import examples
from hypothesis import given
from hypothesis import strategies as st
from log_files import map_dataset

from clickstream.files.cleaning import CleanedFile
from clickstream.files.dataset import ClickRow
from clickstream.files.mapping import UciMapping, read_mapping
from clickstream.files.mapping.derive import SessionDepth, mean_prices
from clickstream.infra.errors import InputError, MissingFileError, UsageError
from clickstream.offline.windows import cut_windows
from clickstream.producer.plan import PlanOptions, make_plan
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.windows.rules import Rules

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-clicks"

CLICKS = """
[clicks]
session_id = "visit"
event_time = "at"
product = "item"
category = "kind"
price = "cost"
"""


def mapping(text: str = "", clicks: str = CLICKS) -> UciMapping:
    return read_mapping((clicks + text).encode(), "m.toml")


def error_of(text: str, clicks: str = CLICKS) -> str:
    with pytest.raises(InputError) as error:
        mapping(text, clicks)
    assert error.value.exit_code == 65
    assert "docs/own-clicks.md" in error.value.remedy
    return error.value.what


def event(visit: str = "v", second: int = 0, **changes: Any) -> dict[str, Any]:
    at = f"2026-03-02T10:{second // 60:02}:{second % 60:02}Z"
    return {"visit": visit, "at": at, "item": "p1", "kind": "shoes", "cost": 10.0} | changes


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


def csv(*events: dict[str, Any]) -> bytes:
    rows = [",".join(map(str, one.values())) for one in events]
    return "\n".join([",".join(events[0]), *rows]).encode()


def clicks_of(content: bytes, text: str = "", clicks: str = CLICKS) -> list[ClickRow]:
    return map_dataset(content, mapping(text, clicks)).dataset.clicks


def with_field(name: str, value: str) -> str:
    """CLICKS with one of its lines another."""
    kept = [line for line in CLICKS.splitlines() if not line.startswith(f"{name} =")]
    return "\n".join([*kept, f"{name} = {value}", ""])


def test_json_lines_and_csv_give_the_same_clicks() -> None:
    events = [event("a", 1), event("b", 2, cost=30.5), event("a", 3, item="p2")]
    assert clicks_of(lines(*events)) == clicks_of(csv(*events))
    assert [(c.session_id, c.product, c.price) for c in clicks_of(csv(*events))] == [
        ("a", "p1", 10.0),
        ("a", "p2", 10.0),
        ("b", "p1", 30.5),
    ]


@pytest.mark.parametrize(
    ("spec", "value", "ms"),
    [
        ('"at"', "2026-03-02T10:00:00.250Z", 1_772_445_600_250),
        ('"at"', "2026-03-02 10:00:00+01:00", 1_772_442_000_000),
        ('{ column = "at", timezone = "Europe/Warsaw" }', "2026-07-02 10:00:00", 1_782_979_200_000),
        ('{ column = "at", format = "s" }', 1_772_445_600, 1_772_445_600_000),
        ('{ column = "at", format = "s" }', "1772445600.5", 1_772_445_600_500),
        ('{ column = "at", format = "ms" }', 1_772_445_600_123, 1_772_445_600_123),
        ('{ column = "at", format = "us" }', 1_772_445_600_123_456, 1_772_445_600_123),
        ('{ column = "at", format = "ns" }', 1_772_445_600_123_456_789, 1_772_445_600_123),
        ('{ column = "at", format = "%d.%m.%Y %H:%M" }', "02.03.2026 10:00", 1_772_445_600_000),
    ],
)
def test_times_are_read_in_many_ways(spec: str, value: object, ms: int) -> None:
    cleaned = map_dataset(lines(event(at=value)), mapping(clicks=with_field("event_time", spec)))
    assert cleaned.dataset.times is not None
    assert cleaned.dataset.times.tolist() == [ms]


UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@pytest.mark.parametrize(("said", "found"), permutations(UNITS, 2))
@pytest.mark.parametrize("wide", [int, str])
def test_a_time_of_another_unit_is_refused_with_line_value_and_the_unit(
    said: str, found: str, wide: type
) -> None:
    value = 1_772_445_600 * UNITS[found]
    spec = with_field("event_time", f'{{ column = "at", format = "{said}" }}')
    good = event(at=1_772_445_600 * UNITS[said])
    cleaning = map_dataset(lines(good, event(at=wide(value)), good), mapping(clicks=spec)).cleaning
    (refused,) = cleaning.refused
    assert (refused.line, refused.reason) == (2, "at")
    assert refused.detail == f"'{value}', not a time of format {said}: it reads as one of format \"{found}\""


def test_a_file_of_another_unit_is_refused_whole() -> None:
    spec = with_field("event_time", '{ column = "at", format = "ms" }')
    with pytest.raises(InputError, match=r"line 1, at: '1772445600', .* reads as one of format \"s\""):
        map_dataset(lines(event(at=1_772_445_600)), mapping(clicks=spec))


@pytest.mark.parametrize(
    ("name", "spec", "value", "expected"),
    [
        ("kind", '{ column = "kind", up_to = "." }', "a.b.c", "a"),
        ("kind", '{ column = "kind", missing = "none" }', "", "none"),
        ("kind", '{ column = "kind", missing = "none" }', None, "none"),
        ("kind", '{ column = "kind", values = { 7 = "shoes" } }', 7, "shoes"),
        ("kind", '{ column = "kind", values = { x = "y" }, missing = "other" }', "z", "other"),
        ("kind", '{ constant = "all" }', "shoes", "all"),
    ],
)
def test_a_category_is_taken_cut_looked_up_or_given(
    name: str, spec: str, value: object, expected: str
) -> None:
    changes: dict[str, Any] = {name: value}
    (click,) = clicks_of(lines(event(**changes)), clicks=with_field("category", spec))
    assert click.category == expected


def test_numbers_may_have_a_decimal_comma_and_texts_may_be_numbers() -> None:
    spec = with_field("price", '{ column = "cost", decimal = "," }')
    (click,) = clicks_of(lines(event(cost="1.234,50", item=17)), clicks=spec)
    assert (click.price, click.product) == (1234.5, "17")


def test_nested_fields_of_json_are_named_with_a_dot() -> None:
    nested = event()
    nested["item"] = {"id": "p9"}
    (click,) = clicks_of(lines(nested), clicks=with_field("product", '"item.id"'))
    assert click.product == "p9"


def test_optional_fields_are_taken_and_checked() -> None:
    text = 'order = "n"\ncountry = { column = "land", values = { PL = 29 } }\n'
    (click,) = clicks_of(lines(event(n=4, land="PL")), text)
    assert (click.order, click.country, click.colour) == (4, 29, None)


ROWS = '[rows]\ncolumn = "type"\nkeep = ["view"]\nend = ["purchase"]\n'


def test_rows_of_other_kinds_are_skipped_and_one_that_ends_the_visit_marks_the_click_before() -> None:
    cleaned = map_dataset(
        lines(
            event(second=1, type="view"),
            event(second=9, type="purchase"),
            event(second=5, type="view", item="p2"),
            event(second=6, type="cart"),
            event(second=20, type="view", item="p3"),
            event("other", 2, type="purchase"),
            event(second=21),
        ),
        mapping(ROWS),
    )
    assert [(c.product, c.end) for c in cleaned.dataset.clicks] == [
        ("p1", False),
        ("p2", True),
        ("p3", False),
    ]
    report = cleaned.cleaning
    assert (report.rows, report.kept, report.skipped, len(report.refused)) == (7, 3, 4, 0)
    assert [cut.closed.closed_by for cut in cut_windows(cleaned.dataset, Rules())] == ["end", "gap"]


def test_a_row_that_is_kept_and_ends_carries_the_end_itself() -> None:
    both = ROWS.replace('["view"]', '["view", "purchase"]')
    found = clicks_of(lines(event(type="view"), event(second=3, type="purchase")), both)
    assert [c.end for c in found] == [False, True]


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"cost": "free"}, "cost", "'free', not a number"),
        ({"cost": -1}, "price", "greater than or equal to 0"),
        ({"cost": "inf"}, "cost", "'inf', not a number"),
        ({"cost": None}, "cost", "'', empty"),
        ({"cost": True}, "cost", "'True', not a number"),
        ({"item": {"a": 1}}, "item", "not a text"),
        ({"item": "x" * 300}, "product", "at most 256 characters"),
        ({"at": "yesterday"}, "at", "'yesterday', not a time of format iso"),
        ({"at": "1931-01-01"}, "event_time", "greater than or equal to 0"),
        ({"visit": ""}, "visit", "'', empty"),
    ],
)
def test_a_wrong_value_refuses_its_row_alone(changes: dict[str, Any], reason: str, detail: str) -> None:
    _, report = map_dataset(lines(event(), event(second=1, **changes), event(second=2)), mapping())
    (one,) = report.refused
    assert (one.line, one.reason) == (2, reason)
    assert detail in one.detail
    assert report.kept == 2


def test_a_line_that_is_no_object_is_refused() -> None:
    _, report = map_dataset(lines(event()) + b"{oops\n[1]\n\n", mapping())
    assert [(one.line, one.reason) for one in report.refused] == [(2, "text"), (3, "text")]


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError) as error:
        map_dataset(csv(event()).replace(b"cost", b"prix"), mapping(), "log.csv")
    assert "log.csv lacks the columns cost of the mapping" in error.value.what
    assert "'prix'" in error.value.what


def test_nothing_that_fits_is_an_error_that_shows_the_first_rows() -> None:
    with pytest.raises(InputError, match="none of its 2 rows can be used") as error:
        map_dataset(lines(event(cost="x"), event(cost="y")), mapping())
    assert "line 1, cost: 'x', not a number" in error.value.what


@pytest.mark.parametrize(
    ("text", "clicks", "expected"),
    [
        ("colour = 'a'\nsize = 'b'\n", CLICKS, "clicks.size: there is no such key"),
        ("", "[clicks]\nsession_id = 'a'\n", "clicks.event_time: is needed"),
        ("", with_field("price", "{}"), "clicks.price: needs one of column, constant; has none (got {})"),
        ("page = { column = 'p', derive = 'depth' }\n", CLICKS, "constant or derive; has column and derive"),
        (
            "page = { derive = 'guess' }\n",
            CLICKS,
            "clicks.page.derive: Input should be 'depth' (got 'guess')",
        ),
        ("page = { derive = 'depth', at_most = 0 }\n", CLICKS, "clicks.page.at_most"),
        ("", with_field("event_time", "{ column = 'at', format = 'epoch' }"), "write iso, s, ms, us"),
        ("", with_field("event_time", "{ column = 'at', format = '%Q' }"), "is no pattern of strptime"),
        ("", with_field("event_time", "{ column = 'at', timezone = 'Mars' }"), "time zone such as UTC"),
        ("", with_field("category", "{ constant = 'a', missing = 'b' }"), "belong to a column"),
        ("[rows]\ncolumn = 'type'\nkeep = []\n", CLICKS, "rows.keep"),
        ("[file]\nencoding = 'klingon'\n", CLICKS, "file.encoding: is no encoding"),
        ("[click]\n", CLICKS, "click: there is no such key"),
        ("= 3\n", CLICKS, "m.toml is not TOML"),
    ],
)
def test_a_wrong_mapping_names_the_key_the_value_and_what_belongs_there(
    text: str, clicks: str, expected: str
) -> None:
    what = error_of(text, clicks)
    assert expected in what
    assert what.startswith("m.toml ")


def test_a_constant_that_does_not_fit_is_the_mappings_fault() -> None:
    wrong = mapping("page = { constant = 'first' }\n")
    with pytest.raises(InputError, match=r"clicks\.page\.constant: 'first', not a whole number"):
        map_dataset(lines(event()), wrong)


def test_a_file_in_another_encoding_than_said_is_refused() -> None:
    with pytest.raises(InputError, match="is no text in ascii"):
        map_dataset(csv(event(item="é")), mapping("[file]\nencoding = 'ascii'\n"))


def test_a_mapping_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="cannot be read"):
        read_mapping(tmp_path / "none.toml")


def test_a_product_counts_once_in_the_mean_price_of_its_category() -> None:
    clicks = [("shoes", "a", 10.0)] * 9 + [("shoes", "b", 30.0), ("hats", "c", 5.0), ("hats", "c", 7.0)]
    assert mean_prices(clicks) == {"shoes": 20.0, "hats": 6.0}
    levels = [event(item=p, cost=c, second=n) for n, (p, c) in enumerate([("a", 10), ("b", 30), ("a", 10)])]
    assert [c.price_2 for c in clicks_of(lines(*levels))] == [2, 1, 2]


def test_the_mean_price_rule_gives_the_price_2_of_the_uci_file(uci: Any) -> None:
    clicks = {(view.category, view.product, view.price, view.price_2) for view in uci.views}
    means = mean_prices((category, product, price) for category, product, price, _ in clicks)
    assert all((1 if price > means[category] else 2) == level for category, _, price, level in clicks)


def depths(clicks: list[tuple[str, str]], at_most: int) -> list[int]:
    of_session = SessionDepth(at_most)
    return [of_session.next(category, product) for category, product in clicks]


def test_depth_counts_the_different_products_of_a_category() -> None:
    clicks = [("s", "a"), ("s", "b"), ("h", "x"), ("s", "a"), ("s", "c"), ("h", "y")]
    assert depths(clicks, 5) == [1, 2, 1, 2, 3, 2]
    assert depths(clicks, 2) == [1, 2, 1, 2, 2, 2]


def test_the_times_of_the_file_are_those_of_the_replay() -> None:
    events = [event("a", 5), event("b", 1), event("a", 3, item="p2")]
    dataset = map_dataset(lines(*events), mapping()).dataset
    plan = make_plan(make_schedule(dataset, ScheduleOptions("dated")), PlanOptions(3))
    sent = [json.loads(p.value) for p in plan.publications() if p.is_click]
    assert [(c["session_id"], c["event_time"] % 60_000) for c in sent] == [
        ("b", 1_000),
        ("a", 3_000),
        ("a", 5_000),
    ]
    assert {c["time_source"] for c in sent} == {"recorded"}
    assert not {"order", "country", "end"} & set(sent[0])
    assert [p.timestamp for p in plan.publications()][:3] == [c["event_time"] for c in sent]
    beats = [p for p in plan.publications() if not p.is_click]
    assert {p.partition for p in beats} == {0, 1, 2}
    with pytest.raises(UsageError, match="no session"):
        make_schedule(dataset, ScheduleOptions("dated", sessions=0))


visits = st.lists(
    st.fixed_dictionaries(
        {
            "visit": st.sampled_from("abc"),
            "at": st.integers(0, 8_000).map(lambda s: 1_772_445_600 + s),
            "item": st.sampled_from(["p1", "p2", "p3"]),
            "kind": st.sampled_from(["shoes", "hats"]),
            "cost": st.sampled_from([5.0, 10.5, 20.0]),
            "type": st.sampled_from(["view", "view", "view", "purchase"]),
        }
    ),
    min_size=1,
    max_size=30,
)


def sessions_of(events: list[dict[str, Any]]) -> list[Any]:
    clicks = with_field("event_time", '{ column = "at", format = "s" }')
    dataset = map_dataset(lines(*events), mapping(ROWS, clicks)).dataset
    return [
        (cut.closed.session_id, cut.closed.closed_by, cut.closed.session.whole(), cut.steps)
        for cut in cut_windows(dataset, Rules())
    ]


@examples(60)
@given(visits, st.integers(0, 1_000))
def test_the_order_of_rows_leaves_no_trace(events: list[dict[str, Any]], seed: int) -> None:
    events = [*events, events[0] | {"type": "view"}]
    shuffled = events.copy()
    random.Random(seed).shuffle(shuffled)
    found = sessions_of(events)
    assert sessions_of(shuffled) == found
    for _, _, whole, steps in found:
        assert len(steps) == whole.clicks
        assert steps[-1] == whole.last


def test_the_example_of_another_shop_is_read() -> None:
    cleaned: CleanedFile = map_dataset(EXAMPLE / "clicks.csv", read_mapping(EXAMPLE / "mapping.toml"))
    report = cleaned.cleaning
    assert report.rows == report.kept + report.skipped + len(report.refused)
    assert report.reasons == {"price": 1}
    assert {c.category for c in cleaned.dataset.clicks} == {"apparel", "accessories", "unknown"}
    assert any(c.end for c in cleaned.dataset.clicks)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a = " + "[" * 5_000, "nested too deeply"), ("a = " + "9" * 5_000, "is not TOML")],
    ids=["deep", "thousands of digits"],
)
def test_a_hostile_mapping_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_mapping(text.encode(), "mapping.toml")


@pytest.mark.parametrize("max_pending", [1, 2, 1_000])
def test_windows_of_a_file_have_the_clicks_that_they_count_also_where_too_many_come_in_one_moment(
    max_pending: int,
) -> None:
    events = [event("a", 0, item=f"p{i}", type="purchase") for i in range(4)]
    events.append(event("a", 1, type="view"))
    rows = '[rows]\ncolumn = "type"\nkeep = ["view", "purchase"]\nend = ["purchase"]\n'
    dataset = map_dataset(lines(*events), mapping(rows)).dataset
    cuts = list(cut_windows(dataset, Rules(max_pending=max_pending)))
    assert [len(cut.steps) for cut in cuts] == [cut.closed.session.clicks for cut in cuts]
    assert len({cut.closed.session.opened_at for cut in cuts}) == len(cuts) == 2
