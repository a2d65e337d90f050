"""What follows a product."""

from __future__ import annotations

import numpy as np
import pytest

from clickstream.features.outcome import Outcome
from clickstream.models.examples import Evidence, FollowedProduct, followed_products
from clickstream.models.products import SMOOTHING, learn_tables
from clickstream.training.training import TrainingSession
from models.shop import FIRST_DAY, visits


def evidence(*sessions: list[FollowedProduct]) -> Evidence:
    """Each session's last product is that of its last pair."""
    return Evidence(
        [{"last_product": pairs[-1].product} for pairs in sessions],
        [Outcome(pairs[-1].converted, pairs[-1].revenue) for pairs in sessions],
        list(sessions),
    )


def test_every_pair_of_neighbouring_clicks_counts_and_few_are_drawn_to_the_mean() -> None:
    tables = learn_tables(
        evidence(*[[FollowedProduct("A1", True, 30.0), FollowedProduct("B2", False, 10.0)]] * 10), seed=1
    ).tables
    assert tables.converting.usual == 0.5
    assert tables.converting.values["A1"] == pytest.approx((10 + 0.5 * SMOOTHING) / (10 + SMOOTHING))
    assert tables.earning.values["B2"] == pytest.approx((100 + 20 * SMOOTHING) / (10 + SMOOTHING))


def test_a_product_never_followed_is_usual() -> None:
    tables = learn_tables(evidence(*[[FollowedProduct("A1", True, 30.0)]] * 5), seed=1).tables
    assert tables.converting.of(["Z9"]) == [1.0]


def test_a_session_is_encoded_without_its_own_outcome() -> None:
    """One session of its product: in the others, nothing is known of it."""
    others = [[FollowedProduct("A1", number % 2 == 0, 10.0)] for number in range(40)]
    converts = learn_tables(evidence(*others, [FollowedProduct("B2", True, 90.0)]), seed=1)
    does_not = learn_tables(evidence(*others, [FollowedProduct("B2", False, 10.0)]), seed=1)
    assert converts.converting[-1] == does_not.converting[-1]
    assert converts.earning[-1] == does_not.earning[-1]
    assert converts.tables.converting.values["B2"] > does_not.tables.converting.values["B2"]


def test_without_its_clicks_a_session_teaches_its_last_pair() -> None:
    longer = next(visit for visit in visits(20) if visit.session.clicks > 3)
    alone = TrainingSession("1", FIRST_DAY, longer.session)
    assert len(followed_products(longer)) == longer.session.clicks - 1
    assert followed_products(alone) == followed_products(longer)[-1:]
    assert np.isfinite(followed_products(alone)[0].revenue)
