"""Settings of the models, chosen by cross-validation on the training sessions.

Jobs of one fit each are spread over processes, each on one thread, so every number is the same whatever the
count of workers. The published grids keep the published protocol: four folds of its training part, F1 for
the forest and RMSE for the boosting. The honest models are searched over folds of the training months, and
over later months predicted from earlier ones, as they will be used.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, parallel_config
from sklearn.metrics import f1_score, r2_score, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold

from clickstream.models import batch, reference
from clickstream.models.batch import BatchParameters, FoldIndices, Parameters, ValidationFold
from clickstream.models.evaluation import TuningTrial
from clickstream.models.examples import FEWEST, Evidence
from clickstream.models.inputs import Vocabulary
from clickstream.models.reference import ReferenceParameters, without_last_price
from clickstream.training.published import SEED, Protocol

SearchProgress = Callable[[int, int], None]
"""A function called with the number of fits that are done, and of those to do in all."""

PUBLISHED_FOLDS = 4
FOLDS = 5


def _grid(**values: Sequence[Any]) -> list[Parameters]:
    return [dict(zip(values, setting, strict=True)) for setting in product(*values.values())]


PUBLISHED_CLASSIFIERS = _grid(n_estimators=(100, 200), max_depth=(None, 10, 20))
PUBLISHED_REGRESSORS = _grid(n_estimators=(100, 200), learning_rate=(0.05, 0.1), max_depth=(2, 3))
CLASSIFIERS = _grid(max_iter=(60, 100, 150), max_leaf_nodes=(3, 4, 6), learning_rate=(0.03, 0.05, 0.1))
REGRESSORS = _grid(max_iter=(50, 80, 120), max_leaf_nodes=(3, 4, 6), learning_rate=(0.05, 0.1))


class Grid(NamedTuple):
    """Settings of one model, and the figure that they are compared by.

    The usual setting, which is in use without a search, is left for one whose gain is larger than twice
    its standard error over the folds: the best of many settings is always better by luck.

    Attributes:
        model: its name in the trials.
        figure: larger is better, but for `rmse`.
        usual: one of `settings`.
    """

    model: str
    figure: str
    settings: Sequence[Parameters]
    usual: Parameters
    folds: Sequence[ValidationFold]


class SearchResult(NamedTuple):
    """The best setting of each grid, by model, and every trial."""

    best: dict[str, Parameters]
    trials: list[TuningTrial]


def search(grids: Sequence[Grid], seed: int, workers: int, progress: SearchProgress) -> SearchResult:
    """Try every setting of every grid on every fold."""
    jobs = [
        (at, place, number)
        for at, grid in enumerate(grids)
        for place in range(len(grid.settings))
        for number in range(len(grid.folds))
    ]
    scores = [np.full((len(grid.settings), len(grid.folds)), np.nan) for grid in grids]
    tasks = (
        delayed(_score)(
            job, grids[job[0]].model, grids[job[0]].settings[job[1]], grids[job[0]].folds[job[2]], seed
        )
        for job in jobs
    )
    progress(0, len(jobs))
    with parallel_config(backend="loky", inner_max_num_threads=1):
        results: Iterable[tuple[tuple[int, int, int], float]] = Parallel(
            n_jobs=workers, return_as="generator_unordered"
        )(tasks)
        for done, ((at, place, number), score) in enumerate(results, 1):
            scores[at][place, number] = score
            progress(done, len(jobs))
    best: dict[str, Parameters] = {}
    trials: list[TuningTrial] = []
    for grid, found in zip(grids, scores, strict=True):
        merit = -found if grid.figure == "rmse" else found
        usual = list(grid.settings).index(grid.usual)
        top = int(merit.mean(axis=1).argmax())
        gain = merit[top] - merit[usual]
        chosen = top if gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)) else usual
        best[grid.model] = grid.settings[chosen]
        trials += [
            TuningTrial(
                model=grid.model,
                setting=", ".join(f"{name} {value}" for name, value in setting.items()),
                figure=grid.figure,
                mean=float(row.mean()),
                sd=float(row.std(ddof=1)),
                chosen=place == chosen,
            )
            for place, (setting, row) in enumerate(zip(grid.settings, found, strict=True))
        ]
    return SearchResult(best, trials)


def published_grids(given: Protocol) -> list[Grid]:
    """The grids of the published work, on the training parts of its divisions."""
    conversion, revenue = given.conversion_division.fit, given.revenue_division.fit
    matrix, converted = given.matrix[conversion], given.converted[conversion]
    amounts, earned = without_last_price(given.matrix[revenue]), given.revenue[revenue]
    stratified = StratifiedKFold(PUBLISHED_FOLDS).split(matrix, converted)
    plain = KFold(PUBLISHED_FOLDS).split(amounts)
    return [
        Grid(
            "reference conversion",
            "f1",
            PUBLISHED_CLASSIFIERS,
            reference.CLASSIFIER,
            [ValidationFold(matrix[a], converted[a], matrix[b], converted[b]) for a, b in stratified],
        ),
        Grid(
            "reference revenue",
            "rmse",
            PUBLISHED_REGRESSORS,
            reference.REGRESSOR,
            [ValidationFold(amounts[a], earned[a], amounts[b], earned[b]) for a, b in plain],
        ),
    ]


def honest_grids(
    evidence: Evidence, days: Sequence[datetime.date], vocabulary: Vocabulary, seed: int
) -> list[Grid]:
    """The grids of the batch models; `days` are those of the training sessions in `evidence`, in order."""
    divisions = list(KFold(FOLDS, shuffle=True, random_state=seed).split(evidence.rows)) + later_months(days)
    folds = list(batch.folds(evidence, divisions, vocabulary, seed))
    return [
        Grid("batch conversion", "auc", CLASSIFIERS, batch.CLASSIFIER, [one for one, _ in folds]),
        Grid("batch revenue", "r2", REGRESSORS, batch.REGRESSOR, [other for _, other in folds]),
    ]


def later_months(days: Sequence[datetime.date]) -> list[FoldIndices]:
    """Divisions in which each month is predicted from all before it, where both have sessions enough."""
    months = np.array([day.year * 12 + day.month for day in days])
    divisions = []
    for month in np.unique(months)[1:]:
        before, inside = np.flatnonzero(months < month), np.flatnonzero(months == month)
        if min(len(before), len(inside)) >= FEWEST:
            divisions.append((before, inside))
    return divisions


def best_batch(found: SearchResult) -> BatchParameters:
    """The settings to fit the batch models with."""
    usual = BatchParameters()
    return BatchParameters(
        found.best.get("batch conversion", usual.conversion), found.best.get("batch revenue", usual.revenue)
    )


def best_reference(found: SearchResult) -> ReferenceParameters:
    """The settings to fit the published models with."""
    usual = ReferenceParameters()
    return ReferenceParameters(
        found.best.get("reference conversion", usual.conversion),
        found.best.get("reference revenue", usual.revenue),
    )


def _score(
    job: tuple[int, int, int], model: str, parameters: Parameters, fold: ValidationFold, seed: int
) -> tuple[tuple[int, int, int], float]:
    if model == "batch conversion":
        trees = batch.classifier(parameters, seed).fit(fold.fit, fold.target)
        return job, float(roc_auc_score(fold.truth, trees.predict_proba(fold.test)[:, 1]))
    if model == "batch revenue":
        trees = batch.regressor(parameters, seed).fit(fold.fit, fold.target)
        return job, float(r2_score(fold.truth, trees.predict(fold.test)))
    if model == "reference conversion":
        forest = reference.classifier(parameters, SEED).fit(fold.fit, fold.target)
        return job, float(f1_score(fold.truth, forest.predict(fold.test)))
    trees = reference.regressor(parameters, SEED).fit(fold.fit, fold.target)
    return job, float(root_mean_squared_error(fold.truth, trees.predict(fold.test)))
