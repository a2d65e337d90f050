"""What the models of a shop know of the values of its features: learned in training, kept as JSON.

A text outside the vocabulary is unknown to every model, a number beyond all of training counts as the
largest: a shop that adds a campaign or a price is scored as one that shows nothing new.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from clickstream.models.case import Floats
from clickstream.models.inputs import MARGIN
from clickstream.models.shop.examples import FeatureTable

MOST_TEXTS = 1_000
"""Texts kept of a feature, the most frequent ones: each has a mean of its own."""

MOST_CATEGORIES = 64
"""Of them, those that trees and online models know one by one."""

ABSENT, UNKNOWN = -2, -1
"""Codes of what is null, and of a text that is not in the vocabulary."""


class ShopInputs(BaseModel):
    """The inputs of the models of one shop.

    Attributes:
        numbers, texts: features, in the order in which the models take them; of a text its vocabulary, the
            most frequent first.
        limits: of each number, by its size, whatever its sign.
        spending: mean revenue of a session that converts; None where the goal has no value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numbers: list[str]
    texts: dict[str, list[str]]
    limits: list[float]
    spending: float | None

    @cached_property
    def _codes(self) -> dict[str, dict[str | None, int]]:
        return {
            name: {None: ABSENT} | {text: code for code, text in enumerate(known)}
            for name, known in self.texts.items()
        }

    def code(self, name: str, text: str | None) -> int:
        """The place of a text in the vocabulary of its feature; ABSENT or UNKNOWN."""
        return self._codes[name].get(text, UNKNOWN)

    def codes(self, table: FeatureTable, name: str) -> NDArray[np.intp]:
        """The codes of a column of texts, shape (n,)."""
        get = self._codes[name].get
        return np.fromiter((get(text, UNKNOWN) for text in table.texts[name]), np.intp, len(table))

    def clipped(self, table: FeatureTable) -> Floats:
        """The numbers within their limits, shape (n, len(numbers)); NaN stays."""
        limits = np.array(self.limits)
        clipped: Floats = np.clip(table.values, -limits, limits)
        return clipped


def learn_inputs(table: FeatureTable, spending: float | None) -> ShopInputs:
    """Learn the inputs from `table`, which has decision points of the training sessions."""
    largest = np.nan_to_num(np.abs(table.values), nan=0.0).max(axis=0, initial=0.0)
    return ShopInputs(
        numbers=list(table.numbers),
        texts={name: _most_frequent(column) for name, column in table.texts.items()},
        limits=(MARGIN * largest).tolist(),
        spending=spending,
    )


def _most_frequent(column: NDArray[np.object_]) -> list[str]:
    counts = Counter(text for text in column if text is not None)
    # Equal counts are ordered by text: nothing depends on the order of sessions.
    return sorted(counts, key=lambda text: (-counts[text], text))[:MOST_TEXTS]
