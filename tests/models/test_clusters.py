"""Clusters whose numbers and names survive a refit."""

from __future__ import annotations

import numpy as np
import pytest

from clickstream.models.clusters import NAMES, canonical_order, fit_clusters
from clickstream.models.matrix import CLUSTERED
from clickstream.models.training import TrainingSession, example


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
    rows = [example(session.session).case.reference for session in real_sessions]
    first = fit_clusters(rows, seed=42)
    numbers = np.array(first.predict(rows))
    shares = np.bincount(numbers, minlength=len(NAMES)) / len(rows)
    assert shares == pytest.approx([0.067, 0.42, 0.27, 0.24], abs=0.01)
    for seed, sessions in ((1, rows), (2, rows[::2]), (3, rows[: len(rows) // 2])):
        again = np.array(fit_clusters(sessions, seed).predict(rows))
        assert (numbers == again).mean() > 0.95
