"""Features as the columns of a float matrix.

The same functions build the matrix that a model is fitted on and the one that it is asked with. No data
frame is involved: at serving time building one would cost more than the models do.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np

from clickstream.features.vector import Features
from clickstream.models.case import Floats
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


def numbers(rows: Sequence[Features], names: tuple[str, ...]) -> Floats:
    """The named numeric features, shape (n, len(names))."""
    take = itemgetter(*names)
    return np.array([take(row) for row in rows], dtype=np.float64).reshape(len(rows), len(names))


def one_hot(rows: Sequence[Features], names: tuple[str, ...], vocabulary: Vocabulary) -> Floats:
    """One column for each value of each feature; a value never seen is all zeros."""
    tables = []
    width = 0
    for name in names:
        tables.append((name, {value: width + at for value, at in vocabulary.positions[name].items()}))
        width += len(vocabulary.positions[name])
    matrix = np.zeros((len(rows), width))
    for line, row in zip(matrix, rows, strict=True):
        for name, columns in tables:
            column = columns.get(row[name])
            if column is not None:
                line[column] = 1.0
    return matrix
