"""What the page *Data* counts."""

from __future__ import annotations

import pandas as pd
import pytest

from clickstream.dashboard.tables import LEAVES, DatasetTables, conversion_by, paths, tables_of
from clickstream.producer.synthetic import synthetic_dataset


@pytest.fixture(scope="module")
def tables() -> DatasetTables:
    return tables_of(synthetic_dataset(300))


def test_a_path_leads_from_each_click_to_the_next_one_of_its_session_or_out() -> None:
    clicks = pd.DataFrame({"session": ["a", "a", "a", "b"], "category": ["x", "x", "y", "y"]})
    found = {
        (row["category"], row["next"]): (row["clicks"], row["share"])
        for row in paths(clicks).to_dict("records")
    }
    assert found == {("x", "x"): (1, 0.5), ("x", "y"): (1, 0.5), ("y", LEAVES): (2, 1.0)}


def test_every_click_has_one_way_out_of_it(tables: DatasetTables) -> None:
    table = paths(tables.clicks)
    assert table["clicks"].sum() == len(tables.clicks)
    assert table.loc[table["next"] == LEAVES, "clicks"].sum() == len(tables.sessions)


@pytest.mark.parametrize("feature", ["clicks", "premium share", "mean price", "last category", "depth"])
def test_conversion_by_a_feature_counts_every_session_once(tables: DatasetTables, feature: str) -> None:
    table = conversion_by(tables.sessions, feature)
    assert table["sessions"].sum() == len(tables.sessions)
    converted = (table["sessions"] * table["conversion"]).sum()
    assert converted == pytest.approx(tables.sessions["converted"].sum())
    assert table["value"].is_unique


def test_bins_of_whole_numbers_are_named_by_what_is_in_them() -> None:
    sessions = pd.DataFrame({"clicks": [*range(1, 41)] * 2, "converted": [True] * 80})
    names = conversion_by(sessions, "clicks").sort_values("order")["value"].tolist()
    assert names == [
        "1 to 5",
        "6 to 10",
        "11 to 15",
        "16 to 20",
        "21 to 25",
        "26 to 30",
        "31 to 35",
        "36 to 40",
    ]
