"""What is learned of many sessions at once is what River learns of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from river import cluster, linear_model, optim, preprocessing

from clickstream.models.case import Floats
from clickstream.models.lessons import (
    HALFLIFE,
    added_up,
    bayesian_means,
    learn_bayesian,
    learn_linear,
    learn_scale,
    move_centres,
    nearest,
    shifts_and_scales,
    sigmoid,
    standardised,
)

ROWS: Floats = np.random.default_rng(3).normal(5, 2, size=(40, 4))


def rows_of(rows: Floats) -> list[dict[int, float]]:
    return [{at: value for at, value in enumerate(row) if not np.isnan(value)} for row in rows.tolist()]


def test_a_scale_learned_in_lessons_is_the_one_learned_row_by_row_also_where_values_are_absent() -> None:
    rows = ROWS.copy()
    rows[::3, 1] = rows[:25, 2] = rows[:, 3] = np.nan
    one_by_one, together = preprocessing.StandardScaler(), preprocessing.StandardScaler()
    for row in rows_of(rows):
        one_by_one.learn_one(row)
    for first in range(0, 40, 10):
        learn_scale(together, rows[first : first + 10])
    assert together.counts == one_by_one.counts
    assert together.means == pytest.approx(dict(one_by_one.means))
    assert together.vars == pytest.approx(dict(one_by_one.vars))
    scaled = [one_by_one.transform_one(row) for row in rows_of(rows)]
    found = standardised(together, rows)
    assert [len(row) for row in scaled] == (~np.isnan(found)[:, :3]).sum(axis=1).tolist()
    assert all(
        found[at, name] == pytest.approx(value)
        for at, row in enumerate(scaled)
        for name, value in row.items()
    )


def test_what_never_differed_says_nothing() -> None:
    scaler = preprocessing.StandardScaler()
    learn_scale(scaler, np.full((5, 1), 7.0))
    assert shifts_and_scales(scaler, 2) == ([7.0, 0.0], [0.0, 0.0])


@pytest.mark.parametrize("kind", [linear_model.LogisticRegression, linear_model.LinearRegression])
def test_a_lesson_of_one_is_what_river_learns_of_one(kind: Any) -> None:
    one_by_one, lessons = (kind(optim.AdaGrad(0.1), l2=0.01) for _ in range(2))
    for number, (row, named) in enumerate(zip(ROWS, rows_of(ROWS), strict=True)):
        truth, weight = float(number % 2), 1.0 + number % 3
        one_by_one.learn_one(named, truth, weight)
        learn_linear(lessons, row[None], range(4), np.array([truth]), np.array([weight]))
    assert lessons.weights == pytest.approx(one_by_one.weights)
    assert lessons.intercept == pytest.approx(one_by_one.intercept)
    assert {type(weight) for weight in lessons.weights.values()} == {float}


def test_a_lesson_is_one_step_along_the_mean_gradient() -> None:
    twice, once = (linear_model.LogisticRegression(optim.AdaGrad(0.1)) for _ in range(2))
    learn_linear(once, ROWS[:1], range(4), np.ones(1))
    learn_linear(twice, np.repeat(ROWS[:1], 2, axis=0), range(4), np.ones(2))
    assert twice.weights == pytest.approx(once.weights)


def test_a_bayesian_regression_learns_a_lesson_as_it_learns_its_rows() -> None:
    one_by_one, lessons = linear_model.BayesianLinearRegression(), linear_model.BayesianLinearRegression()
    nothing = dict.fromkeys(range(8), 0.0)
    for model in (one_by_one, lessons):
        model.learn_one(nothing, 0.0)
    rows = np.hstack([ROWS, ROWS**2])
    truth = rows @ np.arange(8.0)
    for row, value in zip(rows_of(rows), truth.tolist(), strict=True):
        one_by_one.learn_one(row, value)
    for first in range(0, 40, 8):
        learn_bayesian(lessons, rows[first : first + 8], truth[first : first + 8])
    assert bayesian_means(lessons) == pytest.approx(bayesian_means(one_by_one))
    learn_bayesian(lessons, rows[:0], truth[:0])
    assert bayesian_means(lessons) == pytest.approx(bayesian_means(one_by_one))


def test_centres_move_to_the_points_of_a_lesson_as_they_do_point_by_point() -> None:
    river = cluster.KMeans(n_clusters=2, halflife=HALFLIFE, seed=0)
    river.centers = {0: dict.fromkeys(range(4), 0.0), 1: dict.fromkeys(range(4), 9.0)}
    centres = [[0.0] * 4, [9.0] * 4]
    # So far from the middle that no lesson moves a centre beyond them.
    points = np.where(np.arange(40)[:, None] % 3 == 0, ROWS + 4, ROWS - 5)
    for row in rows_of(points):
        river.learn_one(row)
    move_centres(centres, points)
    assert [dict(enumerate(centre)) for centre in centres] == [
        pytest.approx(river.centers[at]) for at in (0, 1)
    ]
    assert nearest(centres, points).tolist() == [river.predict_one(row) for row in rows_of(points)]


def test_terms_are_added_one_after_the_other_whatever_stands_beside_them() -> None:
    terms = np.random.default_rng(0).normal(size=(50, 30)) * 1e6
    one_by_one = []
    for row in terms.tolist():
        total = 0.1
        for term in row:
            total += term
        one_by_one.append(total)
    assert added_up(0.1, terms[:, :20], terms[:, 20:]).tolist() == one_by_one
    assert [*added_up(0.1, terms[:1]), *added_up(0.1, terms[1:])] == one_by_one


@pytest.mark.parametrize(("score", "chance"), [(0.0, 0.5), (-800.0, 0.0), (800.0, 1.0), (1.0, 0.7310585786)])
def test_a_chance_is_one_for_any_score(score: float, chance: float) -> None:
    assert sigmoid(score) == pytest.approx(chance)
