"""The search of settings."""

from __future__ import annotations

import datetime

import pytest

from clickstream.models import batch, reference
from clickstream.models.case import Example
from clickstream.models.examples import followed_products, gather
from clickstream.training import search
from clickstream.training.published import protocol
from clickstream.training.search import (
    Grid,
    best_batch,
    best_reference,
    honest_grids,
    later_months,
    published_grids,
)
from clickstream.training.training import TrainingSession, vocabulary_of


@pytest.fixture
def grids(
    shop: list[TrainingSession], examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> list[Grid]:
    """All four, with two settings each."""

    worse_and_usual = (
        (batch, "CLASSIFIER", "CLASSIFIERS", {"max_iter": 2}, {"max_iter": 30}),
        (batch, "REGRESSOR", "REGRESSORS", {"max_iter": 2}, {"max_iter": 30}),
        (reference, "CLASSIFIER", "PUBLISHED_CLASSIFIERS", {"max_depth": 1}, {"n_estimators": 10}),
        (reference, "REGRESSOR", "PUBLISHED_REGRESSORS", {"n_estimators": 2}, {"n_estimators": 30}),
    )
    for module, name, grid, worse, usual in worse_and_usual:
        monkeypatch.setattr(module, name, {**getattr(module, name), **usual})
        monkeypatch.setattr(search, grid, [{**getattr(module, name), **worse}, getattr(module, name)])
    shop, examples = shop[::3], examples[::3]
    vocabulary = vocabulary_of(examples)
    evidence = gather(examples, [followed_products(visit) for visit in shop])
    days = [v.day for v, one in zip(shop, examples, strict=True) if one.case.evidence is not None]
    return [*honest_grids(evidence, days, vocabulary, 42), *published_grids(protocol(examples, vocabulary))]


def test_the_findings_are_bit_equal_for_any_number_of_workers(grids: list[Grid]) -> None:
    alone = search.search(grids, 42, 1, lambda _done, _total: None)
    assert search.search(grids, 42, 2, lambda _done, _total: None) == alone


def test_the_best_setting_by_cross_validation_is_chosen_and_every_fit_is_told(grids: list[Grid]) -> None:
    fits: list[tuple[int, int]] = []
    found = search.search(grids, 42, 1, lambda done, total: fits.append((done, total)))
    total = sum(len(grid.settings) * len(grid.folds) for grid in grids)
    assert fits == [(done, total) for done in range(total + 1)]
    for model in found.best:
        trials = [trial for trial in found.trials if trial.model == model]
        best = (min if trials[0].figure == "rmse" else max)(trials, key=lambda trial: trial.mean)
        assert best.mean == next(trial.mean for trial in trials if trial.chosen)
        assert sum(trial.chosen for trial in trials) == 1
    # A stump recovers no rule of two inputs, and two small trees no price.
    assert best_reference(found) == (reference.CLASSIFIER, reference.REGRESSOR)
    assert best_batch(found).revenue == batch.REGRESSOR


def test_later_months_are_foretold_from_all_before_them_where_there_are_sessions_enough() -> None:
    days = [datetime.date(2024, month, 1 + day % 28) for month in (1, 2, 3) for day in range(150)]
    few = [datetime.date(2024, 4, 1)] * 20
    divisions = later_months([*days, *few])
    assert [(len(fit), len(test)) for fit, test in divisions] == [(150, 150), (300, 150)]
    assert divisions[1][0].tolist() == list(range(300))
    assert divisions[1][1].tolist() == list(range(300, 450))
