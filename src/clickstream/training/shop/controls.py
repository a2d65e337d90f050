"""What the models of a shop are held against: no model, one feature, and futures that are another's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from clickstream.features.definition import ShopDefinition
from clickstream.models.case import Floats
from clickstream.models.shop.batch import COMMON, SIZES, ModelPlan, matrix_of
from clickstream.models.shop.examples import ShopWindow
from clickstream.models.shop.inputs import ShopInputs, learn_inputs
from clickstream.training.shop.fit import fit_plan, folds_of
from clickstream.training.shop.points import Points, points_of, with_futures

SHUFFLES = 12
"""Trainings with futures of other sessions. The AUC of one scatters by 0.013 where 500 sessions convert."""

MOST_SESSIONS = 10_000
"""Sessions that the control takes, spread over all of them: of many, these tell as much."""

_POINTS = 4
"""Decision points of a session that the control takes: it is done many times."""


class SingleFeature(NamedTuple):
    """The feature that predicts best on its own, and its forecasts at held-out points, shape (n,)."""

    feature: str
    conversion: Floats


def one_feature(inputs: ShopInputs, points: Points, held: Points, seed: int) -> SingleFeature:
    """Fit a model of each feature alone; the best by ROC-AUC on a fifth of the training windows is taken.

    That one is then fitted on all of them.
    """
    out = folds_of(points, seed) == 0
    matrix, test = (matrix_of(inputs, part.table, None) for part in (points, held))
    best, most = "", -1.0
    names = [*inputs.numbers, *inputs.texts]
    for at, name in enumerate(names):
        column = matrix[:, [at]]
        if np.isnan(column).all():
            continue
        alone = _model_of(name, inputs, seed).fit(column[~out], points.converted[~out], points.weight[~out])
        predicted = alone.predict_proba(column[out])[:, 1]
        auc = roc_auc_score(points.converted[out], predicted, sample_weight=points.weight[out])
        if auc > most:
            best, most = name, float(auc)
    at = names.index(best)
    fitted = _model_of(best, inputs, seed).fit(matrix[:, [at]], points.converted, points.weight)
    return SingleFeature(best, fitted.predict_proba(test[:, [at]])[:, 1])


def _model_of(name: str, inputs: ShopInputs, seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        random_state=seed, categorical_features=[name in inputs.texts], **COMMON, **SIZES[0]
    )


def shuffled_auc(definition: ShopDefinition, windows: list[ShopWindow], plan: ModelPlan, seed: int) -> float:
    """Mean ROC-AUC of batch models when what follows each session's evidence is that of another session.

    What was there to be learned is then gone, so better than chance means that a model sees what it is to
    predict. Half of the windows are judged by a model of the other half, and the other way round.
    """
    found = []
    some = windows[:: -(-len(windows) // MOST_SESSIONS)]
    for number in range(SHUFFLES):
        random = np.random.default_rng([seed, number])
        moved = with_futures(definition, some, random.permutation(len(some)).tolist())
        points = points_of(definition, moved, most=_POINTS).weighing()
        half = folds_of(points, seed + number, 2)
        for side in (0, 1):
            known, evaluated = points.at(half == side), half != side
            inputs = learn_inputs(known.table, None)
            fold = folds_of(known, seed)
            models = fit_plan(definition, plan, inputs, known, fold, seed, with_spending=False)
            other = points.at(evaluated)
            predicted = models.uncalibrated(models.matrix(other.table))
            found.append(roc_auc_score(other.converted, predicted, sample_weight=other.weight))
    return float(np.mean(found))
