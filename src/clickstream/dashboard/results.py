"""Scored files in memory, few at a time, none on disk."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
import streamlit as st

from clickstream.dashboard import theme
from clickstream.features.shop import Shop
from clickstream.models.scorers import scorers_of
from clickstream.offline.scoring import FileScores
from clickstream.records.scorers import ScorerName

MOST_KEPT = 3
"""Of the whole process. A file whose result is gone is scored again: its upload is still there."""


class ScoredFile(NamedTuple):
    """A scored file of a shop. `frame` is its sessions for table and charts; `currency` goes before an
    amount, and is empty where nobody said in which the prices are.
    """

    scores: FileScores
    frame: pd.DataFrame
    currency: str
    shop: Shop

    @property
    def scorers(self) -> tuple[ScorerName, ...]:
        """Of the shop."""
        return scorers_of(self.shop)

    @property
    def has_revenue(self) -> bool:
        """Whether a conversion of the shop has a value."""
        return self.shop.definition.goal.value is not None

    @property
    def clusters(self) -> list[str]:
        """Names of the clusters, in the order in which they are shown."""
        return theme.clusters(
            self.shop, (name for of in self.scores.summary.clusters.values() for name in of)
        )


class Results:
    """The last few results, by a key of upload, mapping and bundle; safe for many tabs."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, ScoredFile] = OrderedDict()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def get(self, key: str) -> ScoredFile | None:
        """The scored file of a key, if it is kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def make(self, key: str, score: Callable[[], FileScores], currency: str, shop: Shop) -> ScoredFile:
        """Score, and keep it. One at a time: so much memory is needed, and no more."""
        with self._turn:
            scores = score()
            result = ScoredFile(scores, pd.DataFrame(scores.sessions.columns), currency, shop)
            with self._lock:
                self._kept[key] = result
                while len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
        return result

    def drop(self, key: str | None) -> None:
        """Forget a result, whose tab shows another file."""
        with self._lock:
            self._kept.pop(key or "", None)


@st.cache_resource(show_spinner=False)
def results() -> Results:
    """The results of this process."""
    return Results()
