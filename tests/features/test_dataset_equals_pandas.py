"""All sessions of the dataset through our fold, against BASELINES.md computed with pandas from the raw file.

Nothing here is ours but the fold under test: the CSV is read by pandas and every figure is a vectorised
expression over its columns. Distinct sessions are contiguous in the file and their `order` is 1..n.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factory import outcome, prefix, reference

from clickstream.features.outcome import Outcome
from clickstream.features.session import Session
from clickstream.features.shop import UCI553
from clickstream.features.vector import PREFIX, REFERENCE

CATEGORIES = {1: "trousers", 2: "skirts", 3: "blouses", 4: "sale"}
COLUMNS = {
    "session ID": "session",
    "order": "order",
    "page 1 (main category)": "category",
    "page 2 (clothing model)": "product",
    "price": "price",
    "price 2": "price_2",
    "page": "page",
}


@pytest.fixture(scope="module")
def clicks(shop_file: Path) -> pd.DataFrame:
    """The raw file, columns renamed."""
    raw = pd.read_csv(shop_file, sep=";", usecols=list(COLUMNS)).rename(columns=COLUMNS)
    return raw.assign(category=raw["category"].map(CATEGORIES), price=raw["price"].astype(float))


@pytest.fixture(scope="module")
def sessions(clicks: pd.DataFrame) -> dict[int, Session]:
    """Our fold over the same rows; `order` stands for the event time."""
    folded: dict[int, Session] = {}
    columns = ("session", "order", "product", "category", "price", "price_2", "page")
    rows = zip(*(clicks[name].tolist() for name in columns), strict=True)
    for offset, (session, order, product, category, price, price_2, page) in enumerate(rows):
        one = UCI553.step(order, order, product, category, price, price_2, page)
        if session in folded:
            folded[session].add(one, offset)
        else:
            folded[session] = UCI553.open(one, offset)
    return folded


def by_pandas(clicks: pd.DataFrame) -> pd.DataFrame:
    """One row a session, by the definitions of BASELINES.md."""
    groups = clicks.groupby("session", sort=True)
    n = groups.size()
    first, last = groups.first(), groups.last()
    per_category = clicks.groupby(["session", "category"]).size()
    share = per_category / n.reindex(per_category.index, level="session")
    changed = (clicks["session"] == clicks["session"].shift()) & (
        clicks["category"] != clicks["category"].shift()
    )
    premium = (clicks["price_2"] == 1).groupby(clicks["session"]).sum()
    models = groups["product"].nunique()
    return pd.DataFrame(
        {
            "session_length": n,
            "n_unique_models": models,
            "n_unique_categories": groups["category"].nunique(),
            "category_entropy": -(share * np.log2(share)).groupby(level="session").sum(),
            "mean_price": groups["price"].mean(),
            "max_price": groups["price"].max(),
            "min_price": groups["price"].min(),
            "std_price": groups["price"].std(ddof=0),
            "last_price": last["price"],
            "last_price_2": last["price_2"],
            "num_high_price_views": premium,
            "pct_price2_views": premium / n,
            "first_page": first["page"],
            "last_page": last["page"],
            "first_category": first["category"],
            "last_category": last["category"],
            "first_eq_last_category": (first["category"] == last["category"]).astype(int),
            "models_per_click": models / n,
            "last_order": last["order"],
            "navigation_depth": groups["page"].max(),
            "category_transitions": changed.groupby(clicks["session"]).sum(),
            "last_product": last["product"],
        }
    )


def assert_equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Every value of every session: text equal, numbers to 1e-9."""
    assert list(found.index) == list(expected.index)
    for name in found:
        if pd.api.types.is_numeric_dtype(expected[name]):
            np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-9, err_msg=str(name))
        else:
            assert found[name].tolist() == expected[name].tolist(), name


@pytest.mark.usefixtures("dataset_path")
def test_the_file_is_the_one_that_the_figures_are_about(
    clicks: pd.DataFrame, sessions: dict[int, Session]
) -> None:
    assert len(clicks) == 165_474
    assert clicks["session"].nunique() == 24_026
    assert sum(one.clicks > 1 for one in sessions.values()) == 18_984
    assert max(one.clicks for one in sessions.values()) == 195
    converted = [outcome(one).converted for one in sessions.values()]
    assert np.mean(converted) == pytest.approx(0.5635, abs=5e-5)


def test_a_session_is_one_piece_of_the_file_in_order(clicks: pd.DataFrame) -> None:
    assert clicks["session"].is_monotonic_increasing
    assert (clicks["order"] == clicks.groupby("session").cumcount() + 1).all()


def test_reference_is_the_published_definition_for_every_session(
    clicks: pd.DataFrame, sessions: dict[int, Session]
) -> None:
    found = pd.DataFrame([reference(one) for one in sessions.values()], index=list(sessions))
    assert tuple(found) == REFERENCE.features
    assert_equal(found, by_pandas(clicks)[list(REFERENCE.features)])


def test_prefix_is_the_same_over_all_clicks_but_the_last(
    clicks: pd.DataFrame, sessions: dict[int, Session]
) -> None:
    values = {session: prefix(one) for session, one in sessions.items()}
    found = pd.DataFrame(
        [one for one in values.values() if one is not None],
        index=[session for session, one in values.items() if one is not None],
    )
    assert tuple(found) == PREFIX.features
    before_the_last = clicks[clicks["session"].duplicated(keep="last")]
    assert_equal(found, by_pandas(before_the_last)[list(PREFIX.features)])


def test_the_outcome_is_the_published_rule_and_its_base_rate(
    clicks: pd.DataFrame, sessions: dict[int, Session]
) -> None:
    last = clicks.groupby("session").last()
    converted = (last["price_2"] == 1) | (last["page"] >= 4)
    expected = [Outcome(*pair) for pair in zip(converted.tolist(), last["price"].tolist(), strict=True)]
    assert [Outcome(*outcome(one)[:2]) for one in sessions.values()] == expected


def test_no_session_of_the_dataset_misses_an_order(sessions: dict[int, Session]) -> None:
    assert {(one.missing, one.late, one.duplicates) for one in sessions.values()} == {(0, 0, 0)}
    assert all(one.seen == [1, one.clicks] for one in sessions.values())
