from __future__ import annotations

from math import log2, sqrt

import pytest
from factory import prefix, reference, session, step

from clickstream.features.vector import DEFINITIONS, PREFIX, REFERENCE, FeatureSet

VISIT = (
    step(1_000, 1, product="A1", category="trousers", price=20.0, price_2=2, page=1),
    step(2_000, 2, product="B1", category="skirts", price=40.0, price_2=1, page=3),
    step(3_000, 3, product="B1", category="skirts", price=40.0, price_2=1, page=2),
    step(4_000, 5, product="A9", category="trousers", price=60.0, price_2=2, page=4),
)

WHOLE = {
    "session_length": 4,
    "n_unique_models": 3,
    "n_unique_categories": 2,
    "category_entropy": 1.0,
    "mean_price": 40.0,
    "max_price": 60.0,
    "min_price": 20.0,
    "std_price": pytest.approx(sqrt(200), rel=1e-15),
    "last_price": 60.0,
    "last_price_2": 2,
    "num_high_price_views": 2,
    "pct_price2_views": 0.5,
    "first_page": 1,
    "last_page": 4,
    "first_category": "trousers",
    "last_category": "trousers",
    "first_eq_last_category": 1,
    "models_per_click": 0.75,
    "last_order": 5,
    "navigation_depth": 4,
    "category_transitions": 2,
}

BEFORE_THE_LAST = {
    "session_length": 3,
    "n_unique_models": 2,
    "n_unique_categories": 2,
    "category_entropy": pytest.approx(-(1 / 3 * log2(1 / 3) + 2 / 3 * log2(2 / 3)), rel=1e-15),
    "mean_price": pytest.approx(100 / 3, rel=1e-15),
    "max_price": 40.0,
    "min_price": 20.0,
    "std_price": pytest.approx(sqrt(800 / 9), rel=1e-15),
    "last_price": 40.0,
    "last_price_2": 1,
    "num_high_price_views": 2,
    "pct_price2_views": pytest.approx(2 / 3, rel=1e-15),
    "first_page": 1,
    "last_page": 2,
    "first_category": "trousers",
    "last_category": "skirts",
    "first_eq_last_category": 0,
    "models_per_click": pytest.approx(2 / 3, rel=1e-15),
    "last_order": 3,
    "navigation_depth": 3,
    "category_transitions": 1,
    "last_product": "B1",
}


def test_reference_looks_at_every_click() -> None:
    assert reference(session(*VISIT)) == WHOLE


def test_prefix_looks_at_every_click_but_the_last_and_adds_the_last_product_seen() -> None:
    assert prefix(session(*VISIT)) == BEFORE_THE_LAST


def test_prefix_is_reference_one_click_earlier() -> None:
    for n in range(2, len(VISIT) + 1):
        shorter = reference(session(*VISIT[: n - 1]))
        assert prefix(session(*VISIT[:n])) == shorter | {"last_product": VISIT[n - 2].product}


def test_what_the_last_click_shows_leaves_no_trace_in_prefix() -> None:
    other = step(9_000, 77, product="P9", category="sale", price=999.0, price_2=1, page=5, end=True)
    assert prefix(session(*VISIT[:3], other)) == prefix(session(*VISIT))


def test_one_click_has_a_reference_and_no_prefix() -> None:
    one = session(step(1_000, 1, category="skirts", price=38.0, price_2=1, page=2))
    features = reference(one)
    assert features["session_length"] == 1
    assert features["category_entropy"] == 0.0
    assert features["std_price"] == 0.0
    assert features["models_per_click"] == 1.0
    assert features["first_eq_last_category"] == 1
    assert prefix(one) is None


def test_entropy_of_four_categories_seen_alike_is_two_bits() -> None:
    clicks = (step(i, i + 1, category=name) for i, name in enumerate("abcd"))
    assert reference(session(*clicks))["category_entropy"] == 2.0


def test_without_orders_the_position_of_the_last_click_stands_for_its_order() -> None:
    window = session(step(1), step(2), step(3))
    assert reference(window)["last_order"] == 3
    features = prefix(window)
    assert features is not None
    assert features["last_order"] == 2


def test_late_clicks_count_into_both_sets_but_not_into_what_is_first_and_last() -> None:
    window = session(*VISIT)
    window.add_late(step(2_500, 4, product="C7", category="blouses", price=80.0, price_2=1, page=5), 9)
    for features, before in ((reference(window), WHOLE), (prefix(window), BEFORE_THE_LAST)):
        assert features is not None
        assert features["session_length"] == before["session_length"] + 1  # type: ignore[operator]
        assert features["n_unique_categories"] == 3
        assert features["max_price"] == 80.0
        assert features["navigation_depth"] == 5
        for name in before:
            if name.startswith(("first_", "last_")) or name == "category_transitions":
                assert features[name] == before[name]


def test_one_click_in_order_has_no_prefix_however_many_came_late() -> None:
    window = session(step(10, 1))
    window.add_late(step(10, 2), 1)
    assert window.evidence == 0
    assert prefix(window) is None
    assert reference(window)["session_length"] == 2


@pytest.mark.parametrize(("features", "of"), [(REFERENCE, reference), (PREFIX, prefix)])
def test_a_set_names_its_features_in_the_order_in_which_they_come(features: FeatureSet, of: object) -> None:
    values = reference(session(*VISIT)) if of is reference else prefix(session(*VISIT))
    assert values is not None
    assert tuple(values) == features.features


def test_reference_is_prefix_without_the_last_product() -> None:
    assert set(PREFIX.features) - set(REFERENCE.features) == {"last_product"}
    assert set(PREFIX.features) == set(DEFINITIONS)


def test_the_hash_of_a_set_changes_with_its_name_scope_features_and_their_order() -> None:
    hashes = {
        REFERENCE.hash,
        PREFIX.hash,
        REFERENCE._replace(name="other").hash,
        REFERENCE._replace(scope="all clicks but the last").hash,
        REFERENCE._replace(features=REFERENCE.features[1:]).hash,
        REFERENCE._replace(features=REFERENCE.features[::-1]).hash,
    }
    assert len(hashes) == 6
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in hashes)


def test_the_hash_of_a_set_changes_with_a_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    before = REFERENCE.hash
    monkeypatch.setitem(DEFINITIONS, "std_price", "sample standard deviation of the price")
    assert REFERENCE.hash != before
