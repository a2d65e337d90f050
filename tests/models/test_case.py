"""Answers are rounded as Python rounds, many at a time."""

from __future__ import annotations

import numpy as np
from factory import examples
from hypothesis import given
from hypothesis import strategies as st

from clickstream.models.case import DECIMALS, predictions, rounded


@examples(200)
@given(st.lists(st.floats(-1e12, 1e12), max_size=50))
def test_rounding_is_that_of_python(values: list[float]) -> None:
    assert rounded(np.array(values)) == [round(value, DECIMALS) for value in values]


@examples(50)
@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=50), st.sampled_from([1.0, 1 / 3, 100.0]))
def test_it_is_that_of_python_where_a_half_is_rounded(numbers: list[int], unit: float) -> None:
    halves = [(number + 0.5) / 10**DECIMALS * unit for number in numbers]
    assert rounded(np.array(halves)) == [round(value, DECIMALS) for value in halves]


def test_a_negative_revenue_is_none_at_all_and_an_unknown_one_stays_unknown() -> None:
    chance = np.array([0.5, 0.25])
    assert [one.revenue for one in predictions(chance, np.array([-3.0, 3.0]), [0, 1], ["a", "b"])] == [
        0.0,
        3.0,
    ]
    assert [one.revenue for one in predictions(chance, None, [0, 1], ["a", "b"])] == [None, None]
    assert [one.cluster_name for one in predictions(chance, None, [1, 0], ["a", "b"])] == ["b", "a"]
