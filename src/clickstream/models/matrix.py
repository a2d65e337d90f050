"""Features as the columns of a float matrix.

The same functions build the matrix that a model is fitted on and the one that it is asked with. No data
frame is involved: at serving time building one would cost more than the models do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from clickstream.features.vector import Features
from clickstream.models.case import Case, Floats
from clickstream.models.inputs import Vocabulary

CATEGORICAL = ("first_category", "last_category", "first_page", "last_page")
"""One-hot in the published and the online models."""

PUBLISHED = (
    "session_length",
    "n_unique_models",
    "n_unique_categories",
    "category_entropy",
    "mean_price",
    "max_price",
    "min_price",
    "std_price",
    "num_high_price_views",
    "pct_price2_views",
    "models_per_click",
    "last_price",
)
"""Numeric inputs of the published classifier. `last_price` stands last: the regressor goes without it."""

RICH = (
    *PUBLISHED,
    "last_price_2",
    "first_page",
    "last_page",
    "first_eq_last_category",
    "last_order",
    "navigation_depth",
    "category_transitions",
)
"""Numeric inputs of the batch models."""

CLUSTERED = (
    "session_length",
    "n_unique_models",
    "n_unique_categories",
    "category_entropy",
    "mean_price",
    "max_price",
    "min_price",
    "std_price",
    "last_price",
    "last_price_2",
    "num_high_price_views",
    "pct_price2_views",
    "first_page",
    "last_page",
    "first_eq_last_category",
    "models_per_click",
    "last_order",
)
"""Inputs of k-means."""


class Rows(list[Features]):
    """Features of n sessions, whose numbers are read once, however many models look at them."""

    @cached_property
    def rich(self) -> Floats:
        """The numbers RICH, which all others are among, shape (n, len(RICH))."""
        return _read(self, RICH)


class Cases(list[Case]):
    """Sessions as the scorers see them, whose features are read once, however many scorers look at them."""

    @cached_property
    def whole(self) -> Rows:
        """The features of all clicks of each."""
        return Rows(case.whole for case in self)

    @cached_property
    def evidence(self) -> Rows:
        """The evidence of those that have some."""
        return Rows(case.evidence for case in self if case.evidence is not None)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Which have some, shape (n,)."""
        return np.array([case.evidence is not None for case in self], dtype=np.bool_)

    @classmethod
    def of(cls, cases: Sequence[Case]) -> Cases:
        """These cases; the very object, where it is one of these."""
        return cases if isinstance(cases, cls) else cls(cases)


def numbers(rows: Sequence[Features], names: tuple[str, ...]) -> Floats:
    """The named numeric features, shape (n, len(names))."""
    return rows.rich[:, _columns(names)] if isinstance(rows, Rows) else _read(rows, names)


def _read(rows: Sequence[Features], names: tuple[str, ...]) -> Floats:
    take = itemgetter(*names)
    return np.array([take(row) for row in rows], dtype=np.float64).reshape(len(rows), len(names))


@cache
def _columns(names: tuple[str, ...]) -> list[int]:
    return [RICH.index(name) for name in names]


def one_hot(rows: Sequence[Features], names: tuple[str, ...], vocabulary: Vocabulary) -> Floats:
    """One column for each value of each feature; a value never seen is all zeros."""
    tables = []
    width = 0
    for name in names:
        tables.append((name, {value: width + at for value, at in vocabulary.positions[name].items()}))
        width += len(vocabulary.positions[name])
    # What was never seen falls into a column of its own, which is left out.
    matrix = np.zeros((len(rows), width + 1))
    each = np.arange(len(rows))
    for name, columns in tables:
        matrix[each, [columns.get(row[name], width) for row in rows]] = 1.0
    return matrix[:, :width]
