"""Fit the scorers of a bundle, and evaluate each on sessions that it has not seen.

`batch` and `online` learn from the training part of the split and are tested on the rest. `reference` keeps
the published protocol, 80 to 20 at random over all sessions, because its figures are there to be compared
with the published ones. The clusters are fitted on the training part; they predict nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from joblib import cpu_count
from threadpoolctl import threadpool_limits

from clickstream.bundles.manifest import BaseRatesEntry, ClusterEntry, Contents, DataSource, SplitEntry
from clickstream.infra.errors import UsageError
from clickstream.models.case import Example
from clickstream.models.clusters import NAMES, Clusters, choose_clusters, match
from clickstream.models.evaluation import Evaluation
from clickstream.models.examples import (
    Evidence,
    FollowedProduct,
    SplitParts,
    TrainingSession,
    base_rates,
    divide,
    example,
    followed_products,
    gather,
)
from clickstream.models.figures import Figures, cluster_figures, silhouettes
from clickstream.models.inputs import Vocabulary, learn_vocabulary
from clickstream.models.matrix import CATEGORICAL, CLUSTERED, PUBLISHED
from clickstream.models.online import BaseRates, globals_of
from clickstream.models.scorers import HONEST, FittedModels
from clickstream.training.bootstrap import estimates, weighted_clusters
from clickstream.training.evaluate import profiles
from clickstream.training.findings import EMPTY, of_scorers, together
from clickstream.training.honest import (
    evaluate_batch,
    evaluate_online,
    fit_on_prefix,
    shuffled_figures,
    warm_start,
)
from clickstream.training.previous import PreviousBundle
from clickstream.training.published import protocol, published_clusters, reproduce
from clickstream.training.search import (
    SearchResult,
    best_batch,
    best_reference,
    honest_grids,
    published_grids,
    search,
)
from clickstream.training.split import SplitKind, first_day_held_out, held_out
from clickstream.training.writing import FittedBundle

__all__ = ["SetChoice", "TrainingProgress", "TrainingSession", "example", "train", "vocabulary_of"]

SetChoice = Literal["prefix", "reference", "both"]


@dataclass(frozen=True)
class TrainingProgress:
    """Functions that are called with how far a training is.

    Attributes:
        step: called with a line of text when a step begins.
        fits: called with the fits of a grid that are done, and those to do in all.
    """

    step: Callable[[str], None] = lambda _: None
    fits: Callable[[int, int], None] = lambda _done, _total: None


class TrainingGround(NamedTuple):
    """What every part of a training starts from: the sessions in time order, and how they are divided.

    Attributes:
        examples, pairs: beside `sessions`: what the models see, and the neighbouring clicks.
        train, held: the examples of both parts.
        evident, evident_held: those of them with evidence.
    """

    sessions: list[TrainingSession]
    examples: list[Example]
    pairs: list[list[FollowedProduct]]
    parts: SplitParts
    train: list[Example]
    held: list[Example]
    evident: Evidence
    evident_held: Evidence
    vocabulary: Vocabulary
    rates: BaseRates
    seed: int


class EvidenceModels(NamedTuple):
    """Those that never see the deciding click: the fitted ones by name, the warm start of `online`."""

    fitted: Mapping[str, FittedModels]
    online: bytes
    figures: dict[str, Figures]
    findings: Evaluation


class PublicModels(NamedTuple):
    """The fitted models of `reference`, the published ones, and their evaluation."""

    models: FittedModels
    figures: dict[str, Figures]
    findings: Evaluation


class BehaviourClusters(NamedTuple):
    """The clusters, which all scorers share, and their evaluation."""

    clusters: Clusters
    entries: list[ClusterEntry]
    figures: dict[str, Figures]
    findings: Evaluation


def train(
    sessions: Sequence[TrainingSession],
    *,
    data_sha256: str,
    data_name: str,
    split: SplitKind = "time",
    seed: int = 42,
    sets: SetChoice = "both",
    grid: bool = False,
    previous: PreviousBundle | None = None,
    workers: int | None = None,
    progress: TrainingProgress | None = None,
) -> FittedBundle:
    """Fit and evaluate all models; `bundle.write` makes a bundle of the result.

    The same sessions and seed give models that predict the same, bit for bit, for any number of workers.

    Args:
        sessions: at least FEWEST sessions of two clicks in each part of the split. In time order, or those of
            a day in any order that is always the same.
        split: `time`, or `random` (80 to 20).
        seed: of the random split, k-means, the batch models, every fold and every draw. The published
            protocol has a seed of its own.
        sets: the models to fit; those of the other set are taken over from `previous`.
        grid: search the settings of the models first.
        previous: the bundle in use, to compare the clusters with.
        workers: processes; by default as many as there are cores.

    Raises:
        InputError: there are too few sessions, or only one kind of them, to fit and judge the models.
        UsageError: models cannot be taken over: there is no such bundle, or it was trained on other data.
    """
    progress = progress or TrainingProgress()
    if sets != "both":
        _check_taken_over(previous, data_sha256, split, seed)
    progress.step("features")
    ordered = sorted(sessions, key=lambda session: session.day)
    days = [session.day for session in ordered]
    ground = _ground(ordered, held_out(days, split, seed), seed)
    cores = workers or cpu_count()
    # One thread: with more, sums come in any order and the last bits of a model differ from run to run.
    with threadpool_limits(limits=1):
        progress.step("clusters: k-means for k from 2 to 8")
        behaviour = _behaviour(ground, previous)
        if sets == "reference" and previous is not None:
            honest = _honest_of(previous, ground)
        else:
            honest = _honest(ground, behaviour.clusters, grid, cores, progress)
        if sets == "prefix" and previous is not None:
            public = _public_of(previous, ground)
        else:
            public = _public(ground, grid, cores, progress)
    contents = Contents(
        data=DataSource(name=data_name, sha256=data_sha256, sessions=len(ordered)),
        split=SplitEntry(
            kind=split,
            held_out_from=first_day_held_out(days) if split == "time" else None,
            train_sessions=len(ground.train),
            held_out_sessions=len(ground.held),
        ),
        seed=seed,
        base_rates=BaseRatesEntry(**ground.rates._asdict()),
        clusters=behaviour.entries,
        figures={**honest.figures, **public.figures, **behaviour.figures},
        online_classes=globals_of(honest.online),
    )
    evaluation = together(honest.findings, public.findings, behaviour.findings)
    return FittedBundle(
        contents,
        ground.vocabulary,
        behaviour.clusters,
        {**honest.fitted, "reference": public.models},
        honest.online,
        evaluation,
    )


def vocabulary_of(examples: Sequence[Example]) -> Vocabulary:
    """Learn the vocabulary of these sessions: values and limits."""
    return learn_vocabulary(
        [one.case.whole for one in examples],
        categorical=CATEGORICAL,
        numeric=dict.fromkeys((*PUBLISHED, *CLUSTERED)),
        products=(one.case.evidence["last_product"] for one in examples if one.case.evidence is not None),
    )


def _ground(ordered: list[TrainingSession], held: Sequence[bool], seed: int) -> TrainingGround:
    examples = [example(one.session) for one in ordered]
    pairs = [followed_products(one) for one in ordered]
    parts = divide(examples, held)
    known, unseen = ([examples[place] for place in part] for part in parts)
    return TrainingGround(
        ordered,
        examples,
        pairs,
        parts,
        known,
        unseen,
        gather(known, [pairs[place] for place in parts.train]),
        gather(unseen, [pairs[place] for place in parts.held_out]),
        vocabulary_of(known),
        base_rates(known),
        seed,
    )


def _behaviour(ground: TrainingGround, previous: PreviousBundle | None) -> BehaviourClusters:
    rows = [one.case.whole for one in ground.examples]
    choice = choose_clusters([one.case.whole for one in ground.train], ground.seed)
    clusters = choice.clusters
    numbers = clusters.predict(rows)
    sizes = Counter(numbers)
    figures: Figures = {}
    intervals = {}
    # On held-out sessions, and, to be compared with the published work, on all.
    for suffix, part in (("", ground.held), ("_all", ground.examples)):
        standardised = clusters.standardise([one.case.whole for one in part])
        labels = clusters.assign(standardised)
        evaluated = cluster_figures(standardised, labels, ground.seed)
        figures |= {name + suffix: value for name, value in evaluated.items()}
        if not suffix and "silhouette" in evaluated:
            each = silhouettes(standardised, [labels], ground.seed)[0]
            intervals = estimates(
                len(part), weighted_clusters(standardised, labels, each), evaluated, ground.seed
            )
    findings = EMPTY.model_copy(
        update={
            "figures": {"clusters": intervals},
            "choice_of_k": choice.by_k,
            "clusters": profiles(clusters, ground.examples, numbers),
            "matching": None
            if previous is None
            else match(numbers, previous.clusters.predict(rows), previous.manifest.id),
            "published": published_clusters(ground.examples, choice.best),
        }
    )
    entries = [
        ClusterEntry(number=at, name=name, sessions=sizes[at], share=sizes[at] / len(rows))
        for at, name in enumerate(NAMES)
    ]
    return BehaviourClusters(clusters, entries, {"clusters": figures}, findings)


def _honest(
    ground: TrainingGround, clusters: Clusters, grid: bool, workers: int, progress: TrainingProgress
) -> EvidenceModels:
    seed, vocabulary = ground.seed, ground.vocabulary
    found = SearchResult({}, [])
    if grid:
        progress.step("batch: a grid of settings, by cross-validation")
        days = [
            ground.sessions[place].day
            for place in ground.parts.train
            if ground.examples[place].case.evidence is not None
        ]
        grids = honest_grids(ground.evident, days, vocabulary, seed)
        found = search(grids, seed, workers, progress.fits)
    parameters = best_batch(found)
    progress.step("batch: gradient boosting on all clicks but the last")
    batch = fit_on_prefix(ground.evident, vocabulary, seed, parameters)
    evaluated = {"batch": evaluate_batch(batch, ground.evident_held, seed)}
    progress.step("batch: the same with deciding clicks shuffled between sessions")
    chance = shuffled_figures(ground.sessions, ground.pairs, ground.parts, vocabulary, seed, parameters)
    progress.step("online: River, lesson by lesson in time order")
    warm = warm_start(ground.train, vocabulary, clusters, ground.rates)
    evaluated["online"] = evaluate_online(warm, clusters, ground.held, vocabulary, ground.rates, seed)
    findings = together(
        *(one.findings for one in evaluated.values()),
        EMPTY.model_copy(update={"shuffled": chance, "trials": found.trials}),
    )
    figures = {name: one.figures for name, one in evaluated.items()}
    return EvidenceModels({"batch": batch}, warm, figures, findings)


def _public(ground: TrainingGround, grid: bool, workers: int, progress: TrainingProgress) -> PublicModels:
    given = protocol(ground.examples, ground.vocabulary)
    found = SearchResult({}, [])
    if grid:
        progress.step("reference: the published grids, four folds")
        found = search(published_grids(given), ground.seed, workers, progress.fits)
    progress.step("reference: the published models, with and without categories")
    reproduced = reproduce(given, ground.vocabulary, best_reference(found), workers, ground.seed)
    return PublicModels(
        reproduced.models,
        {"reference": reproduced.figures},
        together(reproduced.findings, EMPTY.model_copy(update={"trials": found.trials})),
    )


def _check_taken_over(previous: PreviousBundle | None, sha256: str, split: str, seed: int) -> None:
    if previous is None:
        raise UsageError(
            "there is no bundle in use to take the models of the other set from",
            "Train both sets (--set both).",
        )
    previous.check_same_data(sha256, split, seed)


def _honest_of(previous: PreviousBundle, ground: TrainingGround) -> EvidenceModels:
    return EvidenceModels(
        previous.fitted(HONEST, ground.vocabulary),
        previous.online,
        {scorer: previous.manifest.figures[scorer] for scorer in HONEST},
        of_scorers(previous.evaluation or EMPTY, *HONEST),
    )


def _public_of(previous: PreviousBundle, ground: TrainingGround) -> PublicModels:
    return PublicModels(
        previous.fitted(("reference",), ground.vocabulary)["reference"],
        {"reference": previous.manifest.figures["reference"]},
        of_scorers(previous.evaluation or EMPTY, "reference"),
    )
