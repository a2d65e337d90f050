"""The matrix that models are fitted on and asked with."""

from __future__ import annotations

import pytest

from clickstream.models.inputs import MOST_PRODUCTS, MOST_VALUES, Vocabulary, learn_vocabulary
from clickstream.models.matrix import numbers, one_hot


def test_each_value_has_a_column_and_an_unknown_one_none() -> None:
    vocabulary = Vocabulary(values={"last_page": [1, 2], "last_category": ["sale", "skirts"]}, limits={})
    rows = [{"last_page": 2, "last_category": "sale"}, {"last_page": 9, "last_category": "hats"}]
    assert one_hot(rows, ("last_page", "last_category"), vocabulary).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]


def test_numbers_stand_in_the_order_asked_for() -> None:
    assert numbers([{"a": 1, "b": 2.5, "c": "x"}], ("b", "a")).tolist() == [[2.5, 1]]


def test_no_rows_make_a_matrix_of_the_right_width() -> None:
    assert numbers([], ("a", "b")).shape == (0, 2)


def test_a_vocabulary_keeps_the_most_frequent_values_and_reads_back_with_their_types() -> None:
    rows = [{"page": page, "price": float(page)} for page in range(1, 31) for _ in range(page)]
    learned = learn_vocabulary(rows, ["page"], ["price"], [f"p{n:05}" for n in range(2 * MOST_PRODUCTS)])
    assert learned.values["page"] == list(range(31 - MOST_VALUES, 31))
    assert len(learned.values["last_product"]) == MOST_PRODUCTS
    assert learned.limits["price"] == pytest.approx(300)
    assert Vocabulary.model_validate_json(learned.model_dump_json()) == learned


def test_a_vocabulary_does_not_depend_on_the_order_of_sessions() -> None:
    rows = [{"page": page} for page in (3, 1, 2, 1)]
    assert learn_vocabulary(rows, ["page"], [], ["b", "a"]) == learn_vocabulary(
        rows[::-1], ["page"], [], ["a", "b"]
    )
