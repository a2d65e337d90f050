"""Decision points of a session: what is evidence, what came after, which one is drawn."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop_definitions import clicks, definitions

from clickstream.features import interpreter
from clickstream.features.definition import ShopDefinition
from clickstream.features.fold import compile_fold
from clickstream.features.goal import chance, course_of, drawn_point, is_drawn, points_weight, sampled_points

Row = dict[str, Any]

_sessions = st.tuples(st.text(max_size=8), st.integers(0, 2**41), st.integers(1, 40))


def steps(definition: ShopDefinition, rows: list[Row]) -> list[Any]:
    step = compile_fold(definition).step
    return [step(**{name: row[name] for name in step.__struct_fields__ if name in row}) for row in rows]


@given(st.data(), definitions())
def test_points_label_and_revenue_are_what_the_definition_says(
    data: st.DataObject, definition: ShopDefinition
) -> None:
    rows = data.draw(st.lists(clicks(definition), min_size=1, max_size=10))
    course = course_of(definition)(steps(definition, rows))
    achieved = interpreter.achieved(definition, rows)
    evidence = interpreter.evidence(definition, interpreter.WindowClicks(rows))
    assert course.converted == achieved.converted
    if definition.goal.value is None:
        assert course.revenue is None
    else:
        assert math.isclose(course.revenue or 0.0, achieved.revenue or 0.0, abs_tol=1e-9)
    assert course.points.stop - 1 == len(evidence.in_order)
    if definition.goal.last_click:
        assert list(course.points) == ([len(evidence.in_order)] if evidence.in_order else [])
    else:
        assert list(course.points) == list(range(1, len(evidence.in_order) + 1))


@given(st.data(), definitions())
def test_no_point_has_a_click_of_the_goal_in_its_evidence_nor_one_after_it(
    data: st.DataObject, definition: ShopDefinition
) -> None:
    rows = data.draw(st.lists(clicks(definition), min_size=1, max_size=10))
    course = course_of(definition)(steps(definition, rows))
    if definition.goal.last_click:
        assert all(k < len(rows) for k in course.points)
        return
    for k in course.points:
        assert not interpreter.achieved(definition, rows[:k]).converted
        assert interpreter.achieved(definition, rows[k:]).converted == course.converted
    # What comes after the goal moves no point and no label.
    longer = [*rows, *data.draw(st.lists(clicks(definition), max_size=3))]
    if course.converted:
        again = course_of(definition)(steps(definition, longer))
        assert (again.points, again.converted) == (course.points, True)


@given(_sessions)
def test_the_point_drawn_is_the_one_that_a_stream_keeps_click_by_click(session: tuple[str, int, int]) -> None:
    session_id, opened_at, n = session
    kept = 0
    for k in range(1, n + 1):
        if is_drawn(session_id, opened_at, k):
            kept = k
        assert drawn_point(session_id, opened_at, range(1, k + 1)) == kept


def test_points_are_drawn_by_a_weight_that_falls_with_the_clicks_seen() -> None:
    counts = Counter(drawn_point(f"s{number}", 0, range(1, 6)) for number in range(20_000))
    assert set(counts) == {1, 2, 3, 4, 5}
    for k, count in counts.items():
        share = 1 / k / points_weight(5)
        # Four standard deviations of a share.
        assert abs(count / 20_000 - share) < 4 * math.sqrt(share * (1 - share) / 20_000)


@given(_sessions, st.integers(1, 6))
def test_a_lesson_counts_each_point_alike_however_long_the_session_goes_on(
    session: tuple[str, int, int], k: int
) -> None:
    """Chance of being drawn times the weight of the lesson: 1/k, whatever n is."""
    _, _, n = session
    n = max(n, k)
    # Drawn at k, and by none of the later ones.
    drawn = 1 / k / points_weight(k)
    for later in range(k + 1, n + 1):
        drawn *= 1 - 1 / later / points_weight(later)
    assert drawn * points_weight(n) == pytest.approx(1 / k)


@given(_sessions, st.integers(1, 12))
def test_a_sample_is_points_of_the_session_in_order_and_always_the_same(
    session: tuple[str, int, int], most: int
) -> None:
    session_id, opened_at, n = session
    points = range(1, n + 1)
    sample = sampled_points(session_id, opened_at, points, most)
    assert sample == sorted(set(sample))
    assert set(sample) <= set(points)
    assert len(sample) == min(n, most)
    assert sample == sampled_points(session_id, opened_at, points, most)


def test_all_points_are_sampled_alike() -> None:
    counts = Counter(k for number in range(6_000) for k in sampled_points(f"s{number}", 7, range(1, 9), 2))
    assert all(abs(count / 6_000 - 0.25) < 4 * math.sqrt(0.1875 / 6_000) for count in counts.values())


@pytest.mark.parametrize("other", [("b", 5, 3), ("a", 6, 3), ("a", 5, 4)])
def test_a_chance_belongs_to_session_opening_time_and_point(other: tuple[str, int, int]) -> None:
    assert 0 <= chance("a", 5, 3) < 1
    assert chance("a", 5, 3) != chance(*other)


def test_the_chances_are_part_of_the_format() -> None:
    """Another language, or another version, must draw the same points."""
    assert chance("alice", 1_700_000_000_000, 1) == 0.03317415781617594
    assert drawn_point("alice", 1_700_000_000_000, range(1, 101)) == 26
