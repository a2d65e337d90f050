from __future__ import annotations

import json
import re
from typing import Any

import pytest
from factory import FIELDS, click_json, click_of, examples, parse
from hypothesis import given
from hypothesis import strategies as st

from clickstream.records.click import Click, Forget, Heartbeat, InvalidRecordError

KEY = b"visit"
LAST_MS = 253_402_300_799_999


def refusal(value: bytes | None, key: bytes | None = KEY) -> InvalidRecordError:
    """Why the record is refused."""
    with pytest.raises(InvalidRecordError) as refused:
        parse(value, key)
    return refused.value


# --- what is taken ---


def test_a_click_needs_no_more_than_the_required_fields() -> None:
    record = parse(click_json(), KEY)
    assert record == click_of(FIELDS)
    assert isinstance(record, Click)
    assert record.order is None
    assert record.end is False
    assert record.time_source is None


def test_a_click_may_carry_all_that_the_dataset_knows() -> None:
    extra: dict[str, Any] = {"order": 7, "country": 29, "colour": 14, "location": 6, "photography": 2}
    record = parse(click_json(**extra, end=True, time_source="synthetic"), KEY)
    assert record == click_of(FIELDS | extra | {"end": True, "time_source": "synthetic"})


def test_a_heartbeat_is_an_event_time_and_needs_no_key() -> None:
    assert parse(b'{"type":"heartbeat","event_time":5}', None) == Heartbeat(event_time=5, flush=False)
    assert parse(b'{"type":"heartbeat","event_time":5,"flush":true}', b"p0") == Heartbeat(
        event_time=5, flush=True
    )


def test_unknown_fields_are_ignored() -> None:
    assert parse(click_json(campaign={"deep": [1, None]}, Price="x"), KEY) == click_of(FIELDS)
    assert parse(b'{"type":"heartbeat","event_time":5,"session_id":3}', None) == Heartbeat(event_time=5)


def test_a_whole_price_may_be_written_without_a_point() -> None:
    record = parse(click_json(price=38), KEY)
    assert isinstance(record, Click)
    assert (record.price, type(record.price)) == (38.0, float)


def test_an_order_may_be_null_as_if_it_were_left_out() -> None:
    assert parse(click_json(order=None), KEY) == parse(click_json(), KEY)


def test_a_session_id_is_compared_with_the_key_as_utf_8() -> None:
    record = parse(click_json(session_id="żółw"), "żółw".encode())
    assert isinstance(record, Click)
    assert record.session_id == "żółw"


@pytest.mark.parametrize(
    ("field", "smallest", "largest"),
    [
        ("event_time", 0, LAST_MS),
        ("price", 0, 1e9),
        ("page", 1, 1_000_000),
        ("order", 1, 1_000_000),
        ("country", 0, 1_000_000),
        ("colour", 0, 1_000_000),
        ("location", 0, 1_000_000),
        ("photography", 0, 1_000_000),
    ],
)
def test_a_number_is_taken_up_to_its_bounds_and_not_beyond(
    field: str, smallest: float, largest: float
) -> None:
    for inside in (smallest, largest):
        assert getattr(parse(click_json(**{field: inside}), KEY), field) == inside
    for outside in (smallest - 1, largest + 1):
        error = refusal(click_json(**{field: outside}))
        assert error.reason == "invalid"
        assert error.detail.startswith(f"{field}: ")
        assert f"(got {outside})" in error.detail


@pytest.mark.parametrize(
    ("field", "shortest", "longest"),
    [("session_id", 1, 256), ("product", 1, 256), ("category", 1, 128), ("time_source", 0, 64)],
)
def test_a_text_is_taken_up_to_its_bounds_and_not_beyond(field: str, shortest: int, longest: int) -> None:
    def read(text: str) -> Click | Heartbeat | Forget:
        return parse(click_json(**{field: text}), text.encode() if field == "session_id" else KEY)

    for inside in ("x" * shortest, "x" * longest):
        assert getattr(read(inside), field) == inside
    for outside in ["x" * (longest + 1), ""] if shortest else ["x" * (longest + 1)]:
        with pytest.raises(InvalidRecordError, match=rf"^invalid: {field}: String should have"):
            read(outside)


def test_a_forget_is_a_session_and_its_key() -> None:
    assert parse(b'{"type":"forget","session_id":"visit"}', KEY) == Forget(session_id="visit")
    assert refusal(b'{"type":"forget","session_id":"visit"}', b"another").reason == "key-mismatch"
    assert refusal(b'{"type":"forget","session_id":"visit"}', None).reason == "key-mismatch"
    assert refusal(b'{"type":"forget"}').detail == "session_id: Field required"
    assert refusal(b'{"type":"forget","session_id":""}').detail.startswith("session_id: String should have")


