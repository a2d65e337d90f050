"""A goal that is an event: what a prediction may look at, what became of the session, what is learned."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from clickstream.features.goal import drawn_point, points_weight
from clickstream.features.outcome import Outcome
from clickstream.features.session import Session
from clickstream.features.shop import Shop, shop_of
from clickstream.features.shop_file import define
from clickstream.records.shop_click import parser_of
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules

MINUTE = 60_000

SOURCE: dict[str, Any] = {
    "name": "till",
    "fields": {"event": {"type": "text"}, "price": {"type": "number", "optional": True}},
    "goal": {"when": 'event == "buy"', "value": "price"},
    "features": {
        "clicks": {"count": True},
        "bought": {"count": 'event == "buy"'},
        "thanks": {"count": 'event == "thanks"'},
        "last": {"last": "event"},
    },
}


@pytest.fixture(scope="module")
def shop() -> Shop:
    return shop_of(define(SOURCE, "test"))


def visit(shop: Shop, *events: str, session_id: str = "ann") -> Session:
    steps = [
        shop.step(at, at, event, 10.0 * at if event == "buy" else None) for at, event in enumerate(events, 1)
    ]
    window = shop.open(steps[0], session_id=session_id)
    for step in steps[1:]:
        window.add(step, 0)
    return window


def test_what_comes_with_or_after_the_goal_is_no_evidence_and_counts_into_the_features(shop: Shop) -> None:
    window = visit(shop, "look", "cart", "buy", "thanks", "buy")
    assert shop.evidence(window) == {"clicks": 2, "bought": 0, "thanks": 0, "last": "cart"}
    assert window.evidence == 2
    assert shop.features(window) == {"clicks": 5, "bought": 2, "thanks": 1, "last": "buy"}
    assert shop.outcome(window) == Outcome(True, 80.0, "goal", 3)


def test_what_only_happens_after_the_goal_changes_no_prediction_and_no_lesson(shop: Shop) -> None:
    """A page that thanks for the order would foretell every order."""
    without, planted = (
        visit(shop, "look", "cart", "buy"),
        visit(shop, "look", "cart", "buy", "thanks", "thanks"),
    )
    assert shop.evidence(planted) == shop.evidence(without)
    assert shop.lesson(planted) == shop.lesson(without)


def test_where_the_goal_is_not_met_all_clicks_are_evidence(shop: Shop) -> None:
    window = visit(shop, "look", "cart")
    assert shop.evidence(window) == shop.features(window)
    assert shop.outcome(window) == Outcome(False, 0.0, "goal", None)


def test_a_session_that_begins_with_its_goal_has_no_evidence_and_teaches_nothing(shop: Shop) -> None:
    window = visit(shop, "buy", "thanks")
    assert (window.evidence, shop.evidence(window), shop.lesson(window)) == (0, None, None)
    assert shop.outcome(window) == Outcome(True, 10.0, "goal", 1)


def test_without_a_value_nothing_is_said_of_revenue() -> None:
    shop = shop_of(define(SOURCE | {"goal": {"when": 'event == "buy"'}}, "test"))
    assert shop.outcome(visit(shop, "look", "buy")) == Outcome(True, None, "goal", 2)


def test_the_point_to_learn_from_is_drawn_by_weight(shop: Shop) -> None:
    """Of four clicks before the goal the k-th in proportion to 1/k, within four standard deviations."""
    seen: Counter[int] = Counter()
    for number in range(4_000):
        lesson = shop.lesson(visit(shop, "look", "cart", "look", "cart", "buy", session_id=f"s{number}"))
        assert lesson is not None
        seen[lesson["clicks"]] += 1
    assert sorted(seen) == [1, 2, 3, 4]
    for k, count in seen.items():
        share = 1 / k / points_weight(4)
        assert abs(count - 4_000 * share) < 4 * (4_000 * share * (1 - share)) ** 0.5


def test_the_moment_that_is_drawn_is_named_where_it_is_not_the_last(shop: Shop) -> None:
    """Otherwise it is the evidence."""
    for number in range(100):
        for events in (["look"] * 3, ["look", "cart", "look", "buy", "thanks"]):
            window = visit(shop, *events, session_id=f"s{number}")
            point = drawn_point(f"s{number}", window.opened_at, range(1, 4))
            drawn = shop.drawn(window)
            assert (None if drawn is None else drawn["clicks"]) == (None if point == 3 else point)
            assert shop.lesson(window) == (shop.evidence(window) if drawn is None else drawn)
    for events in (["look"], ["buy"], ["look", "buy"], ["buy", "look"]):
        assert shop.drawn(visit(shop, *events)) is None


def test_the_draw_is_a_function_of_session_opening_time_and_place_alone(shop: Shop) -> None:
    first, again = visit(shop, *["look"] * 9), visit(shop, *["look"] * 9)
    assert shop.lesson(first) == shop.lesson(again)


def test_the_stream_draws_the_point_that_training_draws(shop: Shop) -> None:
    for number in range(200):
        window = visit(shop, *["look"] * 9, "buy", session_id=f"s{number}")
        lesson = shop.lesson(window)
        assert lesson is not None
        assert lesson["clicks"] == drawn_point(f"s{number}", window.opened_at, range(1, 10))


def test_a_goal_that_comes_late_is_a_dead_letter_and_another_late_click_counts(shop: Shop) -> None:
    """Counted, it would stand in the evidence, or leave what came after it there."""
    parse = parser_of(shop.definition)
    partition = Partition(Rules(gap=30 * MINUTE, allowed_lateness=MINUTE, shop=shop))

    def read(offset: int, minute: float, event: str) -> None:
        time = round(minute * MINUTE)
        click = parse.click_of({"session_id": "ann", "event_time": time, "order": offset + 1, "event": event})
        partition.advance(offset, time, click)

    for offset, (minute, event) in enumerate(
        [(10, "look"), (12, "thanks"), (14, "look"), (11, "buy"), (11.5, "cart")]
    ):
        read(offset, minute, event)
    assert [(one.offset, one.reason) for one in partition.refused] == [(3, "late")]
    assert "goal" in partition.refused[0].detail
    read(5, 60, "look")
    [closed] = partition.closed
    assert shop.features(closed.session) == {"clicks": 4, "bought": 0, "thanks": 1, "last": "look"}
    assert (closed.session.late, shop.outcome(closed.session).converted) == (1, False)


def test_what_comes_late_after_the_goal_changes_no_evidence(shop: Shop) -> None:
    window = visit(shop, "look", "buy")
    before = shop.evidence(window)
    window.add_late(shop.step(1, 9, "cart", None), 5)
    assert shop.evidence(window) == before
    assert shop.features(window)["clicks"] == 3
