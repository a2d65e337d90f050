"""What models of a shop learn from: windows, and tables of their features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clickstream.features.condition import ValueKind
from clickstream.features.definition import Feature, ShopDefinition
from clickstream.features.vector import Features
from clickstream.models.case import Floats


class ShopWindow(NamedTuple):
    """A closed window of a session: its distinct clicks in order, as the fold of its shop takes them."""

    session_id: str
    clicks: Sequence[Any]

    @property
    def opened_at(self) -> int:
        """Event time of its first click, ms since the epoch."""
        at: int = self.clicks[0].event_time
        return at


def is_text(definition: ShopDefinition, feature: Feature) -> bool:
    """Whether a feature is a text; all others are numbers, true being 1."""
    return definition.kind(feature) is ValueKind.text


@dataclass(frozen=True)
class FeatureTable:
    """Features of n moments, column by column.

    Attributes:
        numbers: names of the columns of `values`.
        values: shape (n, len(numbers)); what is null is NaN.
        texts: feature -> its values, of type object, shape (n,); what is null is None.
    """

    numbers: tuple[str, ...]
    values: Floats
    texts: dict[str, NDArray[np.object_]]

    def __len__(self) -> int:
        return len(self.values)

    def at(self, places: NDArray[Any]) -> FeatureTable:
        """Select rows by position or by mask."""
        texts = {name: column[places] for name, column in self.texts.items()}
        return FeatureTable(self.numbers, self.values[places], texts)

    def row(self, place: int) -> Features:
        """The features of one moment, as they came from the fold."""
        values = zip(self.numbers, self.values[place].tolist(), strict=True)
        numbers = {name: None if value != value else value for name, value in values}
        return numbers | {name: column[place] for name, column in self.texts.items()}

    def column(self, name: str) -> Floats:
        """A column of numbers, shape (n,)."""
        column: Floats = self.values[:, self.numbers.index(name)]
        return column


def table_of(definition: ShopDefinition, rows: Iterable[Features], count: int) -> FeatureTable:
    """Make a table of `count` rows of features, which need not be in memory at once."""
    texts = {f.name: np.empty(count, dtype=object) for f in definition.features if is_text(definition, f)}
    numbers = tuple(f.name for f in definition.features if f.name not in texts)
    values = np.empty((count, len(numbers)))
    for at, row in enumerate(rows):
        values[at] = [row[name] for name in numbers]
        for name, column in texts.items():
            column[at] = row[name]
    return FeatureTable(numbers, values, texts)
