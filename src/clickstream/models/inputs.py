"""What the models know of the values that features take: learned from the training sessions, kept as JSON.

A value outside the vocabulary is missing to every model, so a shop that adds a page or a product is scored
as one that shows nothing there. Vocabularies are bounded: the online state holds a weight for each value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from pydantic import BaseModel, ConfigDict

from clickstream.features.vector import Features

Value = int | str

MOST_VALUES = 12
"""Values kept of a category or page. Memory and time of the online regression grow with its square."""

MOST_PRODUCTS = 500
"""Products that the online classifier keeps a weight for: about 27 bytes of state each."""

MARGIN = 10.0
"""How far beyond the largest value in training a number counts, as a factor. One click with an absurd but
valid price would otherwise bend an online model for good."""


class Vocabulary(BaseModel):
    """The values of categorical features, in a fixed order, and the limits of numeric ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: dict[str, list[Value]]
    limits: dict[str, float]

    @cached_property
    def positions(self) -> Mapping[str, Mapping[Value, int]]:
        """Feature -> value -> place in `values`."""
        return {name: {value: at for at, value in enumerate(values)} for name, values in self.values.items()}


def learn_vocabulary(
    rows: Sequence[Features], categorical: Iterable[str], numeric: Iterable[str], products: Iterable[str]
) -> Vocabulary:
    """The most frequent values of each categorical feature, sorted, and of the last products seen."""
    values = {name: _most_frequent((row[name] for row in rows), MOST_VALUES) for name in categorical}
    values["last_product"] = _most_frequent(products, MOST_PRODUCTS)
    limits = {name: MARGIN * max(float(row[name]) for row in rows) for name in numeric}
    return Vocabulary(values=values, limits=limits)


def _most_frequent(values: Iterable[Value], most: int) -> list[Value]:
    counts = Counter(values)
    # Equal counts are ordered by value: the bundle must not depend on the order of sessions of one day.
    ranked = sorted(counts, key=lambda value: (-counts[value], str(value)))
    return sorted(ranked[:most], key=lambda value: (isinstance(value, str), value))
