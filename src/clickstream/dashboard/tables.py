"""The dataset as two tables, one row a click and one row a session, and what is counted from them."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from clickstream.features.shop import UCI553
from clickstream.files.dataset import Dataset

LEAVES = "(leaves)"

_BINS = 8


class DatasetTables(NamedTuple):
    """`clicks`: session, category, product, price, country, in order. `sessions`: session, day, converted,
    and features of the set `reference` under the names that the page shows."""

    clicks: pd.DataFrame
    sessions: pd.DataFrame


def tables_of(dataset: Dataset) -> DatasetTables:
    """Both tables of a dataset."""
    clicks = pd.DataFrame(
        [(row.session_id, row.category, row.product, row.price, row.country) for row in dataset.clicks],
        columns=["session", "category", "product", "price", "country"],
    ).astype({"session": "category", "category": "category", "product": "category"})
    rows = []
    for session_id, day, session in dataset.sessions():
        features = UCI553.features(session)
        rows.append(
            {
                "session": session_id,
                "day": day,
                "converted": UCI553.outcome(session).converted,
                "clicks": features["session_length"],
                "depth": features["navigation_depth"],
                "categories": features["n_unique_categories"],
                "transitions": features["category_transitions"],
                "premium share": features["pct_price2_views"],
                "mean price": features["mean_price"],
                "last category": features["last_category"],
            }
        )
    return DatasetTables(clicks, pd.DataFrame(rows))


def paths(clicks: pd.DataFrame) -> pd.DataFrame:
    """From each category, how many clicks lead to each, or out of the shop: category, next, clicks, share."""
    following = clicks["category"].astype(str).shift(-1)
    same = clicks["session"].eq(clicks["session"].shift(-1))
    table = (
        pd.DataFrame({"category": clicks["category"].astype(str), "next": following.where(same, LEAVES)})
        .groupby(["category", "next"])
        .size()
        .reset_index(name="clicks")
    )
    table["share"] = table["clicks"] / table.groupby("category")["clicks"].transform("sum")
    return table


def conversion_by(sessions: pd.DataFrame, feature: str) -> pd.DataFrame:
    """Share of converted sessions by the value of a feature, many numbers in bins of about equal size: value,
    order, sessions, conversion."""
    values = sessions[feature]
    if values.dtype.kind in "if" and values.nunique() > _BINS:
        bins = pd.qcut(values, _BINS, duplicates="drop").cat
        names = [_name(b.left, b.right, values.dtype.kind == "i") for b in bins.categories]
        table = pd.DataFrame({"order": bins.codes, "value": [names[code] for code in bins.codes]})
    else:
        table = pd.DataFrame({"order": values.rank(method="dense"), "value": values.astype(str)})
    table["converted"] = sessions["converted"]
    return (
        table.groupby(["order", "value"])["converted"]
        .agg(sessions="size", conversion="mean")
        .reset_index()[["value", "order", "sessions", "conversion"]]
    )


def _name(left: float, right: float, whole: bool) -> str:
    """Of the numbers above `left`, up to `right`."""
    if not whole:
        return f"{max(left, 0):.4g} to {right:.4g}"
    first, last = math.floor(left) + 1, math.floor(right)
    return str(first) if first == last else f"{first} to {last}"
