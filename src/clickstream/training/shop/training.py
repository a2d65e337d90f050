"""Fit the models of any shop, and evaluate them on the last sessions, which they have not seen."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from clickstream.bundles.manifest import (
    BaseRatesEntry,
    ClusterEntry,
    Contents,
    DataSource,
    ShopEntry,
    SplitEntry,
)
from clickstream.features.definition import ShopDefinition
from clickstream.features.goal import Course
from clickstream.features.words import goal_in_words
from clickstream.infra.days import day_of
from clickstream.infra.errors import InputError
from clickstream.models.case import Floats
from clickstream.models.evaluation import ClusterProfile, Estimate
from clickstream.models.online import BaseRates, globals_of
from clickstream.models.shop.clusters import ShopChoice, choose_shop_clusters
from clickstream.models.shop.evaluation import OneFeature, ShopEvaluation, SplitPart
from clickstream.models.shop.examples import FeatureTable, ShopWindow
from clickstream.models.shop.inputs import learn_inputs
from clickstream.models.shop.online import ShopOnline
from clickstream.training.evaluate import roc_points
from clickstream.training.shop.controls import one_feature, shuffled_auc
from clickstream.training.shop.evaluation import (
    SEEN,
    importances_of,
    point_figures,
    point_revenue_figures,
    points_by_seen,
    reliability_of,
)
from clickstream.training.shop.fit import fit_best
from clickstream.training.shop.online import progress, shop_warm_start
from clickstream.training.shop.points import Points, courses, points_of, whole_of
from clickstream.training.writing import FittedShop

TRAIN_SHARE = 0.7
"""Share of the sessions to train on, the first by the time at which they open."""

FEWEST_OF_A_KIND = 20
"""Sessions that convert, and sessions that do not, which each part must have."""

FEW = 200
"""Sessions of a kind below which a note says that the figures are uncertain."""

ShopStepReport = Callable[[str], None]


class _Split(NamedTuple):
    train: list[ShopWindow]
    held: list[ShopWindow]
    train_courses: list[Course]
    held_courses: list[Course]


def train_shop(
    definition: ShopDefinition,
    windows: Sequence[ShopWindow],
    *,
    data_sha256: str,
    data_name: str,
    seed: int = 42,
    step: ShopStepReport = lambda _: None,
) -> FittedShop:
    """Fit and evaluate the models of a shop.

    The same windows and seed give models that predict the same, bit for bit. What is chosen is chosen by
    cross-validation on the first 70 % of the windows; the rest is looked at once, for the evaluation.

    Args:
        windows: by the time at which they open, then by session id.

    Raises:
        InputError: there are too few sessions, or nearly all or none of them convert.
    """
    split = _split(definition, windows)
    # One thread: with more, sums come in any order and the last bits of a model differ from run to run.
    with threadpool_limits(limits=1):
        step(f"features of {len(windows):,} sessions at their decision points")
        points = points_of(definition, split.train).weighing()
        held = points_of(definition, split.held, also=SEEN)
        step("clusters: k-means for k from 2 to 8")
        whole = whole_of(definition, windows)
        choice = choose_shop_clusters(definition, whole.at(np.arange(len(split.train))), seed)
        inputs = learn_inputs(points.table, _spending(definition, split.train_courses))
        rates = _rates(definition, split.train_courses)
        step("batch: texts and sizes of trees, by cross-validation")
        chosen = fit_best(definition, inputs, points, seed)
        step("batch: the same with futures of other sessions")
        chance = shuffled_auc(definition, list(windows), chosen.plan, seed)
        step("online: River, lesson by lesson in time order")
        warm = shop_warm_start(definition, split.train, inputs, choice.clusters, rates)
        models = ShopOnline("", inputs, choice.clusters, rates, globals_of(warm), warm)
        predicted = progress(definition, models, split.held, held)
        step("figures on the last sessions, with intervals")
        conversion, revenue = chosen.models.answer(held.table)
        alone = one_feature(inputs, points, held, seed)
        profiles = _profiles(choice, whole, [*split.train_courses, *split.held_courses])
        evaluation = ShopEvaluation(
            shop=definition.name,
            goal=goal_in_words(definition),
            currency=definition.currency,
            train=_part(points, split.train_courses),
            held_out=_part(held.weighing(), split.held_courses),
            figures={
                "batch": _figures(held, conversion, revenue, seed),
                "online": _figures(held, predicted.conversion, predicted.revenue, seed),
            },
            base_rate=point_figures(held, np.full(len(held), _base_rate(points)), seed),
            one_feature=OneFeature(
                feature=alone.feature, figures=point_figures(held, alone.conversion, seed)
            ),
            by_seen=[
                *points_by_seen("batch", held, conversion, seed),
                *points_by_seen("online", held, predicted.conversion, seed),
            ],
            roc={
                scorer: roc_points(held.converted, forecast, held.weight)
                for scorer, forecast in (("batch", conversion), ("online", predicted.conversion))
            },
            importances=importances_of(chosen.models, held, seed),
            reliability={
                "batch": reliability_of(held, conversion),
                "online": reliability_of(held, predicted.conversion),
            },
            shuffled=chance,
            trials=chosen.trials,
            choice_of_k=choice.by_k,
            clusters=profiles,
            notes=_notes(split),
        )
    contents = Contents(
        shop=ShopEntry(name=definition.name, hash=definition.hash),
        data=DataSource(name=data_name, sha256=data_sha256, sessions=len(windows)),
        split=SplitEntry(
            kind="time",
            held_out_from=_day(split.held[0]),
            train_sessions=len(split.train),
            held_out_sessions=len(split.held),
        ),
        seed=seed,
        label_source="proxy" if definition.goal.last_click else "goal",
        base_rates=BaseRatesEntry(**rates._asdict()),
        clusters=[
            ClusterEntry(number=one.number, name=one.name, sessions=one.sessions, share=one.share)
            for one in profiles
        ],
        figures={
            scorer: {name: estimate.value for name, estimate in of.items()}
            for scorer, of in evaluation.figures.items()
        },
        online_classes=globals_of(warm),
    )
    return FittedShop(contents, definition, inputs, choice.clusters, chosen.models, warm, evaluation)


def _split(definition: ShopDefinition, windows: Sequence[ShopWindow]) -> _Split:
    cut = round(TRAIN_SHARE * len(windows))
    parts = list(windows[:cut]), list(windows[cut:])
    found = [courses(definition, part) for part in parts]
    for name, of in zip(("first 70 %", "last 30 %"), found, strict=True):
        known = [course.converted for course in of if course.points]
        if min(sum(known), len(known) - sum(known)) < FEWEST_OF_A_KIND:
            raise InputError(
                f"of the {name} of the sessions, {len(known):,} can be predicted, and {sum(known):,} of them"
                f" meet the goal ({goal_in_words(definition)}); {FEWEST_OF_A_KIND} that do and as many that"
                " do not are needed",
                "Give a longer log; or see with `clickstream shop check --data` whether the goal is what you"
                " mean.",
            )
    return _Split(*parts, *found)


def _spending(definition: ShopDefinition, found: Sequence[Course]) -> float | None:
    if definition.goal.value is None:
        return None
    return float(np.mean([course.revenue or 0.0 for course in found if course.converted]))


def _rates(definition: ShopDefinition, found: Sequence[Course]) -> BaseRates:
    conversion = sum(course.converted for course in found) / len(found)
    if definition.goal.value is None:
        return BaseRates(conversion, None)
    return BaseRates(conversion, sum(course.revenue or 0.0 for course in found) / len(found))


def _base_rate(points: Points) -> float:
    return float(np.average(points.converted, weights=points.weight))


def _figures(held: Points, conversion: Floats, revenue: Floats | None, seed: int) -> dict[str, Estimate]:
    figures = point_figures(held, conversion, seed)
    return figures if revenue is None else figures | point_revenue_figures(held, revenue, seed)


def _part(points: Points, found: Sequence[Course]) -> SplitPart:
    return SplitPart(
        sessions=len(found),
        converted=sum(course.converted for course in found),
        points=len(points),
        without_evidence=sum(not course.points for course in found),
    )


def _profiles(choice: ShopChoice, whole: FeatureTable, found: Sequence[Course]) -> list[ClusterProfile]:
    clusters = choice.clusters
    assigned = clusters.assign(clusters.standardise(whole))
    converted = np.array([course.converted for course in found], dtype=np.float64)
    revenue = np.array([course.revenue or 0.0 for course in found])
    centres = clusters.centres * clusters.scale + clusters.mean

    def mean(of: Floats, inside: np.ndarray) -> float:
        return float(of[inside].mean()) if inside.any() else 0.0

    return [
        ClusterProfile(
            number=number,
            name=name,
            sessions=int(inside.sum()),
            share=float(inside.mean()),
            centre=dict(zip(clusters.features, centres[number].tolist(), strict=True)),
            converted=mean(converted, inside),
            revenue=mean(revenue, inside),
        )
        for number, name in enumerate(clusters.names)
        for inside in (assigned == number,)
    ]


def _notes(split: _Split) -> list[str]:
    notes = []
    for name, found in (("to train on", split.train_courses), ("to judge by", split.held_courses)):
        converted = sum(course.converted for course in found)
        for kind, count in (("meet", converted), ("do not meet", len(found) - converted)):
            if count < FEW:
                notes.append(
                    f"few examples: {count} sessions {name} {kind} the goal; with fewer than {FEW} all"
                    " figures are uncertain, see their intervals"
                )
    missed = sum(not course.points for course in (*split.train_courses, *split.held_courses))
    if missed:
        notes.append(f"{missed:,} sessions leave nothing to foretell: their first click decides the goal")
    return notes


def _day(window: ShopWindow) -> datetime.date:
    return day_of(window.opened_at)
