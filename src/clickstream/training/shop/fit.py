"""The fit of the batch models of a shop: what is chosen is chosen by cross-validation on training sessions.

Folds divide windows, so no decision point of a window is forecast by a model that knows another one of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from clickstream.features.definition import ShopDefinition
from clickstream.models.calibration import FOLDS, choose_calibration
from clickstream.models.case import Floats
from clickstream.models.evaluation import TuningTrial
from clickstream.models.shop.batch import (
    Encoding,
    ModelPlan,
    Rate,
    ShopBatch,
    classifier,
    learn_rate,
    matrix_of,
    plans,
    regressor,
)
from clickstream.models.shop.inputs import ShopInputs
from clickstream.training.shop.points import Points


class ChosenModel(NamedTuple):
    """The models, calibrated, and how every plan did."""

    models: ShopBatch
    plan: ModelPlan
    trials: list[TuningTrial]


def fit_best(definition: ShopDefinition, inputs: ShopInputs, points: Points, seed: int) -> ChosenModel:
    """Fit the plan with the lowest cross-validated log-loss on all of `points`."""
    fold = folds_of(points, seed)
    candidates = plans(inputs)
    # Plans of one encoding stand together, so these are the forecasts of the candidates in their order.
    forecasts = np.vstack(
        [
            _cross_fitted(
                [plan for plan in candidates if plan.encoding == encoding], inputs, points, fold, seed
            )
            for encoding in dict.fromkeys(plan.encoding for plan in candidates)
        ]
    )
    losses = [
        [_log_loss(points, forecast, fold == number) for number in range(FOLDS)] for forecast in forecasts
    ]
    best = min(range(len(candidates)), key=lambda at: float(np.mean(losses[at])))
    plan = candidates[best]
    calibration = choose_calibration(points.converted, forecasts[best], seed, points.weight, fold)
    models = fit_plan(definition, plan, inputs, points, fold, seed)
    models = ShopBatch({**models.artefact, "calibration": calibration._asdict()}, definition, inputs)
    trials = [
        TuningTrial(
            model="conversion",
            setting=str(one),
            figure="log_loss",
            mean=float(np.mean(loss)),
            sd=float(np.std(loss, ddof=1)),
            chosen=at == best,
        )
        for at, (one, loss) in enumerate(zip(candidates, losses, strict=True))
    ]
    return ChosenModel(models, plan, trials)


def fit_plan(
    definition: ShopDefinition,
    plan: ModelPlan,
    inputs: ShopInputs,
    points: Points,
    fold: NDArray[np.intp],
    seed: int,
    with_spending: bool = True,
) -> ShopBatch:
    """Fit the models of one plan, without calibration; without `with_spending`, that of conversion alone."""
    rates, matrix = _encoded(plan.encoding, inputs, points, fold)
    conversion = classifier(plan, inputs, seed).fit(matrix, points.converted, points.weight)
    spending = None
    converting = points.converted > 0
    if with_spending and definition.goal.value is not None and converting.any():
        spending = regressor(plan, inputs, seed).fit(
            matrix[converting], points.revenue[converting], points.weight[converting]
        )
    artefact = {
        "conversion": conversion,
        "spending": spending,
        "rates": None if rates is None else {name: tuple(rate) for name, rate in rates.items()},
        "calibration": {},
    }
    return ShopBatch(artefact, definition, inputs)


def folds_of(points: Points, seed: int, folds: int = FOLDS) -> NDArray[np.intp]:
    """The fold of each point, shape (n,): windows that convert are spread evenly over the folds."""
    converted = np.zeros(points.windows, dtype=np.bool_)
    converted[points.window] = points.converted > 0
    random = np.random.default_rng(seed)
    dealt = np.empty(points.windows, dtype=np.intp)
    for kind in (True, False):
        windows = random.permutation(np.flatnonzero(converted == kind))
        dealt[windows] = np.arange(len(windows)) % folds
    return dealt[points.window]


def _cross_fitted(
    sizes: list[ModelPlan], inputs: ShopInputs, points: Points, fold: NDArray[np.intp], seed: int
) -> Floats:
    """What each plan, all of one encoding, says of points of windows that it has not seen: (plans, n)."""
    forecasts = np.empty((len(sizes), len(points)))
    for number in range(FOLDS):
        out = fold == number
        known = points.at(~out)
        rates, matrix = _encoded(sizes[0].encoding, inputs, known, fold[~out])
        test = matrix_of(inputs, points.table.at(out), rates)
        for at, plan in enumerate(sizes):
            fitted = classifier(plan, inputs, seed).fit(matrix, known.converted, known.weight)
            forecasts[at, out] = fitted.predict_proba(test)[:, 1]
    return forecasts


def _encoded(
    encoding: Encoding, inputs: ShopInputs, points: Points, fold: NDArray[np.intp]
) -> tuple[Mapping[str, Rate] | None, Floats]:
    """The rates of texts from all points, and the matrix of these points, in which the rates of each are
    those of the other folds: one that holds a session's own outcome would be trusted too much.
    """
    if encoding == "native":
        return None, matrix_of(inputs, points.table, None)

    def rates(of: Points) -> dict[str, Rate]:
        return {
            name: learn_rate(inputs.codes(of.table, name), of.converted, of.weight, len(known))
            for name, known in inputs.texts.items()
        }

    matrix = np.empty((len(points), len(inputs.numbers) + len(inputs.texts)))
    for number in np.unique(fold).tolist():
        inside = fold == number
        matrix[inside] = matrix_of(inputs, points.table.at(inside), rates(points.at(~inside)))
    return rates(points), matrix


def _log_loss(points: Points, forecast: Floats, some: NDArray[np.bool_]) -> float:
    clipped = np.clip(forecast[some], 1e-6, 1 - 1e-6)
    return float(log_loss(points.converted[some], clipped, labels=[0, 1], sample_weight=points.weight[some]))
