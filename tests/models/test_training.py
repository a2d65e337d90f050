"""Training: what it promises of figures, of leaks, and of repetition."""

from __future__ import annotations

import random
from dataclasses import dataclass

import msgspec
import pytest
from sklearn.metrics import roc_auc_score

from clickstream.infra.errors import InputError
from clickstream.models.bundle import Bundle, Fitted
from clickstream.models.case import Example
from clickstream.models.figures import Figures
from clickstream.models.split import held_out
from clickstream.models.training import (
    Parts,
    TrainingSession,
    batch_figures,
    divide,
    example,
    fit_on_prefix,
    train,
    vocabulary_of,
)
from models.shop import visits


def parts_by_time(sessions: list[TrainingSession]) -> Parts:
    examples = [example(session.session) for session in sessions]
    return divide(examples, held_out([session.day for session in sessions], "time", 42))


def figures_of_batch(sessions: list[TrainingSession]) -> Figures:
    parts = parts_by_time(sessions)
    return batch_figures(fit_on_prefix(parts.train, vocabulary_of(parts.train), 42), parts.held_out)


def with_last_clicks_shuffled(sessions: list[TrainingSession]) -> list[TrainingSession]:
    """Every session decided by the last click of another."""
    longer = [session for session in sessions if session.session.clicks > 1]
    lasts = [session.session.last for session in longer]
    random.Random(1).shuffle(lasts)
    return [
        session._replace(session=msgspec.structs.replace(session.session, last=last))
        for session, last in zip(longer, lasts, strict=True)
    ]


def test_nothing_of_the_deciding_click_leaks_into_the_honest_set(
    real_sessions: list[TrainingSession],
) -> None:
    figures = figures_of_batch(with_last_clicks_shuffled(real_sessions))
    assert 0.47 < figures["auc"] < 0.53
    assert abs(figures["r2"]) < 0.02


def test_the_honest_figures_are_reached_on_july_and_august(real_sessions: list[TrainingSession]) -> None:
    figures = figures_of_batch(real_sessions)
    assert figures["conversion_n"] == 5_585
    assert figures["auc"] >= 0.622
    assert figures["r2"] >= 0.098
    assert figures["brier"] < 0.230
    assert figures["ece"] < 0.035


def test_the_same_seed_gives_the_same_predictions(
    bundle: Bundle, fitted: Fitted, shop: list[TrainingSession], examples: list[Example]
) -> None:
    again = train(shop, data_sha256="0" * 64, data_name="made-up shop")
    rows = [one.case.prefix for one in examples if one.case.prefix is not None]
    whole = [one.case.reference for one in examples]
    answers = bundle.predict([one.case for one in examples])
    honest = [answer["batch"] for answer, one in zip(answers, examples, strict=True) if one.case.prefix]
    conversion, revenue = again.batch.predict(rows)
    assert [answer.conversion for answer in honest] == [round(value, 10) for value in conversion.tolist()]
    assert [answer.revenue for answer in honest] == [round(value, 10) for value in revenue.tolist()]
    conversion, revenue = again.reference.predict(whole)
    assert [answer["reference"].conversion for answer in answers] == [
        round(value, 10) for value in conversion.tolist()
    ]
    assert [answer["reference"].revenue for answer in answers] == [
        round(value, 10) for value in revenue.tolist()
    ]
    assert [answer["batch"].cluster for answer in answers] == again.clusters.predict(whole)
    assert again.online == fitted.online
    assert again.contents == fitted.contents


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


def test_the_warm_start_has_seen_the_training_part_only(fitted: Fitted, shop: list[TrainingSession]) -> None:
    """Training without the held-out sessions' outcomes gives the same warm start."""
    first_held_out = fitted.contents.split.held_out_from
    assert first_held_out is not None
    donor = next(session.session.last for session in shop if session.session.last.price > 60)
    changed = [
        session._replace(session=msgspec.structs.replace(session.session, last=donor))
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


def test_the_published_rule_is_recovered(fitted: Fitted, examples: list[Example]) -> None:
    conversion, _ = fitted.reference.predict([one.case.reference for one in examples])
    assert roc_auc_score([one.outcome.converted for one in examples], conversion) > 0.99
