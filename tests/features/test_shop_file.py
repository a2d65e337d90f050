"""A shop file: what is refused, with file, key, value and what is allowed; what its hash covers."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.features.shop_file import DefinitionError, built_in, built_in_names, define, read_definition

GOOD = """
name = "corner-shop"
[fields]
event = { type = "text", at_most = 64 }
price = { type = "number", at_least = 0, optional = true }
[goal]
when = 'event == "purchase"'
value = "price"
[features]
clicks = { count = true }
carts = { count = 'event == "cart"' }
last_event = { last = "event" }
carts_a_click = { ratio = ["carts", "clicks"] }
[clusters]
features = ["clicks", "carts"]
"""


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('name = "corner-shop"', "", "name = None"),
        ('name = "corner-shop"', 'name = "Corner Shop"', "small letters"),
        ('name = "corner-shop"', 'nam = "corner-shop"', "Did you mean name"),
        ('"text"', '"txt"', "fields.event.type = 'txt'"),
        ("event =", "session_id =", "every click has session_id"),
        ("event =", "Event =", "[fields] names 'Event'"),
        ("event =", "class =", "[fields] names 'class'"),
        ("at_most = 64", "at_most = 6.5", "a whole number"),
        ("at_most = 64", "at_most = true", "fields.event.at_most = True"),
        ("at_most = 64", "at_least = 9, at_most = 3", "at_least 9 is more than at_most 3"),
        ('event == "purchase"', 'evnt == "purchase"', "Did you mean event"),
        ('event == "purchase"', "event == 3", "a text is compared with a number"),
        ('event == "purchase"', "true", "a condition that looks at a field"),
        ('value = "price"', 'value = "event"', "goal.value = 'event'"),
        ("when = ", "last_click = 'price > 1'\nwhen = ", "both when and last_click"),
        ("[goal]\nwhen = 'event == \"purchase\"'", "[goal]", "goal says nothing"),
        ("{ count = true }", "{ count = false }", "features.clicks.count = False"),
        ("{ count = true }", "{ }", "features.clicks has no aggregation"),
        ("{ count = true }", '{ count = true, sum = "price" }', "count and sum"),
        ("{ count = true }", '{ total = "price" }', "unknown key 'total'"),
        ('last = "event"', 'last = "evnt"', "Did you mean event"),
        ('last = "event"', 'mean = "event"', "event holds text"),
        ('["carts", "clicks"]', '["carts"]', "the names of two features"),
        ('["carts", "clicks"]', '["carts", "click"]', "Did you mean clicks"),
        ('["carts", "clicks"]', '["last_event", "clicks"]', "two features that are numbers"),
        ('["carts", "clicks"]', '["carts_a_click", "clicks"]', "carts_a_click -> carts_a_click"),
        ('features = ["clicks", "carts"]', 'features = ["last_event"]', "last_event, a text"),
        ('features = ["clicks", "carts"]', 'features = ["clicks", "clicks"]', "names one twice"),
        ("[clusters]", "[cluster]", "Did you mean clusters"),
        ("[fields]", "[fields", "no TOML"),
        ("clicks = { count = true }", "clicks = 3", "features.clicks = 3"),
    ],
)
def test_a_wrong_definition_is_refused_with_key_and_value(before: str, after: str, said: str) -> None:
    assert before in GOOD
    with pytest.raises(DefinitionError) as refused:
        read_definition(GOOD.replace(before, after), "shop.toml")
    assert "shop.toml" in str(refused.value)
    assert said in str(refused.value)


def test_ten_thousand_features_are_refused() -> None:
    many = "\n".join(f"f{number} = {{ count = true }}" for number in range(10_000))
    with pytest.raises(DefinitionError, match="10004 lines"):
        read_definition(GOOD.replace("[features]", f"[features]\n{many}"), "shop.toml")


def test_a_long_circle_is_named() -> None:
    ring = "\n".join(f'r{n} = {{ ratio = ["r{(n + 1) % 200}", "clicks"] }}' for n in range(200))
    with pytest.raises(DefinitionError, match=r"r0 -> r1 -> r2"):
        read_definition(GOOD.replace("[features]", f"[features]\n{ring}"), "shop.toml")


def test_a_file_nested_beyond_reason_is_refused() -> None:
    with pytest.raises(DefinitionError, match="nested too deeply"):
        read_definition("a = " + "[\n" * 100_000, "shop.toml")


HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "10 MB": (GOOD + "#" + "x" * 10_000_000, "more than the 262144 bytes"),
    "a key of many parts": (".".join(["a"] * 100_000) + " = 1", "line 1 has 200003 characters"),
    "a nested value": (
        f"name{'.a' * 1_900} = 1\n" + GOOD.partition('shop"')[2],
        "<dict that cannot be shown>",
    ),
    "tables in tables": ("a = " + "{a=" * 1_000 + "1" + "}" * 1_000, "nested too deeply"),
    "NUL": (GOOD.replace("corner", "cor\x00ner"), "Illegal character"),
    "a NUL that is escaped": (GOOD.replace("corner", r"cor\u0000ner"), r"name = 'cor\x00ner-shop'"),
    "colours of a terminal": ('currency = "\\u001b[31mEUR"\n' + GOOD, r"currency = '\x1b[31mEUR'"),
    "text that runs backwards": (GOOD.replace("at_most = 64", r'about = "a\u202eb"'), r"'a\u202eb'"),
    "half a character": (GOOD.replace("corner", r"\ud800"), "no TOML"),
    "not a number": (GOOD.replace("at_least = 0", "at_least = nan"), "fields.price.at_least = nan"),
    "infinite": (GOOD.replace("at_least = 0", "at_least = 1e400"), "fields.price.at_least = inf"),
    "4,000 digits": (
        GOOD.replace("at_least = 0", "at_least = " + "9" * 4_000),
        "fields.price.at_least = 999",
    ),
    "a number too long for Python": ("a = " + "9" * 4_050 + "9" * 300, "line 1 has"),
    "lines of such numbers": ("a = " + "9" * 4_085, "unknown key 'a'"),
    "hexadecimal": (
        f"name = 0x{'F' * 4_000}\n" + GOOD.partition('shop"')[2],
        "<int that cannot be shown>",
    ),
    "an infinite condition": (
        GOOD.replace('event == "purchase"', "price > 1e400"),
        "this number is too large",
    ),
    "a long condition": (
        GOOD.replace('event == "purchase"', "price > " + "9" * 2_000),
        "at most 1000 are taken",
    ),
    "a deep condition": (GOOD.replace('event == "purchase"', "-" * 900 + "price > 1"), "nested too deeply"),
    "a call": (GOOD.replace('event == "purchase"', '__import__("os")'), "goal.when"),
    "a name with code": (GOOD.replace("carts = {", '"x; import os" = {'), "[features] names 'x; import os'"),
    "a dunder": (GOOD.replace("carts = {", "__class__ = {"), "[features] names '__class__'"),
    "another encoding": (GOOD.encode("utf-16"), "not UTF-8"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_ends_in_words(kind: str) -> None:
    text, said = HOSTILE[kind]
    with pytest.raises(DefinitionError) as refused:
        read_definition(text, "shop.toml")
    told = str(refused.value)
    assert told.startswith("shop.toml")
    assert said in told
    assert len(told) < 1_000
    assert all(line.isprintable() for line in told.split("\n"))


def test_numbers_stay_where_no_sum_or_square_of_them_overflows() -> None:
    """Two clicks of 1e308 would make features and a revenue that are infinite."""
    price = read_definition(GOOD.replace("at_least = 0, ", ""), "shop.toml").field("price")
    assert (price.at_least, price.at_most) == (-(2.0**53), 2.0**53)
    wide = read_definition(GOOD.replace("at_least = 0", "at_least = -1e100, at_most = 1e100"), "shop.toml")
    assert wide.field("price").at_most == 1e100
    with pytest.raises(DefinitionError, match=r"fields\.price\.at_most = 1e\+101"):
        read_definition(GOOD.replace("at_least = 0", "at_most = 1e101"), "shop.toml")


def test_a_file_of_an_editor_that_marks_its_encoding_is_taken() -> None:
    assert read_definition(b"\xef\xbb\xbf" + GOOD.encode(), "shop.toml") == read_definition(GOOD, "shop.toml")


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_text_ends_in_anything_but_a_refusal(text: str | bytes) -> None:
    with pytest.raises(DefinitionError):
        read_definition(text, "shop.toml")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["name", "fields", "goal", "features", "clusters", "identity", "distinct_at_most"])


@given(st.dictionaries(keys, values, min_size=1))
def test_no_values_end_in_anything_but_a_refusal(changed: dict[str, Any]) -> None:
    with suppress(DefinitionError):
        define(tomllib.loads(GOOD) | changed, "shop.toml")


def test_the_hash_covers_what_is_defined_and_not_how_it_is_written() -> None:
    def hashed(text: str) -> str:
        return read_definition(text, "shop.toml").hash

    assert hashed(GOOD) == hashed("# a comment\n" + GOOD.replace("{ ", "{").replace("\n[", "\n\n["))
    for before, after in [
        ("64", "63"),
        ('"purchase"', '"sale"'),
        ("corner", "other"),
        ('"clicks", "carts"]', '"carts", "clicks"]'),
    ]:
        assert hashed(GOOD) != hashed(GOOD.replace(before, after))


@pytest.mark.parametrize("name", built_in_names())
def test_the_shops_that_are_built_in_can_be_used(name: str) -> None:
    assert built_in(name).name == name


def test_an_unknown_shop_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(DefinitionError, match="uci553"):
        built_in("uci554")
