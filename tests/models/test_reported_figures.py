"""The figures that a bundle tells of itself, computed again from the bundle and the data."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.metrics import (
    adjusted_rand_score,
    brier_score_loss,
    f1_score,
    log_loss,
    mean_absolute_error,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.model_selection import train_test_split

from clickstream.bundles.bundle import Bundle, ScorerOutput
from clickstream.models.case import Example
from clickstream.models.evaluation import EVALUATION, Evaluation
from clickstream.training.training import TrainingSession, example

Figures = dict[str, float]


def figures_of(
    converting: list[tuple[Example, ScorerOutput]], earning: list[tuple[Example, ScorerOutput]]
) -> Figures:
    """By scikit-learn, but for the calibration error, which it does not have."""
    truth = np.array([int(one.outcome.converted) for one, _ in converting])
    said = np.array([answer.conversion for _, answer in converting])
    revenue = [one.outcome.revenue for one, _ in earning]
    expected = [answer.revenue for _, answer in earning]
    apart = 0.0
    edges = [*(tenth / 10 for tenth in range(10)), np.inf]
    for low, high in pairwise(edges):
        inside = (said >= low) & (said < high)
        if inside.any():
            apart += inside.mean() * abs(truth[inside].mean() - said[inside].mean())
    return {
        "auc": roc_auc_score(truth, said),
        "brier": brier_score_loss(truth, said),
        "ece": apart,
        "log_loss": log_loss(truth, said),
        "precision": precision_score(truth, said > 0.5),
        "recall": recall_score(truth, said > 0.5),
        "f1": f1_score(truth, said > 0.5),
        "r2": r2_score(revenue, expected),
        "mae": mean_absolute_error(revenue, expected),
        "rmse": root_mean_squared_error(revenue, expected),
    }


class Trained(NamedTuple):
    """A bundle, and the sessions that it was trained and judged on, in time order."""

    bundle: Bundle
    sessions: list[TrainingSession]

    @property
    def examples(self) -> list[Example]:
        return [example(session.session) for session in self.sessions]

    @property
    def held_out(self) -> list[Example]:
        first = self.bundle.manifest.split.held_out_from
        assert first is not None
        return [example(session.session) for session in self.sessions if session.day >= first]


@pytest.fixture(scope="module", params=["made-up shop", "dataset"])
def trained(request: pytest.FixtureRequest) -> Trained:
    names = ("bundle", "shop") if request.param == "made-up shop" else ("real_bundle", "real_sessions")
    bundle, sessions = map(request.getfixturevalue, names)
    return Trained(bundle, sorted(sessions, key=lambda session: session.day))


@pytest.fixture(scope="module")
def recomputed(trained: Trained) -> dict[str, Figures]:
    bundle, examples, held_out = trained.bundle, trained.examples, trained.held_out
    batch = [(one, answer["batch"]) for one, answer in zip(held_out, answers(bundle, held_out), strict=True)]
    evident = [(one, answer) for one, answer in batch if one.case.evidence is not None]
    models = bundle.online()
    online = []
    for one in held_out:
        online.append((one, models.predict(one.case)))
        models.learn(one.case, one.outcome)
    learned = [(one, answer) for one, answer in online if one.case.evidence is not None]
    whole = [
        (one, answer["reference"]) for one, answer in zip(examples, answers(bundle, examples), strict=True)
    ]
    converted = [one.outcome.converted for one in examples]
    _, test = train_test_split(whole, test_size=0.2, stratify=converted, random_state=42)
    _, test_of_revenue = train_test_split(whole, test_size=0.2, random_state=42)
    agreement = adjusted_rand_score(
        [answer.cluster for _, answer in batch], [answer.cluster for _, answer in online]
    )
    return {
        "batch": figures_of(evident, evident),
        "online": {**figures_of(learned, learned), "ari": agreement},
        "reference": figures_of(test, test_of_revenue),
    }


def answers(bundle: Bundle, examples: list[Example]) -> list[dict[str, ScorerOutput]]:
    return bundle.predict([one.case for one in examples])


@pytest.mark.parametrize("scorer", ["batch", "online", "reference"])
def test_the_figures_of_a_scorer_are_those_of_its_predictions(
    scorer: str, trained: Trained, recomputed: dict[str, Figures]
) -> None:
    bundle = trained.bundle
    evaluation = Evaluation.model_validate_json((bundle.path / EVALUATION).read_bytes())
    reported = {name: estimate.value for name, estimate in evaluation.figures[scorer].items()}
    assert reported == pytest.approx(recomputed[scorer], abs=1e-9)
    manifest = bundle.manifest.figures[scorer]
    assert {name: manifest[name] for name in reported} == pytest.approx(recomputed[scorer], abs=1e-9)