# --- what is refused, and what the dead letter then says ---


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("session_id", 7),
        ("session_id", None),
        ("event_time", "1000"),
        ("event_time", 1000.0),
        ("event_time", 1000.5),
        ("event_time", True),
        ("event_time", None),
        ("product", 13),
        ("category", 1),
        ("category", ["trousers"]),
        ("price", "38"),
        ("price", True),
        ("price", None),
        ("price", {"usd": 38}),
        ("price_2", "1"),
        ("price_2", 0),
        ("price_2", 3),
        ("price_2", None),
        ("page", "1"),
        ("page", 1.0),
        ("page", False),
        ("order", "1"),
        ("order", 1.0),
        ("order", True),
        ("country", "PL"),
        ("colour", 1.5),
        ("location", True),
        ("photography", []),
        ("end", 1),
        ("end", "true"),
        ("end", None),
        ("time_source", 1),
    ],
)
def test_a_field_of_another_type_is_refused_and_named_with_its_value(field: str, wrong: Any) -> None:
    error = refusal(click_json(**{field: wrong}))
    assert error.reason == "invalid"
    assert error.detail.startswith(f"{field}: ")
    assert error.detail.endswith(f"(got {wrong!r})")


@pytest.mark.parametrize("wrong", [True, 1.0, 2.0])
def test_price_2_is_an_integer_and_nothing_that_equals_one(wrong: Any) -> None:
    refusal(click_json(price_2=wrong))


@pytest.mark.parametrize("field", [name for name in FIELDS if name != "type"])
def test_a_required_field_that_is_missing_is_named(field: str) -> None:
    error = refusal(click_json(**{field: ...}))
    assert (error.reason, error.detail) == ("invalid", f"{field}: Field required")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400"])
def test_a_price_must_be_finite(number: bytes) -> None:
    error = refusal(click_json(price=0.5).replace(b"0.5", number))
    assert error.reason == "invalid"
    assert error.detail.startswith("price: Input should be")


@pytest.mark.parametrize("field", ["event_time", "page", "order"])
def test_not_a_number_is_no_integer(field: str) -> None:
    error = refusal(click_json(**{field: float("nan")}))
    assert (error.reason, error.detail) == ("invalid", f"{field}: Input should be a valid integer (got nan)")


def test_a_heartbeat_is_checked_like_a_click() -> None:
    assert refusal(b'{"type":"heartbeat"}').detail == "event_time: Field required"
    assert refusal(b'{"type":"heartbeat","event_time":-1}').detail.endswith("(got -1)")
    assert refusal(b'{"type":"heartbeat","event_time":1,"flush":"yes"}').detail.endswith("(got 'yes')")


@pytest.mark.parametrize("wrong", ["Click", "purchase", "", None, 1, ["click"], {"click": 1}])
def test_a_record_of_another_type_is_refused(wrong: Any) -> None:
    error = refusal(click_json(type=wrong))
    assert error.reason == "invalid"
    assert "'type'" in error.detail
    assert f"tag '{wrong}'" in error.detail


def test_a_record_without_a_type_is_refused_even_when_it_looks_like_a_click() -> None:
    error = refusal(click_json(type=...))
    assert error.reason == "invalid"
    assert "'type'" in error.detail


@pytest.mark.parametrize("value", [b"null", b"true", b"1", b'"click"', b"[]", b'[{"type":"click"}]'])
def test_json_that_is_no_object_is_refused(value: bytes) -> None:
    error = refusal(value)
    assert error.reason == "invalid"
    assert error.detail.startswith("record: Input should be an object")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" ", id="blank"),
        pytest.param(b"click", id="a word"),
        pytest.param(b"{'type': 'click'}", id="Python's quotes"),
        pytest.param(click_json()[:-1], id="cut short"),
        pytest.param(click_json() + click_json(), id="two records"),
        pytest.param(b"\xef\xbb\xbf" + click_json(), id="byte order mark"),
        pytest.param(click_json().decode().encode("utf-16"), id="UTF-16"),
        pytest.param(click_json(product="@").replace(b"@", b"\xff"), id="not UTF-8"),
        pytest.param(click_json(product="@").replace(b"@", b"\\ud800"), id="half a surrogate pair"),
        pytest.param(click_json(page=777).replace(b"777", b"9" * 5_000), id="5,000 digits"),
        pytest.param(b'{"a":' * 5_000 + b"1" + b"}" * 5_000, id="nested 5,000 deep"),
        pytest.param(b"[" * 60_000, id="opened 60,000 times"),
    ],
)
def test_what_is_no_json_says_where_it_ends_to_be_some(value: bytes) -> None:
    error = refusal(value)
    assert error.reason == "not-json"
    assert re.search(r"at line \d+ column \d+$", error.detail)


