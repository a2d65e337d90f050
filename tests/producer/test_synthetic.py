"""Synthetic clicks look like the data, and never pass for it."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from factory import outcome

from clickstream.files.dataset import Dataset
from clickstream.files.rows import PageView
from clickstream.infra.errors import UsageError
from clickstream.producer.synthetic import synthetic_dataset


def shares(dataset: Dataset, field: str) -> dict[object, float]:
    counts = Counter(getattr(dataset.views[view], field) for view in dataset.view_of.tolist())
    return {value: count / len(dataset) for value, count in counts.items()}


def converted(dataset: Dataset) -> float:
    outcomes = [outcome(session).converted for _, _, session in dataset.sessions()]
    return float(np.mean(outcomes))


def products(dataset: Dataset) -> dict[str, set[tuple[object, ...]]]:
    found: dict[str, set[tuple[object, ...]]] = defaultdict(set)
    for view in dataset.views:
        found[view.product].add(view._replace(country=0)[2:])
    return found


@pytest.fixture(scope="module")
def synthetic() -> Dataset:
    return synthetic_dataset(12_000, 42)


def test_it_is_labelled(synthetic: Dataset) -> None:
    assert synthetic.name == "synthetic"
    assert synthetic.path is None
    assert not synthetic.is_uci
    assert synthetic.session_ids[:2] == ("s1", "s2")


def test_it_is_a_pure_function() -> None:
    ours, again, other = synthetic_dataset(50, 1), synthetic_dataset(50, 1), synthetic_dataset(50, 2)
    assert ours.clicks == again.clicks
    assert ours.sha256 == again.sha256 != other.sha256
    assert ours.clicks != other.clicks


def test_sessions_are_as_long_as_the_data_s(synthetic: Dataset, uci: Dataset) -> None:
    ours, theirs = np.diff(synthetic.starts), np.diff(uci.starts)
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.03)
    assert (ours == 1).mean() == pytest.approx((theirs == 1).mean(), abs=0.01)
    for quantile in (0.25, 0.5, 0.75, 0.9, 0.99):
        assert np.quantile(ours, quantile) == pytest.approx(np.quantile(theirs, quantile), abs=1)
    assert ours.max() <= theirs.max()


@pytest.mark.parametrize(
    ("field", "tolerance"), [("category", 0.02), ("page", 0.02), ("price_2", 0.02), ("photography", 0.1)]
)
def test_views_are_spread_as_the_data_s(
    synthetic: Dataset, uci: Dataset, field: str, tolerance: float
) -> None:
    theirs = shares(uci, field)
    ours = shares(synthetic, field)
    assert ours.keys() == theirs.keys()
    for value, share in theirs.items():
        assert ours[value] == pytest.approx(share, abs=tolerance)


def test_prices_and_outcomes_are_near_the_data_s(synthetic: Dataset, uci: Dataset) -> None:
    ours, theirs = (
        np.array([view.price for view in dataset.views])[dataset.view_of] for dataset in (synthetic, uci)
    )
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.02)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.05)
    assert converted(synthetic) == pytest.approx(converted(uci), abs=0.03)


def test_a_session_looks_at_as_many_products_as_the_data_s(synthetic: Dataset, uci: Dataset) -> None:
    for kind in ("product_values", "category_counts"):
        ours, theirs = (
            np.mean([len(getattr(session.whole(), kind)) for _, _, session in dataset.sessions()])
            for dataset in (synthetic, uci)
        )
        assert ours == pytest.approx(theirs, rel=0.08)


def test_a_product_fixes_what_it_fixes_in_the_data(synthetic: Dataset, uci: Dataset) -> None:
    assert len(products(synthetic)) == len(products(uci)) == 217
    assert all(len(looks) == 1 for looks in products(synthetic).values())
    # One of its 165,474 rows shows a product under another category.
    assert sum(len(looks) > 1 for looks in products(uci).values()) == 1
    categories = {view.product[0]: view.category for view in synthetic.views}
    assert categories == {"A": "trousers", "B": "skirts", "C": "blouses", "P": "sale"}


def test_price_2_is_1_above_the_mean_of_the_category(synthetic: Dataset) -> None:
    catalogue: dict[str, PageView] = {view.product: view for view in synthetic.views}
    for category in ("trousers", "skirts", "blouses", "sale"):
        shelf = [view for view in catalogue.values() if view.category == category]
        mean = sum(view.price for view in shelf) / len(shelf)
        assert all((view.price_2 == 1) == (view.price > mean) for view in shelf)


def test_it_is_no_copy_of_the_catalogue(synthetic: Dataset, uci: Dataset) -> None:
    theirs = products(uci)
    assert sum(looks == theirs.get(product) for product, looks in products(synthetic).items()) < 5


def test_a_hundred_thousand_sessions_are_drawn(synthetic: Dataset) -> None:
    large = synthetic_dataset(100_000, 1)
    assert len(large.session_ids) == 100_000
    assert len(large) / 100_000 == pytest.approx(len(synthetic) / 12_000, rel=0.03)


def test_less_than_one_session_is_refused() -> None:
    with pytest.raises(UsageError):
        synthetic_dataset(0)
