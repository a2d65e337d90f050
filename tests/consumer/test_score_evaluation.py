"""Scores of random shops are read back as the sessions that they were made of, and evaluated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import orjson
from factory import examples
from hypothesis import given
from hypothesis import strategies as st
from shop_definitions import clicks, definitions

from clickstream.bundles.bundle import Bundle, Case, ScorerOutput
from clickstream.consumer.score_evaluation import ObservedScore, ScoreEvaluation, joined, score_reader
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.features.condition import ValueKind
from clickstream.features.session import Session
from clickstream.features.shop import Shop, shop_of
from clickstream.models.drift import watched_features
from clickstream.models.online import OnlineModels
from clickstream.terminal.scores.fields import all_fields, find_field, of_shop
from clickstream.windows.partition import ClosedWindow


class Even:
    """A bundle, and its online models, that find all sessions equal."""

    id = "even"
    lessons = 0

    def __init__(self, shop: Shop) -> None:
        worth = None if shop.definition.goal.value is None else 2.0
        self._answer = ScorerOutput(0.5, worth, 0, "ordinary")

    def predict(self, cases: Any) -> Any:
        if isinstance(cases, Case):
            return self._answer
        return [self._answers() for _ in cases]

    def expect(self, cases: Any) -> None:
        """The answer is ready."""

    def learn(self, _case: Case, _outcome: object) -> None:
        """There is nothing to learn."""

    def _answers(self) -> dict[str, ScorerOutput]:
        return {"batch": self._answer}


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


def scores_of(shop: Shop, sessions: Sequence[Session]) -> list[bytes]:
    even = Even(shop)
    scorer = WindowScorer(cast(Bundle, even), "clicks", "settings", shop)
    windows = [
        UnscoredWindow(0, ClosedWindow(f"s{number}", session, "gap", 0, False), cast(OnlineModels, even))
        for number, session in enumerate(sessions)
    ]
    return [score for score in scorer.score(windows) if score is not None]


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