def test_a_record_without_a_value_is_refused() -> None:
    error = refusal(None)
    assert (error.reason, error.detail) == ("invalid", "the record has no value")


def test_a_record_is_taken_up_to_the_largest_size_and_not_beyond() -> None:
    value = click_json()
    assert parse(value, KEY, max_bytes=len(value)) == click_of(FIELDS)
    with pytest.raises(InvalidRecordError) as refused:
        parse(value, KEY, max_bytes=len(value) - 1)
    assert refused.value.reason == "too-large"
    assert str(len(value)) in refused.value.detail


def test_two_megabytes_are_refused_by_their_size_alone() -> None:
    error = refusal(click_json(padding="x" * 2_000_000))
    assert error.reason == "too-large"
    assert error.detail.endswith("at most 65536 are taken")


@pytest.mark.parametrize("key", [None, b"", b"other", b"Visit", b"visit ", b"visit\x00", b"\xff"])
def test_a_click_whose_key_is_not_its_session_id_is_refused(key: bytes | None) -> None:
    error = refusal(click_json(), key)
    assert (error.reason, error.detail) == ("key-mismatch", f"key {key!r}, session_id 'visit'")


@pytest.mark.parametrize("seconds", [631_152_000, 1_207_008_000, 1_772_445_600, 4_102_444_799])
def test_seconds_where_milliseconds_belong_are_refused(seconds: int) -> None:
    detail = f"event_time: {seconds} reads as seconds since the epoch; send milliseconds"
    error = refusal(click_json(event_time=seconds))
    assert (error.reason, error.detail) == ("invalid", detail)
    error = refusal(json.dumps({"type": "heartbeat", "event_time": seconds}).encode(), None)
    assert (error.reason, error.detail) == ("invalid", detail)
    with pytest.raises(InvalidRecordError) as refused:
        click_of(FIELDS | {"event_time": seconds})
    assert refused.value.detail == detail


@pytest.mark.parametrize("milliseconds", [0, 631_151_999, 4_102_444_800, 1_207_008_000_000])
def test_times_that_read_as_no_seconds_of_a_shop_are_taken(milliseconds: int) -> None:
    assert parse(click_json(event_time=milliseconds), KEY).event_time == milliseconds


@pytest.mark.parametrize(
    ("unit", "words"), [(1_000, "less than or equal"), (1_000_000, "less than or equal")]
)
def test_microseconds_and_nanoseconds_are_beyond_every_time(unit: int, words: str) -> None:
    assert words in refusal(click_json(event_time=1_207_008_000_000 * unit)).detail


def test_every_wrong_field_is_told_up_to_five() -> None:
    error = refusal(click_json(event_time=-1, product="", category="", price=-1, price_2=3, page=0))
    told = [part.split(":")[0] for part in error.detail.split("; ")]
    assert told == ["event_time", "product", "category", "price", "price_2"]


@pytest.mark.parametrize(
    "wrong", ["x" * 50_000, list(range(5_000)), 10**4_000], ids=["text", "list", "digits"]
)
def test_the_detail_stays_short_however_long_the_value(wrong: Any) -> None:
    assert len(refusal(click_json(page=wrong)).detail) < 200


def test_the_detail_stays_short_however_long_the_type() -> None:
    assert len(refusal(click_json(type="x" * 50_000)).detail) <= 1_000


# --- whatever comes ---

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
almost_clicks = st.dictionaries(
    st.sampled_from([*FIELDS, "order", "end", "flush", "country"]), json_values | st.just(...), max_size=3
).map(lambda changes: click_json(**changes))


def parses_or_says_why(value: bytes, key: bytes | None) -> None:
    try:
        record = parse(value, key)
    except InvalidRecordError as error:
        refused = error
    else:
        assert parse(record.model_dump_json().encode(), key) == record
        return
    assert refused.reason in ("too-large", "not-json", "invalid", "key-mismatch")
    assert refused.detail
    assert str(refused).encode()


@given(st.binary(max_size=200), st.none() | st.binary(max_size=8))
@examples(200)
def test_any_bytes_parse_or_are_refused_with_a_reason(value: bytes, key: bytes | None) -> None:
    parses_or_says_why(value, key)


@given(
    json_values.map(lambda value: json.dumps(value).encode()) | almost_clicks, st.sampled_from([KEY, None])
)
@examples(300)
def test_any_json_parses_or_is_refused_with_a_reason(value: bytes, key: bytes | None) -> None:
    parses_or_says_why(value, key)


@given(st.integers(0, len(click_json()) - 1), st.integers(0, 255))
@examples(200)
def test_any_damage_of_one_byte_parses_or_is_refused_with_a_reason(place: int, byte: int) -> None:
    value = bytearray(click_json())
    value[place] = byte
    parses_or_says_why(bytes(value), KEY)
