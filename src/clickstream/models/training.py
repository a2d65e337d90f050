"""Fit the three scorers of a bundle, and judge each on sessions that it has not seen.

`batch` and `online` learn from the training part of the split and are judged on the rest. `reference` keeps
the published protocol, 80 to 20 at random over all sessions, because its figures are there to be compared
with the published ones. The clusters are fitted on the training part; they predict nothing.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from clickstream.features import vector
from clickstream.features.outcome import Outcome, proxy_outcome
from clickstream.features.session import Session
from clickstream.features.vector import Features
from clickstream.infra.errors import InputError
from clickstream.models.batch import BatchModels, fit_batch
from clickstream.models.bundle import Fitted
from clickstream.models.case import Case, Example
from clickstream.models.clusters import NAMES, Clusters, fit_clusters
from clickstream.models.figures import (
    Figures,
    cluster_agreement,
    cluster_figures,
    conversion_figures,
    revenue_figures,
)
from clickstream.models.inputs import Vocabulary, learn_vocabulary
from clickstream.models.manifest import ClusterEntry, Contents, DataSource, Rates, SplitEntry
from clickstream.models.matrix import CATEGORICAL, CLUSTERED, PUBLISHED
from clickstream.models.online import BaseRates, OnlineModels, globals_of
from clickstream.models.reference import ReferenceModels, fit_conversion, fit_revenue
from clickstream.models.split import SplitKind, first_day_held_out, held_out

FEWEST = 100
"""Sessions with evidence that each part of the split must have."""

FEWEST_OF_A_KIND = 10
"""Of those, sessions that convert, and sessions that do not."""

PUBLISHED_TEST_SHARE = 0.2
PUBLISHED_SEED = 42


class TrainingSession(NamedTuple):
    """A closed session of the dataset and the day it took place."""

    session_id: str
    day: datetime.date
    session: Session


class Parts(NamedTuple):
    """Examples of both parts of a split, each in time order."""

    train: list[Example]
    held_out: list[Example]


def train(
    sessions: Sequence[TrainingSession],
    *,
    data_sha256: str,
    data_name: str,
    split: SplitKind = "time",
    seed: int = 42,
    progress: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Fit and judge all models; `bundle.write` makes a bundle of the result.

    The same sessions and seed give models that predict the same, bit for bit.

    Args:
        sessions: at least FEWEST sessions of two clicks in each part of the split.
        split: `time`, or `random` (80 to 20).
        seed: of the random split, k-means, the batch models and the folds of their encodings. The published
            protocol has a seed of its own.
        progress: called with a line of text when a step begins.

    Raises:
        InputError: there are too few sessions, or only one kind of them, to fit and judge the models.
    """
    progress("features")
    ordered = sorted(sessions, key=lambda session: session.day)
    examples = [example(session.session) for session in ordered]
    days = [session.day for session in ordered]
    parts = divide(examples, held_out(days, split, seed))
    # One thread: with more, sums come in any order and the last bits of a model differ from run to run.
    with threadpool_limits(limits=1):
        vocabulary = vocabulary_of(parts.train)
        progress("clusters: k-means")
        clusters = fit_clusters([part.case.reference for part in parts.train], seed)
        progress("batch: gradient boosting on all clicks but the last")
        batch = fit_on_prefix(parts.train, vocabulary, seed)
        progress("reference: the published random forest and gradient boosting")
        reference, reference_figures = published_protocol(examples, vocabulary)
        progress("online: River, session by session in time order")
        rates = base_rates(parts.train)
        warm = warm_start(parts.train, vocabulary, clusters, rates)
        progress("figures on held-out sessions")
        figures = {
            "batch": batch_figures(batch, parts.held_out),
            "online": progressive_figures(warm, clusters, parts.held_out, vocabulary, rates),
            "reference": reference_figures,
            "clusters": _judge_clusters(clusters, parts.held_out, examples, seed),
        }
        sizes = Counter(clusters.predict([part.case.reference for part in examples]))
    contents = Contents(
        data=DataSource(name=data_name, sha256=data_sha256, sessions=len(examples)),
        split=SplitEntry(
            kind=split,
            held_out_from=first_day_held_out(days) if split == "time" else None,
            train_sessions=len(parts.train),
            held_out_sessions=len(parts.held_out),
        ),
        seed=seed,
        base_rates=Rates(**rates._asdict()),
        clusters=[
            ClusterEntry(number=at, name=name, sessions=sizes[at], share=sizes[at] / len(examples))
            for at, name in enumerate(NAMES)
        ],
        figures=figures,
        online_classes=globals_of(warm),
    )
    return Fitted(contents, vocabulary, clusters, batch, reference, warm)


def example(session: Session) -> Example:
    """What the models see of a closed session, and the proxy of what became of it."""
    case = Case(vector.prefix(session), vector.reference(session))
    return Example(case, proxy_outcome(session.last))


def divide(examples: Sequence[Example], held: Sequence[bool]) -> Parts:
    """Both parts of a split.

    Raises:
        InputError: a part is too small, or nearly all of its sessions convert, or nearly none.
    """
    parts = Parts(
        [one for one, out in zip(examples, held, strict=True) if not out],
        [one for one, out in zip(examples, held, strict=True) if out],
    )
    for name, part in zip(("training", "held-out"), parts, strict=True):
        evident = [one.outcome.converted for one in part if one.case.prefix is not None]
        if len(evident) < FEWEST:
            raise InputError(
                f"the {name} part has {len(evident)} sessions of two clicks or more; {FEWEST} are needed",
                "Give more data.",
            )
        if min(sum(evident), len(evident) - sum(evident)) < FEWEST_OF_A_KIND:
            raise InputError(
                f"{sum(evident)} of {len(evident)} sessions in the {name} part convert;"
                f" {FEWEST_OF_A_KIND} that do and as many that do not are needed",
                "Check `price 2` and `page` of the data, or give more.",
            )
    return parts


