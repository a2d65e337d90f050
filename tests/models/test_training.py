"""Training: what it promises of figures, of leaks, and of repetition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import pytest
from sklearn.metrics import roc_auc_score

from clickstream.bundles.bundle import Bundle
from clickstream.infra.errors import InputError
from clickstream.models.case import Example
from clickstream.models.clusters import NAMES
from clickstream.models.evaluation import Evaluation
from clickstream.records.scorers import SCORERS
from clickstream.training.training import TrainingSession, train
from clickstream.training.writing import FittedBundle
from models.shop import visits


def told(fitted: FittedBundle) -> Evaluation:
    assert fitted.evaluation is not None
    return fitted.evaluation


def test_nothing_of_the_deciding_click_leaks_into_the_honest_set(real_fitted: FittedBundle) -> None:
    """Deciding clicks shuffled between sessions leave nothing to foretell."""
    shuffled = told(real_fitted).shuffled
    assert 0.49 < shuffled["auc"] < 0.51
    assert abs(shuffled["r2"]) < 0.01


def test_the_honest_figures_are_reached_on_july_and_august(real_fitted: FittedBundle) -> None:
    figures = real_fitted.contents.figures["batch"]
    assert figures["conversion_n"] == 5_585
    assert figures["auc"] >= 0.625
    assert figures["r2"] >= 0.103
    assert figures["brier"] < 0.229
    assert figures["ece"] < 0.030


def test_the_published_figures_are_reproduced(real_fitted: FittedBundle) -> None:
    measured = {(one.model, one.inputs, one.figure): one.measured for one in told(real_fitted).published}
    assert measured["random forest", "all", "auc"] >= 0.9995
    assert measured["gradient boosting", "all", "r2"] == pytest.approx(0.58, abs=0.005)
    blank: Literal["category columns blank"] = "category columns blank"
    assert 0.985 < measured["random forest", blank, "auc"] < 0.9975
    assert 0.45 < measured["gradient boosting", blank, "r2"] < 0.475
    assert measured["k-means", "all", "k"] == 4
    assert measured["k-means", "all", "silhouette"] == pytest.approx(0.251, abs=0.002)
    assert measured["k-means", "all", "davies_bouldin"] == pytest.approx(1.343, abs=0.005)


def test_four_clusters_are_best_on_both_measures(real_fitted: FittedBundle) -> None:
    by_k = told(real_fitted).choice_of_k
    assert [choice.k for choice in by_k] == [2, 3, 4, 5, 6, 7, 8]
    assert max(by_k, key=lambda choice: choice.silhouette).k == 4
    assert min(by_k, key=lambda choice: choice.davies_bouldin).k == 4


def test_every_part_of_the_evaluation_is_filled(fitted: FittedBundle) -> None:
    evaluation = told(fitted)
    assert set(evaluation.figures) == {*SCORERS, "clusters"}
    for scorer in SCORERS:
        assert {"auc", "brier", "ece", "log_loss", "precision", "recall", "f1", "r2", "mae", "rmse"} <= set(
            evaluation.figures[scorer]
        )
        assert scorer in evaluation.roc
        assert scorer in evaluation.reliability
        assert scorer in evaluation.revenue
        assert scorer in {one.scorer for one in evaluation.by_seen}
    assert {"silhouette", "davies_bouldin"} == set(evaluation.figures["clusters"])
    assert {name.split()[1] for name in evaluation.importances} == {"conversion", "revenue"}
    assert [one.name for one in evaluation.clusters] == list(NAMES)
    assert sum(one.sessions for one in evaluation.clusters) == fitted.contents.data.sessions
    assert evaluation.matching is None
    assert evaluation.trials == []


def test_every_interval_holds_its_value(fitted: FittedBundle) -> None:
    for scorer, figures in told(fitted).figures.items():
        for name, estimate in figures.items():
            assert estimate.low <= estimate.value <= estimate.high
            assert estimate.value == fitted.contents.figures[scorer][name]


def test_the_same_seed_gives_the_same_predictions_on_any_number_of_cores(
    bundle: Bundle, fitted: FittedBundle, shop: list[TrainingSession], examples: list[Example]
) -> None:
    again = train(shop, data_sha256="0" * 64, data_name="made-up shop", workers=1)
    rows = [one.case.evidence for one in examples if one.case.evidence is not None]
    whole = [one.case.whole for one in examples]
    answers = bundle.predict([one.case for one in examples])
    honest = [answer["batch"] for answer, one in zip(answers, examples, strict=True) if one.case.evidence]
    conversion, revenue = again.fitted["batch"].predict(rows)
    assert revenue is not None
    assert [answer.conversion for answer in honest] == [round(value, 10) for value in conversion.tolist()]
    assert [answer.revenue for answer in honest] == [round(value, 10) for value in revenue.tolist()]
    conversion, revenue = again.fitted["reference"].predict(whole)
    assert revenue is not None
    assert [answer["reference"].conversion for answer in answers] == [
        round(value, 10) for value in conversion.tolist()
    ]
    assert [answer["reference"].revenue for answer in answers] == [
        round(value, 10) for value in revenue.tolist()
    ]
    assert [answer["batch"].cluster for answer in answers] == again.clusters.predict(whole)
    assert again.online == fitted.online
    assert again.contents == fitted.contents
    assert again.evaluation == fitted.evaluation


def test_the_manifest_tells_where_the_bundle_comes_from(bundle: Bundle, shop: list[TrainingSession]) -> None:
    manifest = bundle.manifest
    assert manifest.label_source == "proxy"
    assert (manifest.data.name, manifest.data.sessions, manifest.seed) == ("made-up shop", len(shop), 42)
    assert manifest.split.kind == "time"
    assert manifest.split.train_sessions + manifest.split.held_out_sessions == len(shop)
    assert sum(cluster.sessions for cluster in manifest.clusters) == len(shop)
    assert {"auc", "brier", "ece", "r2", "mae"} <= set(manifest.figures["batch"])
    assert {"auc", "r2", "ari"} <= set(manifest.figures["online"])
    assert {"auc", "r2"} <= set(manifest.figures["reference"])
    assert {"silhouette", "davies_bouldin"} <= set(manifest.figures["clusters"])


def test_the_warm_start_has_seen_the_training_part_only(
    fitted: FittedBundle, shop: list[TrainingSession]
) -> None:
    """Training without the held-out sessions' outcomes gives the same warm start."""
    first_held_out = fitted.contents.split.held_out_from
    assert first_held_out is not None
    donor = next(session.session.last for session in shop if session.session.last.price > 60)
    changed = [
        session._replace(session=msgspec.structs.replace(session.session, last=donor), steps=())
        if session.day >= first_held_out and number % 2
        else session
        for number, session in enumerate(shop)
    ]
    assert train(changed, data_sha256="0" * 64, data_name="changed").online == fitted.online


@dataclass(frozen=True)
class Refused:
    sessions: list[TrainingSession]
    why: str


@pytest.mark.parametrize(
    "refused",
    [
        Refused([], "0 sessions of 0 days"),
        Refused(visits(200), "sessions of two clicks"),
        Refused([session._replace(day=visits(1)[0].day) for session in visits(300)], "of 1 days"),
        Refused(
            [
                session._replace(
                    session=msgspec.structs.replace(
                        session.session, last=msgspec.structs.replace(session.session.last, page=5)
                    )
                )
                for session in visits(800)
            ],
            " that do and as many that do not",
        ),
    ],
    ids=["none", "few", "one day", "one kind"],
)
def test_sessions_that_cannot_be_learned_from_are_refused(refused: Refused) -> None:
    with pytest.raises(InputError, match=refused.why):
        train(refused.sessions, data_sha256="0" * 64, data_name="too little")


def test_the_published_rule_is_recovered(fitted: FittedBundle, examples: list[Example]) -> None:
    conversion, _ = fitted.fitted["reference"].predict([one.case.whole for one in examples])
    assert roc_auc_score([one.outcome.converted for one in examples], conversion) > 0.99
