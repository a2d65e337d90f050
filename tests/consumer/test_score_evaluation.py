"""Scores of random shops are read back as the sessions that they were made of, and evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import orjson
import pytest
from factory import examples
from hypothesis import given
from hypothesis import strategies as st
from shop_definitions import clicks, definitions

from clickstream.bundles.bundle import Bundle, Case, ScorerOutput
from clickstream.consumer.score_evaluation import (
    ObservedScore,
    ScoreEvaluation,
    joined,
    score_observer,
    score_reader,
)
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.features.condition import ValueKind
from clickstream.features.goal import drawn_point, points_weight
from clickstream.features.session import Session
from clickstream.features.shop import Shop, shop_of
from clickstream.features.shop_file import define
from clickstream.models.drift import watched_features
from clickstream.models.online import OnlineModels
from clickstream.models.quality import columns, measure, weights
from clickstream.terminal.scores.fields import all_fields, find_field, of_shop
from clickstream.windows.partition import ClosedWindow


class Counting:
    """A bundle, and its online models, whose answer is how many clicks they may look at, in thousandths."""

    id = "counting"
    lessons = 0

    def __init__(self, shop: Shop) -> None:
        self._worth = None if shop.definition.goal.value is None else 2.0

    def predict(self, cases: Any) -> Any:
        if isinstance(cases, Case):
            return self._answer(cases)
        return [{"batch": self._answer(case)} for case in cases]

    def tabled(self, cases: Any) -> None:
        """There is nothing to read of them."""

    def expect(self, cases: Any, table: None, first: int) -> None:
        """The answer is ready."""

    def learn(self, _case: Case, _outcome: object) -> None:
        """There is nothing to learn."""

    def _answer(self, case: Case) -> ScorerOutput:
        return ScorerOutput((case.evidence or {}).get("clicks", 0) / 1_000, self._worth, 0, "ordinary")


def sessions_of(shop: Shop, logs: Sequence[list[dict[str, Any]]]) -> list[Session]:
    found = []
    for number, rows in enumerate(logs):
        steps = [
            shop.step(**{name: row.get(name) for name in shop.step.__struct_fields__})
            for row in sorted(rows, key=lambda row: row["event_time"])
        ]
        session = shop.open(steps[0], 0, f"s{number}")
        for step in steps[1:]:
            session.add(step, 0)
        found.append(session)
    return found


def scores_of(
    shop: Shop,
    sessions: Sequence[Session],
    models: Counting | None = None,
    shown: Callable[[dict[str, Any]], object] | None = None,
) -> list[bytes]:
    counting = models or Counting(shop)
    scorer = WindowScorer(cast(Bundle, counting), "clicks", "settings", shop)
    windows = [
        UnscoredWindow(0, ClosedWindow(f"s{number}", session, "gap", 0, False), cast(OnlineModels, counting))
        for number, session in enumerate(sessions)
    ]
    return [score for score in scorer.score(windows, shown) if score is not None]


@examples(40)
@given(st.data(), definitions())
def test_what_is_evaluated_is_what_became_of_the_session(data: st.DataObject, definition: Any) -> None:
    shop = shop_of(definition)
    logs = data.draw(st.lists(st.lists(clicks(definition), min_size=1, max_size=6), min_size=1, max_size=5))
    sessions = sessions_of(shop, logs)
    values = scores_of(shop, sessions)
    read = score_reader(shop)
    scores = [score for score in map(read, values) if isinstance(score, ObservedScore)]
    assert len(scores) == len(sessions)
    table = ScoreEvaluation(2, shop).table(scores)
    watched = watched_features(shop)
    for at, session in enumerate(sessions):
        features = shop.features(session)
        for name, number in zip(watched.numbers, table.numbers[at], strict=True):
            expected = features[name]
            assert math.isnan(number) if expected is None else number == expected
        assert [column[at] for column in table.texts] == [features[name] for name in watched.texts]
        assert table.evaluable[at] == (session.evidence > 0)
        assert scores[at].is_goal_without_visit == session.is_goal_without_visit
    evident = [shop.outcome(session) for session in sessions if session.evidence]
    assert table.rows[:, 0].tolist() == [outcome.converted for outcome in evident]
    for found, outcome in zip(table.rows[:, 1], evident, strict=True):
        assert math.isnan(found) if outcome.revenue is None else found == outcome.revenue


@examples(40)
@given(st.data(), definitions())
def test_what_is_observed_of_a_score_is_what_is_read_of_it(data: st.DataObject, definition: Any) -> None:
    shop = shop_of(definition)
    logs = data.draw(st.lists(st.lists(clicks(definition), min_size=1, max_size=6), min_size=1, max_size=5))
    observed: list[ObservedScore] = []
    values = scores_of(shop, sessions_of(shop, logs), shown=partial(score_observer(shop), observed))
    assert observed == list(map(score_reader(shop), values))


@examples(40)
@given(st.data(), definitions())
def test_every_feature_that_a_score_shows_is_found_by_its_name(data: st.DataObject, definition: Any) -> None:
    shop = shop_of(definition)
    (session,) = sessions_of(shop, [data.draw(st.lists(clicks(definition), min_size=1, max_size=6))])
    score = of_shop(orjson.loads(scores_of(shop, [session])[0]), shop)
    kinds = {bool: ValueKind.truth, int: ValueKind.number, float: ValueKind.number, str: ValueKind.text}
    for name, value in shop.features(session).items():
        field = find_field(f"features.{name}", shop=shop)
        assert field.of(score) == value
        assert value is None or kinds[type(value)] is field.kind
    known = all_fields(shop)
    assert ("outcome.revenue" in known) == (definition.goal.value is not None)
    assert "predictions.reference" not in known


@examples(40)
@given(st.data(), definitions())
def test_tables_that_are_joined_and_put_in_order_are_the_table_of_all(
    data: st.DataObject, definition: Any
) -> None:
    shop = shop_of(definition)
    logs = data.draw(st.lists(st.lists(clicks(definition), min_size=1, max_size=4), min_size=1, max_size=6))
    read = score_reader(shop)
    scores = [cast(ObservedScore, read(value)) for value in scores_of(shop, sessions_of(shop, logs))]
    evaluation = ScoreEvaluation(2, shop)
    cut = data.draw(st.integers(0, len(scores)))
    order = data.draw(st.permutations(range(len(scores))))
    parts = joined([evaluation.table([]), evaluation.table(scores[:cut]), evaluation.table(scores[cut:])])
    found = parts.at(np.array(order, dtype=np.intp))
    expected = evaluation.table([scores[place] for place in order])
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    assert found.texts == expected.texts
    np.testing.assert_array_equal(found.evaluable, expected.evaluable)
    np.testing.assert_array_equal(found.rows, expected.rows)


LOOK_AND_BUY = shop_of(
    define(
        {
            "name": "till",
            "fields": {"event": {"type": "text"}},
            "goal": {"when": 'event == "buy"'},
            "features": {"clicks": {"count": True}},
        },
        "test",
    )
)


def test_an_event_goal_is_judged_at_the_moment_that_is_drawn_and_weighs_as_all_its_moments() -> None:
    """The last one is chosen by how the session ended, and would make any model look good."""
    shop = LOOK_AND_BUY
    logs = [
        [{"event_time": at, "event": "look"} for at in range(1, 2 + number % 6)]
        + [{"event_time": 9, "event": "buy"}] * (number % 2)
        for number in range(60)
    ]
    read = score_reader(shop)
    scores = [cast(ObservedScore, read(value)) for value in scores_of(shop, sessions_of(shop, logs))]
    evaluation = ScoreEvaluation(60, shop)
    table = evaluation.table(scores).rows
    for number, row in enumerate(table):
        points = 1 + number % 6
        drawn = drawn_point(f"s{number}", 1, range(1, points + 1))
        for _, conversion, _ in columns(row[None, :], evaluation.scorers):
            assert conversion == pytest.approx(drawn / 1_000)
        assert weights(row[None, :]) == points_weight(points)
    # A restart reads the same scores back.
    evaluation.add(scores[:20])
    evaluation.add(scores[20:])
    again = ScoreEvaluation(60, shop)
    again.add(scores)
    assert evaluation.rolling() == again.rolling() == measure(table, evaluation.scorers)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.1, 1.1, "0.5", None])
def test_a_chance_that_is_none_is_neither_read_nor_observed(wrong: Any) -> None:
    shop = LOOK_AND_BUY
    contents: list[dict[str, Any]] = []
    scores_of(shop, sessions_of(shop, [[{"event_time": 1, "event": "look"}]]), shown=contents.append)
    for chance, found in ((0.5, 1), (wrong, 0)):
        contents[0]["predictions"]["batch"]["conversion"] = chance
        observed: list[ObservedScore] = []
        score_observer(shop)(observed, contents[0])
        read = score_reader(shop)(orjson.dumps(contents[0]))
        assert len(observed) == isinstance(read, ObservedScore) == found


class NoTwo(Counting):
    """One that cannot answer after two clicks."""

    def _answer(self, case: Case) -> ScorerOutput:
        if (case.evidence or {}).get("clicks") == 2:
            raise ValueError("two")
        return super()._answer(case)


def test_predictions_are_null_all_at_once_where_one_moment_cannot_be_answered() -> None:
    """What is said of another session in the same step stands."""
    shop = LOOK_AND_BUY
    logs = [[{"event_time": at, "event": "look"} for at in range(1, 6)] for _ in range(60)]
    found = [orjson.loads(value) for value in scores_of(shop, sessions_of(shop, logs), NoTwo(shop))]
    assert {score["drawn"]["clicks"] if score["drawn"] else 5 for score in found} == {1, 2, 3, 4, 5}
    for score in found:
        drawn = score["drawn"]
        said = [*score["predictions"].values(), *(drawn["predictions"].values() if drawn else ())]
        if drawn and drawn["clicks"] == 2:
            assert score["error"] == "prediction failed: ValueError: two"
            assert set(map(repr, said)) == {"None"}
        else:
            assert score["error"] is None
            assert said.count(None) == 1  # there is no reference
