"""When an open score is due: what counts, what a condition may say, and what it does when it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from factory import click, heartbeat

from clickstream.bundles.bundle import Case, open_bundle
from clickstream.bundles.verification import verify
from clickstream.consumer.open_scores import case_at, trigger_of
from clickstream.features.outcome import Outcome
from clickstream.features.shop import UCI553
from clickstream.infra.errors import ConfigurationError
from clickstream.infra.settings import Settings, load_settings
from clickstream.records.click import Click
from clickstream.records.shop_click import click_model
from clickstream.records.shops import load_shop
from clickstream.windows.fingerprint import member_text, rule_differences, rules_of_member, rules_text
from clickstream.windows.open_points import OpenPoint, OpenPoints
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules

MIN = 60_000

RULES = rules_text(Settings())


@pytest.mark.parametrize(
    ("asked", "differences"),
    [
        ({}, ""),
        ({"open_scores": "each"}, "open_scores was off and is each"),
        ({"open_scores": "1,2,3"}, "open_scores was off and is 1,2,3"),
        (
            {"open_conditions": "few: clicks < 2; it: last_category == 'x;y=z'"},
            "open_conditions was off and is ",
        ),
    ],
)
def test_members_of_a_group_share_when_open_scores_are_due_and_sessions_do_not_depend_on_it(
    asked: dict[str, str], differences: str
) -> None:
    settings = Settings(**asked)  # type: ignore[arg-type]
    assert rule_differences(RULES, member_text(settings)).startswith(differences)
    assert (member_text(settings) == RULES) is (not differences)
    assert rules_of_member(member_text(settings)) == rules_text(settings) == RULES


def points_of(*clicks: Click, rules: Rules | None = None) -> list[OpenPoint]:
    """The points of a log, a click every offset, read when they happened."""
    partition = Partition(rules or Rules())
    opened = OpenPoints(partition)
    for offset, one in enumerate(clicks):
        partition.advance(offset, 10 * MIN + one.event_time, one)
    return opened.points


def shown(points: list[OpenPoint]) -> list[tuple[int, int]]:
    """Of each its offset, and how many clicks the visit has by then."""
    return [(point.offset, point.session.clicks) for point in points]


def test_each_click_that_counts_is_a_point_before_the_watermark_passes_it() -> None:
    assert shown(points_of(click(0, 1), click(1_000, 2), click(500, 3))) == [(0, 1), (1, 2), (2, 3)]


def test_a_copy_is_none_whether_its_time_is_equal_later_or_earlier() -> None:
    assert shown(points_of(click(2_000, 1), click(2_000, 1), click(3_000, 1), click(1_000, 1))) == [(0, 1)]


def test_a_late_click_is_none_and_counts_for_those_after_it() -> None:
    found = points_of(click(0, 1), click(5 * MIN, 2), click(2 * MIN, 3), click(5 * MIN + 1, 4))
    assert shown(found) == [(0, 1), (1, 2), (3, 4)]


def test_a_click_of_a_visit_that_has_ended_is_none() -> None:
    ended = click(2_000, 2, end=True)
    found = points_of(click(1_000, 1), ended, click(4_000, 3), click(1_500, 4), click(5_000, 5))
    assert shown(found) == [(0, 1), (1, 2), (2, 1), (4, 2)]


def test_the_state_is_left_as_it_is() -> None:
    log = [click(0, 1), click(MIN // 2, 2), click(2 * MIN, 3), click(MIN + 1, 4), click(40 * MIN, 1)]
    closed = []
    for watched in (False, True):
        partition = Partition(Rules())
        if watched:
            OpenPoints(partition)
        for offset, one in enumerate(log):
            partition.advance(offset, one.event_time + MIN, one)
        partition.advance(len(log), 90 * MIN, heartbeat(90 * MIN))
        closed.append(partition.closed)
    assert closed[0] == closed[1]
    assert len(closed[0]) == 2


def test_nothing_is_foretold_once_the_goal_is_met() -> None:
    shop = load_shop("online-store")
    fields: dict[str, Any] = dict.fromkeys((field.name for field in shop.definition.fields), None)
    model = click_model(shop.definition)

    def of(event: str, second: int) -> Click:
        made: Click = model(session_id="ann", event_time=second * 1_000, **fields | {"event": event})
        return made

    log = [of("catalog", 1), of("cart", 5), of("purchase", 9), of("catalog", 11), of("catalog", 7)]
    assert shown(points_of(*log, rules=Rules(shop=shop))) == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ("conversion > 0.5", "no name of its own and a colon"),
        ("likely: conversion > 0.5; likely: clicks > 2", "no name of its own"),
        ("likely: conversion > 'high'", "a number is compared with a text"),
        ("likely: converted", "an open session of shop uci553 has no field `converted`"),
        ("likely: reference.conversion > 0.5", "has no field `reference.conversion`"),
        ("likely: conversion >", "likely: this is no condition"),
    ],
)
def test_a_condition_that_cannot_be_read_says_what_and_where(conditions: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match="CLICKSTREAM_OPEN_CONDITIONS") as caught:
        trigger_of(Settings(open_conditions=conditions), UCI553)
    assert words in caught.value.what


@pytest.mark.parametrize("asked", ["", "all", "0", "1,,2", "1, 2", "each,2"])
def test_what_open_scores_may_be_is_said(asked: str) -> None:
    with pytest.raises(ConfigurationError, match=r"CLICKSTREAM_OPEN_SCORES.*`off`, `each`, or numbers"):
        load_settings(open_scores=asked)


def test_conditions_speak_of_answers_clicks_and_features() -> None:
    said = 'a: conversion < 0.2 and clicks >= 2; b: online.cluster == "long"; c: features.session_length > 2;'
    trigger = trigger_of(Settings(open_conditions=said), UCI553)
    answer = {"conversion": 0.1, "revenue": 1.0, "cluster": 0, "cluster_name": "short_budget"}
    other = answer | {"cluster_name": "long"}
    points = points_of(click(0, 1), click(1_000, 2), click(2_000, 3), click(50 * MIN, 4))
    begun = [
        trigger.fires(point, case_at(UCI553, point).whole, {"batch": answer, "online": other})
        for point in points
    ]
    # The next visit of the same id begins anew.
    assert begun == [["b"], ["a"], ["c"], ["b"]]
    nothing = {"batch": None, "online": None}
    assert trigger.fires(points[0]._replace(partial=True), {}, {"batch": answer, "online": other}) == []
    assert trigger.fires(points[0], case_at(UCI553, points[0]).whole, nothing) == []


@pytest.mark.parametrize("bundle", ["synthetic_bundle", "known_shop_bundle"])
def test_the_online_models_learn_nothing_from_what_they_are_asked(
    bundle: str, request: pytest.FixtureRequest
) -> None:
    opened = open_bundle(verify(Path(request.getfixturevalue(bundle)), None))
    asked, unasked = opened.online(), opened.online()
    if bundle == "synthetic_bundle":
        cases = [case_at(UCI553, point) for point in points_of(click(0, 1), click(1_000, 2, price=50.0))]
    else:
        row = {one.name: None for one in opened.shop.features}
        cases = [Case(row, row)]
    for case in cases:
        asked.predict(case)
    for models in (asked, unasked):
        models.learn(cases[0], Outcome(True, 30.0, "goal", 2_000))
    assert [asked.predict(case) for case in cases] == [unasked.predict(case) for case in cases]
    assert asked.state() == unasked.state()
