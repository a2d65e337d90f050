"""Clusters whose numbers and names survive a refit."""

from __future__ import annotations

import numpy as np
import pytest

from clickstream.models.clusters import (
    CANDIDATES,
    NAMES,
    canonical_order,
    choose_clusters,
    fit_clusters,
    match,
)
from clickstream.models.matrix import CLUSTERED
from clickstream.training.training import TrainingSession, example


@pytest.mark.parametrize("turn", range(4))
def test_centres_are_named_by_the_rule_whatever_their_order(turn: int) -> None:
    centres = np.zeros((4, len(CLUSTERED)))
    columns = [CLUSTERED.index(name) for name in ("session_length", "n_unique_categories", "mean_price")]
    # long, exploratory, short_premium, short_budget; long also sees most categories.
    centres[:, columns] = [[32, 3.3, 43], [8, 2.5, 44], [2.5, 1.1, 52], [2.6, 1.2, 36]]
    shuffled = np.roll(centres, turn, axis=0)
    assert np.array_equal(shuffled[canonical_order(shuffled)], centres)


def test_names_mean_the_same_after_refits_with_other_seeds_and_other_sessions(
    real_sessions: list[TrainingSession],
) -> None:
    rows = [example(session.session).case.whole for session in real_sessions]
    first = fit_clusters(rows, seed=42)
    numbers = np.array(first.predict(rows))
    shares = np.bincount(numbers, minlength=len(NAMES)) / len(rows)
    assert shares == pytest.approx([0.067, 0.42, 0.27, 0.24], abs=0.01)
    for seed, sessions in ((1, rows), (2, rows[::2]), (3, rows[: len(rows) // 2])):
        again = np.array(fit_clusters(sessions, seed).predict(rows))
        assert (numbers == again).mean() > 0.95


def test_the_clusters_in_use_are_those_of_k_four_whatever_is_best(shop: list[TrainingSession]) -> None:
    rows = [example(visit.session).case.whole for visit in shop]
    choice = choose_clusters(rows, seed=42)
    assert [one.k for one in choice.by_k] == list(CANDIDATES)
    assert choice.clusters.predict(rows) == fit_clusters(rows, seed=42).predict(rows)
    inertias = [one.inertia for one in choice.by_k]
    assert inertias == sorted(inertias, reverse=True)


def test_names_that_survived_match_themselves() -> None:
    here = [0] * 10 + [1] * 20 + [2] * 30 + [3] * 40
    matching = match(here, [*here[:-5], 2, 2, 2, 2, 2], "20240101T000000Z-00000000")
    assert matching.optimal == {name: name for name in NAMES}
    assert matching.same_name == 0.95
    assert 0.8 < matching.agreement < 1


def test_names_that_changed_places_are_found_by_matching() -> None:
    here = [0] * 10 + [1] * 20 + [2] * 30 + [3] * 40
    matching = match(here, [{2: 3, 3: 2}.get(number, number) for number in here], "20240101T000000Z-00000000")
    assert matching.optimal["short_premium"] == "short_budget"
    assert matching.optimal["short_budget"] == "short_premium"
    assert matching.agreement == 1
    assert matching.same_name == 0.3
