"""The published protocol: its divisions, its models, and its figures beside what came of them here.

80 to 20 at random over all sessions, stratified for the classifier, with the published seed. The figures are
there to be compared, and they measure how well a rule is recovered: set `reference` holds the click that
decides. The published run had its columns of categories blank; both variants are fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from clickstream.models.case import Example, Floats
from clickstream.models.clusters import fit_clusters
from clickstream.models.evaluation import Evaluation, PublishedFigure
from clickstream.models.figures import Figures, cluster_figures, conversion_figures, revenue_figures
from clickstream.models.inputs import Vocabulary
from clickstream.models.reference import (
    ReferenceModels,
    ReferenceParameters,
    classifier,
    published_matrix,
    regressor,
    without_categories,
    without_last_price,
)
from clickstream.training.evaluate import Forecasts, as_answered, assess
from clickstream.training.findings import KMEANS
from clickstream.training.importance import permutation_importances

TEST_SHARE = 0.2
SEED = 42

InputVariant = Literal["all", "category columns blank"]

SessionIndices = NDArray[np.intp]


class Division(NamedTuple):
    """Positions of the sessions that a published model is fitted on, and of those that it is evaluated on."""

    fit: SessionIndices
    test: SessionIndices


class Protocol(NamedTuple):
    """What the published models learn from.

    Attributes:
        matrix: all sessions, shape (n, columns), see `published_matrix`.
        clicks: of each session, shape (n,).
        converted, revenue: their outcomes, shape (n,).
        conversion_division: stratified; `revenue_division` is not.
    """

    matrix: Floats
    clicks: SessionIndices
    converted: Floats
    revenue: Floats
    conversion_division: Division
    revenue_division: Division


def protocol(examples: Sequence[Example], vocabulary: Vocabulary) -> Protocol:
    """Divide sessions as the published work does."""
    converted = np.array([one.outcome.converted for one in examples], dtype=np.float64)
    rows = [one.case.whole for one in examples]
    return Protocol(
        published_matrix(rows, vocabulary),
        np.array([row["session_length"] for row in rows], dtype=np.intp),
        converted,
        np.array([one.outcome.revenue for one in examples]),
        _division(len(examples), converted),
        _division(len(examples), None),
    )


class ReproducedModels(NamedTuple):
    """The published models with all inputs, and their figures with those of the blank variant beside them."""

    models: ReferenceModels
    figures: Figures
    findings: Evaluation


def reproduce(
    given: Protocol, vocabulary: Vocabulary, parameters: ReferenceParameters, workers: int, seed: int
) -> ReproducedModels:
    """Fit and evaluate both models in both variants. The result does not depend on `workers`.

    `seed` is that of the intervals and importances; the models have the published one.
    """
    matrix, blank = given.matrix, without_categories(given.matrix, vocabulary)
    conversion, revenue = given.conversion_division, given.revenue_division
    # Growing a tree holds no lock of Python, so threads do, and nothing is copied to other processes.
    forest, boosting, blank_forest, blank_boosting = Parallel(n_jobs=min(workers, 4), prefer="threads")(
        delayed(_fitted)(*job)
        for job in (
            (classifier, parameters.conversion, matrix, given.converted, conversion.fit),
            (regressor, parameters.revenue, without_last_price(matrix), given.revenue, revenue.fit),
            (classifier, parameters.conversion, blank, given.converted, conversion.fit),
            (regressor, parameters.revenue, without_last_price(blank), given.revenue, revenue.fit),
        )
    )
    models = ReferenceModels({"conversion": forest, "revenue": boosting}, vocabulary)
    test, amounts = matrix[conversion.test], matrix[revenue.test]
    probability, expected = as_answered(models.conversion(test), models.revenue(amounts))
    forecasts = Forecasts(
        given.converted[conversion.test],
        probability,
        given.clicks[conversion.test],
        given.revenue[revenue.test],
        expected,
        given.clicks[revenue.test],
    )
    figures, findings = assess("reference", forecasts, seed)
    without = {
        **conversion_figures(forecasts.converted, blank_forest.predict_proba(blank[conversion.test])[:, 1]),
        **revenue_figures(forecasts.revenue, blank_boosting.predict(without_last_price(blank[revenue.test]))),
    }
    importances = {
        "reference conversion": permutation_importances(
            "auc", models.conversion, test, forecasts.converted, models.inputs, seed
        ),
        "reference revenue": permutation_importances(
            "r2", models.revenue, amounts, forecasts.revenue, models.inputs, seed
        ),
    }
    # The price that is to be predicted is no input of the regressor.
    importances["reference revenue"] = importances["reference revenue"].model_copy(
        update={"inputs": [i for i in importances["reference revenue"].inputs if i.feature != "last_price"]}
    )
    more = {"importances": importances, "published": _beside(figures, without)}
    return ReproducedModels(models, figures, findings.model_copy(update=more))


def published_clusters(examples: Sequence[Example], best_k: int) -> list[PublishedFigure]:
    """Evaluate k-means with k = 4 on all sessions, as published; `best_k` is that of the training part."""
    rows = [one.case.whole for one in examples]
    clusters = fit_clusters(rows, SEED)
    standardised = clusters.standardise(rows)
    measured = {"k": best_k, **cluster_figures(standardised, clusters.assign(standardised), SEED)}
    return [
        PublishedFigure(
            model=KMEANS,
            inputs="all",
            figure=figure,
            published="4" if figure == "k" else "",
            measured=measured[figure],
        )
        for figure in ("k", "silhouette", "davies_bouldin")
        if figure in measured
    ]


def _beside(whole: Figures, blank: Figures) -> list[PublishedFigure]:
    """Every published figure beside ours, of the models with all inputs and of the blank variant."""
    reported = {("category columns blank", "auc"): "0.99", ("category columns blank", "r2"): "0.46"}
    rows: list[PublishedFigure] = []
    variants: tuple[tuple[InputVariant, Figures], ...] = (("all", whole), ("category columns blank", blank))
    for model, figures in (
        ("random forest", ("auc", "precision", "recall", "f1")),
        ("gradient boosting", ("r2", "mae", "rmse")),
    ):
        for inputs, measured in variants:
            rows += [
                PublishedFigure(
                    model=model,
                    inputs=inputs,
                    figure=figure,
                    published=reported.get((inputs, figure), ""),
                    measured=measured[figure],
                )
                for figure in figures
            ]
    return rows


def _fitted(
    make: Any, parameters: Mapping[str, Any], matrix: Floats, target: Floats, places: SessionIndices
) -> Any:
    return make(parameters, SEED).fit(matrix[places], target[places])


def _division(sessions: int, stratify: Floats | None) -> Division:
    fit, test = train_test_split(
        np.arange(sessions), test_size=TEST_SHARE, stratify=stratify, random_state=SEED
    )
    return Division(fit, test)
