"""The honest half of a training: `batch` and `online`, which never see the click that decides."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from clickstream.features.session import SessionStep
from clickstream.features.shop import UCI553
from clickstream.models.batch import BatchModels, BatchParameters, calibrate, fit_batch
from clickstream.models.case import Example, Floats
from clickstream.models.clusters import NAMES, Clusters
from clickstream.models.examples import (
    Evidence,
    FollowedProduct,
    SplitParts,
    TrainingSession,
    followed_by,
    gather,
)
from clickstream.models.figures import Figures, cluster_agreement
from clickstream.models.inputs import Vocabulary
from clickstream.models.online import BaseRates, globals_of
from clickstream.models.uci_online import UciOnlineModels
from clickstream.records.scorers import ScorerName
from clickstream.training.bootstrap import estimates, weighted_agreement
from clickstream.training.evaluate import Assessment, Forecasts, as_answered, assess, reliability_bins
from clickstream.training.findings import EMPTY, together
from clickstream.training.importance import permutation_importances

SHUFFLES = 8
"""Trainings on shuffled deciding clicks. The AUC of one scatters by 0.008 on 5,585 sessions."""


def fit_on_prefix(
    evidence: Evidence, vocabulary: Vocabulary, seed: int, parameters: BatchParameters
) -> BatchModels:
    """Fit the batch models, and calibrate them where that helps."""
    return calibrate(fit_batch(evidence, vocabulary, seed, parameters), evidence, vocabulary, seed)


def evaluate_answers(
    scorer: ScorerName, answers: tuple[Floats, Floats], held: Evidence, seed: int
) -> Assessment:
    """Evaluate what fitted models answer to sessions that they have not seen.

    Args:
        answers: probability of conversion and expected revenue of each row of `held`, both of shape (n,).
    """
    return assess(scorer, _forecasts(held, *as_answered(*answers)), seed)


def evaluate_batch(models: BatchModels, held: Evidence, seed: int) -> Assessment:
    """Evaluate the batch models on sessions that they have not seen, with what their inputs are worth."""
    matrix = models.matrix(held.rows)
    found = evaluate_answers("batch", (models.conversion(matrix), models.revenue(matrix)), held, seed)
    curves = {}
    if models.calibrated:
        curves["batch, uncalibrated"] = reliability_bins(held.converted, models.uncalibrated(matrix))
    more = EMPTY.model_copy(
        update={
            "reliability": curves,
            "importances": {
                "batch conversion": permutation_importances(
                    "auc", models.conversion, matrix, held.converted, models.inputs, seed
                ),
                "batch revenue": permutation_importances(
                    "r2", models.revenue, matrix, held.revenue, models.inputs, seed
                ),
            },
        }
    )
    return found._replace(findings=together(found.findings, more))


def warm_start(
    examples: Sequence[Example], vocabulary: Vocabulary, clusters: Clusters, rates: BaseRates
) -> bytes:
    """Teach online models `examples`, in that order, and return their payload."""
    models = UciOnlineModels("", vocabulary, clusters, rates)
    for one in examples:
        models.learn(one.case, one.outcome)
    models.end_lesson()
    return models.payload()


def evaluate_online(
    warm: bytes,
    clusters: Clusters,
    held: Sequence[Example],
    vocabulary: Vocabulary,
    rates: BaseRates,
    seed: int,
) -> Assessment:
    """Progressive validation (Blum et al. 1999): each session is predicted before it is learned.

    Conversion and revenue count sessions that have evidence; `ari` compares all with the batch clusters.
    """
    models = UciOnlineModels("", vocabulary, clusters, rates, globals_of(warm), warm)
    predictions = []
    for one in held:
        predictions.append(models.predict(one.case))
        models.learn(one.case, one.outcome)
    evident = [place for place, one in enumerate(held) if one.case.evidence is not None]
    forecasts = _forecasts(
        gather(held, [[] for _ in held]),
        np.array([predictions[place].conversion for place in evident]),
        np.array([predictions[place].revenue for place in evident]),
    )
    ours = [answer.cluster for answer in predictions]
    theirs = clusters.predict([one.case.whole for one in held])
    agreement: Figures = {"cluster_n": len(held), "ari": cluster_agreement(ours, theirs)}
    figures_of = weighted_agreement(np.array(ours), np.array(theirs), len(NAMES))
    figures, findings = assess("online", forecasts, seed)
    agreed = estimates(len(held), figures_of, agreement, seed)
    reported = {"online": {**findings.figures["online"], **agreed}}
    return Assessment({**figures, **agreement}, findings.model_copy(update={"figures": reported}))


def shuffled_figures(
    sessions: Sequence[TrainingSession],
    pairs: Sequence[list[FollowedProduct]],
    parts: SplitParts,
    vocabulary: Vocabulary,
    seed: int,
    parameters: BatchParameters,
) -> dict[str, float]:
    """Mean `auc` and `r2` of the batch models when every session is decided by the last click of another.

    What was there to be learned is then gone, so better than chance means that a model sees what it is to
    predict.

    Args:
        sessions: all of them; `parts` are places in them.
        pairs: the neighbouring clicks of each.
    """
    found = []
    for number in range(SHUFFLES):
        deciding = _shuffled_last_clicks(sessions, seed + number)
        train, held = (
            _evidence_decided_by(deciding, sessions, pairs, [place for place in part if place in deciding])
            for part in parts
        )
        models = fit_batch(train, vocabulary, seed + number, parameters)
        figures = _forecasts(held, *models.predict(held.rows)).figures()
        found.append((figures["auc"], figures["r2"]))
    auc, r2 = np.mean(found, axis=0).tolist()
    return {"auc": auc, "r2": r2}


def _shuffled_last_clicks(sessions: Sequence[TrainingSession], seed: int) -> dict[int, SessionStep]:
    """For each session of two clicks or more, by its place, the last click of another."""
    longer = [place for place, one in enumerate(sessions) if one.session.clicks > 1]
    donors = list(longer)
    random.Random(seed).shuffle(donors)
    return {place: sessions[donor].session.last for place, donor in zip(longer, donors, strict=True)}


def _evidence_decided_by(
    deciding: Mapping[int, SessionStep],
    sessions: Sequence[TrainingSession],
    pairs: Sequence[list[FollowedProduct]],
    places: Sequence[int],
) -> Evidence:
    found = Evidence([], [], [])
    for place in places:
        session = msgspec.structs.replace(sessions[place].session, last=deciding[place])
        row, outcome = UCI553.evidence(session), UCI553.outcome(session)
        if row is not None:
            found.rows.append(row)
            found.outcomes.append(outcome)
            found.followed.append([*pairs[place][:-1], followed_by(row["last_product"], outcome)])
    return found


def _forecasts(held: Evidence, conversion: Floats, revenue: Floats) -> Forecasts:
    seen = np.array([row["session_length"] for row in held.rows], dtype=np.intp)
    return Forecasts(held.converted, conversion, seen, held.revenue, revenue, seen)
