"""What a bundle answers."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from clickstream.bundles.bundle import Bundle
from clickstream.models.case import Case, Example
from clickstream.models.clusters import NAMES
from clickstream.models.matrix import CATEGORICAL, CLUSTERED, PUBLISHED, numbers, one_hot
from clickstream.models.scorers import FITTED
from clickstream.training.training import TrainingSession, example
from clickstream.training.writing import FittedBundle
from models.shop import click


@pytest.mark.parametrize("together", [1, 7, 500])
def test_an_answer_does_not_depend_on_the_cases_beside_it(
    bundle: Bundle, examples: list[Example], together: int
) -> None:
    cases = [one.case for one in examples[:500]]
    whole = bundle.predict(cases)
    in_parts = [
        answer
        for start in range(0, len(cases), together)
        for answer in bundle.predict(cases[start : start + together])
    ]
    assert in_parts == whole


def test_no_cases_have_no_answers(bundle: Bundle) -> None:
    assert bundle.predict([]) == []


def test_probabilities_prices_and_names_are_what_they_say(bundle: Bundle, examples: list[Example]) -> None:
    for answers in bundle.predict([one.case for one in examples]):
        assert set(answers) == {scorer.name for scorer in FITTED}
        for answer in answers.values():
            assert 0 <= answer.conversion <= 1
            assert answer.revenue is not None
            assert answer.revenue > 0
            assert answer.cluster_name == NAMES[answer.cluster]
            assert answer.conversion == round(answer.conversion, 10)
            assert answer.revenue == round(answer.revenue, 10)


def test_without_evidence_the_honest_answer_is_the_base_rate(bundle: Bundle, examples: list[Example]) -> None:
    alone = next(one.case for one in examples if one.case.evidence is None)
    rates = bundle.manifest.base_rates
    for answer in (bundle.predict([alone])[0]["batch"], bundle.online().predict(alone)):
        assert answer.conversion == round(rates.conversion, 10)
        assert answer.revenue == round(rates.revenue or 0.0, 10)


def test_the_deciding_click_changes_no_honest_answer(bundle: Bundle, shop: list[TrainingSession]) -> None:
    """The strongest form of the leakage test: whatever the last click is, the answer is the same."""
    other = click(order=99, category=3, model=11, page=5)
    online = bundle.online()
    seen_by_reference = 0
    for visit in [visit for visit in shop if visit.session.clicks > 1][:100]:
        before = example(visit.session).case
        after = example(msgspec.structs.replace(visit.session, last=other)).case
        was, now = bundle.predict([before, after])
        assert was["batch"][:2] == now["batch"][:2]
        assert online.predict(before)[:2] == online.predict(after)[:2]
        seen_by_reference += was["reference"][:2] != now["reference"][:2]
    assert seen_by_reference > 50


def test_the_forest_answers_as_scikit_learn_does(
    bundle: Bundle, fitted: FittedBundle, examples: list[Example]
) -> None:
    rows = [one.case.whole for one in examples]
    matrix = np.hstack([one_hot(rows, CATEGORICAL, fitted.vocabulary), numbers(rows, PUBLISHED)])
    theirs = fitted.fitted["reference"].artefact["conversion"].predict_proba(matrix)[:, 1]
    ours = [answers["reference"].conversion for answers in bundle.predict([one.case for one in examples])]
    assert ours == pytest.approx(theirs, abs=1e-10)


def test_the_nearest_centre_is_the_one_that_scikit_learn_finds(
    fitted: FittedBundle, examples: list[Example]
) -> None:
    rows = [one.case.whole for one in examples]
    kmeans, scaler = fitted.clusters.artefact["kmeans"], fitted.clusters.artefact["scaler"]
    theirs = kmeans.predict(scaler.transform(numbers(rows, CLUSTERED)))
    pairs = set(zip(theirs.tolist(), fitted.clusters.predict(rows), strict=True))
    assert len(pairs) == len(NAMES)


def test_values_never_seen_in_training_are_scored(bundle: Bundle, examples: list[Example]) -> None:
    case = next(one.case for one in examples if one.case.evidence is not None)
    strange = {"first_category": "hats", "last_category": "hats", "last_page": 77, "max_price": 1e9}
    prefix = {**(case.evidence or {}), **strange, "last_product": "Z99"}
    new = Case(prefix, {**case.whole, **strange})
    online = bundle.online()
    for answer in (*bundle.predict([new])[0].values(), online.predict(new)):
        assert 0 <= answer.conversion <= 1
        assert answer.revenue is not None
        assert math.isfinite(answer.revenue)
