"""What follows a product: the share of next clicks that convert, and their mean price.

Every pair of neighbouring clicks of a training session counts, not the deciding one alone: that is eight
times as much to learn from. A product of few pairs is drawn to the mean of all (Micci-Barreca 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from clickstream.models.case import Floats
from clickstream.models.examples import Evidence

SMOOTHING = 30.0
"""Pairs that the mean of all counts for."""

FOLDS = 5


class ProductTable(NamedTuple):
    """Product -> value; `usual` for a product that was never followed by a click."""

    values: dict[str, float]
    usual: float

    def of(self, products: Sequence[str]) -> list[float]:
        """The values of these products, shape (n,)."""
        values, usual = self.values, self.usual
        return [values.get(product, usual) for product in products]


class ProductTables(NamedTuple):
    """Two tables about the click that follows a product.

    `converting` has the probability that it converts, `earning` its expected price.
    """

    converting: ProductTable
    earning: ProductTable


class EncodedProducts(NamedTuple):
    """The tables, and what they say of the last product of each training session, without that session.

    Attributes:
        converting, earning: shape (n,), each from the folds that the session is not in: a table that holds
            a session's own outcome would teach the trees to trust it too much.
    """

    tables: ProductTables
    converting: Floats
    earning: Floats


def learn_tables(evidence: Evidence, seed: int) -> EncodedProducts:
    """Learn the tables from all sessions, and their cross-fitted values; `seed` divides the folds."""
    pairs = [pair for pairs in evidence.followed for pair in pairs]
    products = sorted({pair.product for pair in pairs} | {row["last_product"] for row in evidence.rows})
    numbers = {product: number for number, product in enumerate(products)}
    product = np.array([numbers[pair.product] for pair in pairs], dtype=np.intp)
    session = np.repeat(np.arange(len(evidence.rows)), [len(found) for found in evidence.followed])
    last = np.array([numbers[row["last_product"]] for row in evidence.rows], dtype=np.intp)
    fold = np.empty(len(evidence.rows), dtype=np.intp)
    for number, (_, out) in enumerate(KFold(FOLDS, shuffle=True, random_state=seed).split(fold)):
        fold[out] = number
    tables, columns = [], []
    for values in (
        np.array([pair.converted for pair in pairs], dtype=np.float64),
        np.array([pair.revenue for pair in pairs], dtype=np.float64),
    ):
        means, usual = smoothed_means(product, values, len(products))
        tables.append(ProductTable(dict(zip(products, means.tolist(), strict=True)), usual))
        column = np.empty(len(last))
        for number in range(FOLDS):
            others = fold[session] != number
            means, _ = smoothed_means(product[others], values[others], len(products))
            column[fold == number] = means[last[fold == number]]
        columns.append(column)
    return EncodedProducts(ProductTables(*tables), *columns)


def smoothed_means(
    product: NDArray[np.intp], values: Floats, count: int, weights: Floats | None = None
) -> tuple[Floats, float]:
    """The mean of `values` by product, drawn to the mean of all; and the mean of all.

    Args:
        product: numbers from 0 to below `count`, shape (n,).
        weights: of each value; by default all are equal.
    """
    usual = float(np.average(values, weights=weights))
    pairs = np.bincount(product, weights=weights, minlength=count)
    weighted = values if weights is None else values * weights
    sums = np.bincount(product, weights=weighted, minlength=count)
    means: Floats = (sums + SMOOTHING * usual) / (pairs + SMOOTHING)
    return means, usual
