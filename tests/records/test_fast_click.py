from __future__ import annotations

import json
from typing import Any

import pytest
from factory import FIELDS, click_json, examples
from hypothesis import given
from hypothesis import strategies as st

from clickstream.features.shop import UCI553
from clickstream.features.shop_file import built_in, read_definition
from clickstream.records.click import Heartbeat, InvalidRecordError
from clickstream.records.shop_click import ClickParser, parser_of

UCI = parser_of(UCI553.definition)
WIDE = read_definition(
    b"""
    name = "wide"
    [fields]
    event  = { type = "text", at_most = 5 }
    amount = { type = "number" }
    whole  = { type = "integer", at_least = -3.0 }
    sure   = { type = "boolean" }
    maybe  = { type = "number", at_least = -1, optional = true }
    [goal]
    when = 'event == "buy"'
    [features]
    clicks = { count = true }
    """,
    "wide.toml",
)
OF_WIDE: dict[str, Any] = {
    "type": "click",
    "session_id": "visit",
    "event_time": 1_000,
    "event": "buy",
    "amount": 2.5,
    "whole": 3,
    "sure": True,
    "maybe": None,
}
SHOPS = [(UCI, FIELDS), (parser_of(WIDE), OF_WIDE)]


def said(read: Any, value: bytes, key: bytes | None) -> Any:
    """All that a reading gives: names, values and their types; or the refusal."""
    try:
        record = read(value, key, 2_000)
    except InvalidRecordError as error:
        return error.reason, error.detail
    if isinstance(record, Heartbeat):
        return record
    names = UCI.model.model_fields if hasattr(record, "product") else parser_of(WIDE).model.model_fields
    return {name: repr(getattr(record, name)) for name in names}


def is_fast(parser: ClickParser, value: bytes, key: bytes = b"visit") -> bool:
    return type(parser.read(value, key)) is not parser.model


# What JSON can say beyond what `json.dumps` writes, and what is none.
HOSTILE = [
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "-0",
        "-0.0",
        "0.0",
        "1.0",
        "1e0",
        "1E3",
        "1e400",
        "1e-400",
        "01",
        "1.",
        ".5",
    ),
    *(
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "-" + "9" * 25,
    ),
    *("9" * 400, "0." + "3" * 60, "123456789012345678901234567890.5", "5e-324", "1.7976931348623159e308"),
    *(
        "true",
        "false",
        "null",
        "[]",
        "{}",
        '""',
        '"x"',
        '"NaN"',
        '"12"',
        "[" * 900 + "]" * 900,
        '{"a":' * 300,
    ),
    *(
        r'"\ud800"',
        r'"\udc00"',
        r'"\ud83d\ude00"',
        r'"\u0000"',
        r'"a\/b"',
        r'"\x"',
        '"\x01"',
        '"\x7f"',
        '"żółw"',
    ),
    *(
        "1 // x",
        "1,",
        '"visit"',
        '"buy"',
        "1000",
        "700000000",
        "3",
        "2.5",
        "'x'",
        "True",
        "0x1",
        "1_000",
        "+1",
    ),
]


@st.composite
def records(draw: st.DrawFn, fields: dict[str, Any]) -> bytes:
    """A click of these fields with some replaced, doubled, added and left out, and perhaps damaged bytes."""
    members = [(json.dumps(name), json.dumps(value)) for name, value in fields.items()]
    names = [
        *(name for name, _ in members),
        '"order"',
        '"end"',
        '"time_source"',
        '"flush"',
        '"more"',
        r'"\u0074ype"',
    ]
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(names))
        value = draw(st.sampled_from(HOSTILE) | st.text().map(json.dumps) | st.floats().map(json.dumps))
        members.insert(draw(st.integers(0, len(members))), (name, value))
    if draw(st.booleans()):
        del members[draw(st.integers(0, len(members) - 1))]
    space = draw(st.sampled_from(["", " ", "\n\t", "\ufeff", "\xa0"]))
    text = f"{space}{{{','.join(f'{name}{space}:{value}' for name, value in members)}}}{space}"
    damaged = bytearray(text.encode())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(damaged)


@pytest.mark.parametrize(("parser", "fields"), SHOPS, ids=["uci553", "wide"])
@given(data=st.data())
@examples(400)
def test_both_ways_to_read_a_record_say_the_same(
    parser: ClickParser, fields: dict[str, Any], data: st.DataObject
) -> None:
    value = data.draw(records(fields))
    key = data.draw(st.sampled_from([b"visit", b"visit", b"other", None, b"\xff"]))
    assert said(parser.read, value, key) == said(parser.parse, value, key)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize(("parser", "fields"), SHOPS, ids=["uci553", "wide"])
def test_both_ways_say_the_same_of_each_field_that_holds_what_it_may_not(
    parser: ClickParser, fields: dict[str, Any], hostile: str
) -> None:
    for name in [*parser.model.model_fields, "more"]:
        others = ",".join(f"{json.dumps(n)}:{json.dumps(v)}" for n, v in fields.items() if n != name)
        value = f'{{{others},"{name}":{hostile}}}'.encode()
        for key in (b"visit", json.dumps(hostile).encode()):
            assert said(parser.read, value, key) == said(parser.parse, value, key), value


def test_a_click_of_the_fields_of_its_shop_is_read_the_fast_way_and_others_are_read_too() -> None:
    every = {"order": 7, "country": 29, "colour": 14, "location": 6, "photography": 2, "end": True}
    assert is_fast(UCI, click_json(**every, time_source="synthetic"))
    assert is_fast(parser_of(WIDE), json.dumps(OF_WIDE).encode())
    assert is_fast(
        parser_of(built_in("online-store")),
        b'{"type":"click","session_id":"visit","event_time":5,"event":"x"}',
    )
    assert not is_fast(UCI, click_json(campaign="spring"))
    nested = b"[" * 150 + b"]" * 150
    assert not is_fast(UCI, click_json()[:-1] + b',"more":' + nested + b"}")
