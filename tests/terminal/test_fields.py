"""The names under which the fields of a score are found."""

from __future__ import annotations

from typing import Any

import pytest
from scored_log import ScoredLog

from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in
from clickstream.terminal.scores import UnknownFieldError, ValueKind, all_fields, find_field


@pytest.fixture
def score() -> dict[str, Any]:
    log = ScoredLog()
    log.click("alice", 0, end=True, category="sale", time_source="synthetic")
    log.heartbeat(5)
    log.publish()
    return log.contents(log.scores)[0]


@pytest.mark.parametrize(
    ("name", "scorer", "full"),
    [
        ("session_id", "batch", "session_id"),
        ("conversion", "batch", "predictions.batch.conversion"),
        ("revenue", "online", "predictions.online.revenue"),
        ("cluster", "reference", "predictions.reference.cluster_name"),
        ("batch.conversion", "online", "predictions.batch.conversion"),
        ("batch.cluster", "online", "predictions.batch.cluster_name"),
        ("predictions.batch.cluster", "batch", "predictions.batch.cluster"),
        ("mean_price", "batch", "features.mean_price"),
        ("features.mean_price", "batch", "features.mean_price"),
        ("converted", "batch", "outcome.converted"),
        ("outcome.revenue", "batch", "outcome.revenue"),
        ("source", "batch", "source"),
        ("outcome.source", "batch", "outcome.source"),
        ("closing_offset", "batch", "source.closing_offset"),
    ],
)
def test_a_field_goes_by_its_full_name_a_short_one_or_its_end(name: str, scorer: str, full: str) -> None:
    found = find_field(name, scorer)
    assert ".".join(found.path) == full
    assert found.name == name


def test_every_field_of_a_score_is_known_with_its_kind(score: dict[str, Any]) -> None:
    kinds = {
        bool: ValueKind.truth,
        int: ValueKind.number,
        float: ValueKind.number,
        str: ValueKind.text,
        dict: ValueKind.mapping,
    }

    def walk(value: Any, path: str) -> dict[str, ValueKind]:
        found = {path: kinds[type(value)]} if path and value is not None else {}
        if isinstance(value, dict) and path != "models.feature_sets":
            for name, inner in value.items():
                found |= walk(inner, f"{path}.{name}" if path else name)
        return found

    seen = walk(score, "")
    assert {name: kind for name, kind in all_fields().items() if name in seen} == seen
    assert set(all_fields()) - set(seen) == {"error"}
    for name in seen:
        assert find_field(name).of(score) is not None


@pytest.mark.parametrize("name", ["conversoin", "batch.conversoin", "", ".", "x.y.z", "session_id.x"])
def test_what_is_no_field_is_refused_with_names_that_are(name: str) -> None:
    with pytest.raises(UnknownFieldError) as caught:
        find_field(name)
    assert f"no field `{name}`" in caught.value.what
    assert "session_length" in caught.value.remedy
    if "conversoin" in name:
        assert "Did you mean" in caught.value.remedy


def test_every_name_that_a_remedy_lists_is_a_field() -> None:
    with pytest.raises(UnknownFieldError) as caught:
        find_field("!")
    for name in caught.value.remedy.removeprefix("A score has: ").split(", "):
        assert find_field(name).kind is not ValueKind.mapping, name


def test_what_is_not_there_is_none() -> None:
    assert find_field("batch.conversion").of({"predictions": {"batch": None}}) is None
    assert find_field("batch.conversion").of({"predictions": "none"}) is None
    assert find_field("batch.conversion").of({}) is None


def test_the_moment_that_is_drawn_goes_by_its_full_name_where_there_is_one() -> None:
    store = shop_of(built_in("online-store"))
    for name in ("drawn", "drawn.clicks", "drawn.predictions.online.conversion"):
        assert find_field(name, shop=store).path == tuple(name.split("."))
        with pytest.raises(UnknownFieldError):
            find_field(name)
    assert find_field("online.conversion", shop=store).path == ("predictions", "online", "conversion")
    assert not any(name.endswith(".revenue") for name in all_fields(store))