def vocabulary_of(examples: Sequence[Example]) -> Vocabulary:
    """The values and limits seen in these sessions."""
    return learn_vocabulary(
        [one.case.reference for one in examples],
        categorical=CATEGORICAL,
        numeric=dict.fromkeys((*PUBLISHED, *CLUSTERED)),
        products=(one.case.prefix["last_product"] for one in examples if one.case.prefix is not None),
    )


def fit_on_prefix(examples: Sequence[Example], vocabulary: Vocabulary, seed: int) -> BatchModels:
    """The batch models, from the sessions that have evidence."""
    rows, outcomes = _evident(examples)
    return fit_batch(rows, outcomes, vocabulary, seed)


def batch_figures(batch: BatchModels, examples: Sequence[Example]) -> Figures:
    """Figures of the batch models on sessions that have evidence."""
    rows, outcomes = _evident(examples)
    conversion, revenue = batch.predict(rows)
    return {
        **conversion_figures([outcome.converted for outcome in outcomes], conversion),
        **revenue_figures([outcome.revenue for outcome in outcomes], revenue),
    }


def published_protocol(
    examples: Sequence[Example], vocabulary: Vocabulary
) -> tuple[ReferenceModels, Figures]:
    """The published models, fitted on 80 % and judged on 20 %, each with the published division."""
    rows = [one.case.reference for one in examples]
    outcomes = [one.outcome for one in examples]
    places = np.arange(len(examples))
    converted = [outcome.converted for outcome in outcomes]
    fit, test = _published_split(places, stratify=converted)
    forest = fit_conversion([rows[i] for i in fit], [outcomes[i] for i in fit], vocabulary, PUBLISHED_SEED)
    fit_price, test_price = _published_split(places, stratify=None)
    boosting = fit_revenue(
        [rows[i] for i in fit_price], [outcomes[i] for i in fit_price], vocabulary, PUBLISHED_SEED
    )
    models = ReferenceModels({"conversion": forest, "revenue": boosting}, vocabulary)
    conversion, _ = models.predict([rows[i] for i in test])
    _, revenue = models.predict([rows[i] for i in test_price])
    figures = {
        **conversion_figures([outcomes[i].converted for i in test], conversion),
        **revenue_figures([outcomes[i].revenue for i in test_price], revenue),
    }
    return models, figures


def base_rates(examples: Sequence[Example]) -> BaseRates:
    """What is answered where there is no evidence."""
    return BaseRates(
        sum(one.outcome.converted for one in examples) / len(examples),
        sum(one.outcome.revenue for one in examples) / len(examples),
    )


def warm_start(
    examples: Sequence[Example], vocabulary: Vocabulary, clusters: Clusters, rates: BaseRates
) -> bytes:
    """Payload of online models that have learned from `examples`, in that order."""
    models = OnlineModels("", vocabulary, clusters, rates)
    for one in examples:
        models.learn(one.case, one.outcome)
    return models.payload()


def progressive_figures(
    warm: bytes,
    clusters: Clusters,
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    rates: BaseRates,
) -> Figures:
    """Progressive validation (Blum et al. 1999): each session is predicted before it is learned.

    Conversion and revenue count sessions that have evidence; `ari` compares all with the batch clusters.
    """
    models = OnlineModels("", vocabulary, clusters, rates, globals_of(warm), warm)
    predictions = []
    for one in examples:
        predictions.append(models.predict(one.case))
        models.learn(one.case, one.outcome)
    evident = [
        (one.outcome, answer)
        for one, answer in zip(examples, predictions, strict=True)
        if one.case.prefix is not None
    ]
    return {
        **conversion_figures(
            [outcome.converted for outcome, _ in evident], [answer.conversion for _, answer in evident]
        ),
        **revenue_figures(
            [outcome.revenue for outcome, _ in evident], [answer.revenue for _, answer in evident]
        ),
        "cluster_n": len(examples),
        "ari": cluster_agreement(
            [answer.cluster for answer in predictions],
            clusters.predict([one.case.reference for one in examples]),
        ),
    }


def _judge_clusters(
    clusters: Clusters, held: Sequence[Example], examples: Sequence[Example], seed: int
) -> Figures:
    """On held-out sessions, and, to be compared with the published work, on all."""
    figures: Figures = {}
    for suffix, part in (("", held), ("_all", examples)):
        standardised = clusters.standardise([one.case.reference for one in part])
        judged = cluster_figures(standardised, clusters.assign(standardised), seed)
        figures |= {name + suffix: value for name, value in judged.items()}
    return figures


def _evident(examples: Sequence[Example]) -> tuple[list[Features], list[Outcome]]:
    rows, outcomes = [], []
    for one in examples:
        if one.case.prefix is not None:
            rows.append(one.case.prefix)
            outcomes.append(one.outcome)
    return rows, outcomes


def _published_split(
    places: np.typing.NDArray[np.intp], stratify: list[bool] | None
) -> tuple[list[int], list[int]]:
    fit, test = train_test_split(
        places, test_size=PUBLISHED_TEST_SHARE, stratify=stratify, random_state=PUBLISHED_SEED
    )
    return fit.tolist(), test.tolist()
