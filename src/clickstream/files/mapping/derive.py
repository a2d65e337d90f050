"""Derive: what a shop does not log, taken from what it does."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable


def mean_prices(clicks: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Category -> mean price of its products, from (category, product, price) of each click.

    A product counts once, with the mean of the prices it was shown at: how often it is looked at has no part
    in it. On UCI 553 this rule gives the `price 2` of every click.
    """
    shown = Counter(clicks)
    # Summed in the order of the prices, so that the order of rows leaves no trace in the last digit.
    of_product: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    for (category, product, price), count in sorted(shown.items()):
        of_product[category, product].append((price, count))
    of_category: dict[str, list[float]] = defaultdict(list)
    for (category, _), prices in of_product.items():
        total = sum(price * count for price, count in prices)
        of_category[category].append(total / sum(count for _, count in prices))
    return {category: sum(sorted(means)) / len(means) for category, means in of_category.items()}


MEAN_PRICES = """
SELECT category, list_sum(list(mean ORDER BY mean)) / count(*) AS mean FROM (
    SELECT category, list_sum(list(price * n ORDER BY price)) / sum(n) AS mean FROM (
        SELECT category, product, price, count(*) AS n FROM clicks GROUP BY category, product, price
    ) GROUP BY category, product
) GROUP BY category
"""
"""`mean_prices` in SQL, digit by digit, of a table `clicks`."""


class SessionDepth:
    """Of each click of a session in order, the number of different products of its category up to it, at most
    `at_most`.
    """

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._seen: dict[str, set[str]] = defaultdict(set)

    def next(self, category: str, product: str) -> int:
        """That of the next click."""
        seen = self._seen[category]
        seen.add(product)
        return min(len(seen), self._at_most)
