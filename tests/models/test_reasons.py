"""Reasons: additive for every case and scorer; of small trees equal to the definition of Shapley."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.reasons import reasons
from clickstream.models.calibration import Calibration
from clickstream.models.case import Case, Example, Floats
from clickstream.models.reasons import TreeReasons
from clickstream.models.trees import Trees, of_forest, of_histograms

EVERY = 1_000


def expectation(trees: Trees, row: Floats, known: set[int], players: list[int]) -> float:
    """The answer where only the columns of `known` players are seen: other branches by their share."""

    def below(node: int) -> float:
        low, high = int(trees.low[node]), int(trees.high[node])
        if low == node:
            return float(trees.value[node])
        if players[trees.column[node]] in known:
            return below(low if trees.goes_low(row[None])[0, node] else high)
        weights = trees.weight[[low, high]]
        return float(np.dot(weights / weights.sum(), [below(low), below(high)]))

    return trees.base + sum(below(int(root)) for root in trees.roots)


def by_definition(trees: Trees, row: Floats, players: list[int]) -> list[float]:
    """Shapley (1953): the mean over all orders of what a player adds to those before."""
    everybody = sorted(set(players))
    values = []
    for player in everybody:
        others = [other for other in everybody if other != player]
        total = 0.0
        for size in range(len(others) + 1):
            for chosen in combinations(others, size):
                without = expectation(trees, row, set(chosen), players)
                total += (expectation(trees, row, {*chosen, player}, players) - without) / comb(
                    len(others), size
                )
        values.append(total / len(everybody))
    return values


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1_000), forest=st.booleans())
def test_effects_are_shapley_values_and_a_feature_is_one_player_in_all_its_columns(
    seed: int, forest: bool
) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(120, 5)).round(1)
    converted = matrix[:, 0] * matrix[:, 1] + matrix[:, 4] > rng.normal(size=120)
    if forest:
        trees = of_forest(RandomForestClassifier(3, max_depth=5, random_state=seed).fit(matrix, converted))
    else:
        model = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=4, max_leaf_nodes=9)
        trees = of_histograms(model.fit(matrix, converted))
    # Columns 1 and 3 encode one feature.
    players, names = [0, 1, 2, 1, 3], ["a", "b", "c", "b", "d"]
    explained = TreeReasons(trees, names, "log-odds")
    for row in matrix[:3]:
        found = explained.of(row)
        assert list(found.effects) == ["a", "b", "c", "d"]
        assert list(found.effects.values()) == pytest.approx(by_definition(trees, row, players), abs=1e-9)
        assert found.base == pytest.approx(expectation(trees, row, set(), players), abs=1e-9)


def test_reasons_add_up_to_the_prediction_of_every_scorer(bundle: Bundle, examples: list[Example]) -> None:
    online = bundle.online()
    for example in examples[::200]:
        case = example.case
        if case.evidence is None:
            assert reasons(bundle, case, "batch") is None
            assert reasons(bundle, case, online) is None
            continue
        predicted = bundle.predict([case])[0]
        for scorer in ("batch", "reference", online):
            found = reasons(bundle, case, scorer, at_most=3)
            assert found is not None
            assert len(found.strongest) <= 3
            total = found.base + sum(one.effect for one in found.strongest) + found.others
            assert total == pytest.approx(found.answer, abs=1e-9)
            sizes = [abs(one.effect) for one in found.strongest]
            assert sizes == sorted(sizes, reverse=True)
            if scorer == "batch":
                calibration = Calibration(**bundle.fitted["batch"].artefact["calibration"])
                chance = calibration.apply(expit(np.array([found.answer])))[0]
                assert chance == pytest.approx(predicted["batch"].conversion, abs=1e-9)
            elif scorer == "reference":
                assert found.answer == pytest.approx(predicted["reference"].conversion, abs=1e-9)
            else:
                assert found.scale == "log-odds"
                chance = min(max(online.predict(case).conversion, 1e-12), 1 - 1e-12)
                assert found.answer == pytest.approx(logit(chance), abs=1e-5)
        online.learn(case, example.outcome)


def test_all_features_can_be_asked_for_and_say_what_the_model_saw(
    bundle: Bundle, examples: list[Example]
) -> None:
    case = next(example.case for example in examples if example.case.evidence is not None)
    assert case.evidence is not None
    found = reasons(bundle, case, "batch", at_most=EVERY)
    assert found is not None
    assert found.others == 0.0
    names = [one.feature for one in found.strongest]
    assert len(names) == len(set(names))
    assert all(one.value == case.evidence[one.feature] for one in found.strongest)


def test_what_a_scorer_does_not_see_is_no_reason_of_it(bundle: Bundle, examples: list[Example]) -> None:
    example = next(example for example in examples if example.case.evidence is not None)
    case = example.case
    other = Case(case.evidence, {**case.whole, "last_price": 10_000.0})
    assert reasons(bundle, case, "batch") == reasons(bundle, other, "batch")
