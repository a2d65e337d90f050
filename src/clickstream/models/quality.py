"""How good the scorers are on the sessions of a stream: since the start, and over the last ones.

Progressive validation (Blum et al. 1999): a session was predicted before anybody knew what became of it. All
scorers are evaluated on the same sessions: those with evidence, of which each scorer predicted something.
A session counts by its weight: one whose goal is an event was predicted at one of its decision points, drawn
by weight, which stands for all of them.

Memory is bounded and a session costs the same however many came before: log-loss and MAE are sums, AUC since
the start is counted in bins of the forecast, and over the last sessions all is computed when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from sklearn.metrics import log_loss, mean_absolute_error, roc_auc_score

from clickstream.models.case import Floats
from clickstream.records.scorers import SCORERS, ScorerName

BINS = 10_000
"""Bins of equal width that forecasts are counted in. Two in one bin are equal to the AUC: with a thousand
sessions that moves it by less than 0.0001, with more by less."""

_CLIP = float(np.finfo(np.float64).eps)


class EvaluatedSession(NamedTuple):
    """A scored session with evidence: what became of it, and what the scorers, in their order, had said.

    `same_cluster`: whether `online` put it into the cluster of `batch`. `weight`: what its decision points
    weigh together. Revenues are in the shop's currency, NaN where its goal has no value.
    """

    converted: bool
    revenue: float
    same_cluster: bool
    weight: float
    conversions: tuple[float, ...]
    revenues: tuple[float, ...]


_CONVERTED, _REVENUE, _SAME, _WEIGHT, _FIRST = range(5)


class Merit(NamedTuple):
    """Of one scorer.

    `auc` is None where only one of the two outcomes occurred; `mae`, of revenue, where the goal has no value.
    """

    log_loss: float
    auc: float | None
    mae: float | None


class Quality(NamedTuple):
    """All scorers on the same sessions; `same_cluster` is the share in one cluster for both."""

    sessions: int
    same_cluster: float
    scorers: dict[ScorerName, Merit]


def rows(sessions: Sequence[EvaluatedSession], scorers: Sequence[ScorerName] = SCORERS) -> Floats:
    """As a table, shape (n, 4 + 2 scorers): what `add` takes."""
    width = _width(scorers)
    flat = chain.from_iterable((*one[:_FIRST], *one.conversions, *one.revenues) for one in sessions)
    return np.fromiter(flat, np.float64, len(sessions) * width).reshape(len(sessions), width)


def columns(
    table: Floats, scorers: Sequence[ScorerName] = SCORERS
) -> Iterator[tuple[ScorerName, Floats, Floats]]:
    """Each scorer with the conversions and the revenues that it said, both of shape (n,)."""
    yield from zip(scorers, *(said.T for said in _said(table)), strict=True)


def outcomes(table: Floats) -> tuple[Floats, Floats]:
    """Whether the sessions of a table converted (0 or 1), and their revenues, both of shape (n,)."""
    return table[:, _CONVERTED], table[:, _REVENUE]


def weights(table: Floats) -> Floats:
    """What the sessions of a table weigh, shape (n,)."""
    return table[:, _WEIGHT]


def losses(table: Floats) -> tuple[Floats, Floats]:
    """Log-loss (nats) and absolute error of the revenue of each session, both of shape (n, scorers)."""
    converted = table[:, _CONVERTED, None] > 0.5
    conversions, revenues = _said(table)
    forecast = np.clip(conversions, _CLIP, 1 - _CLIP)
    return (
        -np.log(np.where(converted, forecast, 1 - forecast)),
        np.abs(revenues - table[:, _REVENUE, None]),
    )


def _width(scorers: Sequence[ScorerName]) -> int:
    return _FIRST + 2 * len(scorers)


def _said(table: Floats) -> tuple[Floats, Floats]:
    """Conversions and revenues, both of shape (n, scorers)."""
    last = (_FIRST + table.shape[1]) // 2
    return table[:, _FIRST:last], table[:, last:]


class SinceStart:
    """Over all sessions added."""

    def __init__(self, scorers: Sequence[ScorerName] = SCORERS) -> None:
        self._scorers = scorers
        self._sessions = 0
        self._same = 0.0
        self._weight = 0.0
        self._log_loss = np.zeros(len(scorers))
        self._error = np.zeros(len(scorers))
        # Scorer, outcome, bin.
        self._counts = np.zeros((len(scorers), 2, BINS))

    def add(self, table: Floats, found: tuple[Floats, Floats] | None = None) -> None:
        """Count the sessions of a table of `rows`; `found`: their `losses`, where they are known."""
        log_losses, errors = found or losses(table)
        self._sessions += len(table)
        self._same += table[:, _SAME].sum()
        weight = weights(table)[:, None]
        self._weight += weight.sum()
        self._log_loss += (weight * log_losses).sum(axis=0)
        self._error += (weight * errors).sum(axis=0)
        converted = table[:, _CONVERTED].astype(np.intp)
        conversions, _ = _said(table)
        places = np.minimum((conversions * BINS).astype(np.intp), BINS - 1)
        np.add.at(self._counts, (np.arange(len(self._scorers)), converted[:, None], places), weight)

    def quality(self) -> Quality | None:
        """None before the first session."""
        n = self._sessions
        if not n:
            return None
        sums = np.stack((self._log_loss, self._error))
        means = zip(*(sums / self._weight).tolist(), strict=True)
        merits = [
            Merit(loss, _binned_auc(counts), None if math.isnan(error) else error)
            for (loss, error), counts in zip(means, self._counts, strict=True)
        ]
        return Quality(n, float(self._same / n), dict(zip(self._scorers, merits, strict=True)))


class Rolling:
    """Over the last `size` sessions added."""

    def __init__(self, size: int, scorers: Sequence[ScorerName] = SCORERS) -> None:
        self._table = np.empty((size, _width(scorers)))
        self._added = 0

    def add(self, table: Floats) -> None:
        """Take in the sessions of a table of `rows`; as many of the oldest go."""
        size = len(self._table)
        kept = table[-size:]
        first = self._added + len(table) - len(kept)
        self._table[np.arange(first, first + len(kept)) % size] = kept
        self._added += len(table)

    def table(self) -> Floats:
        """A copy of the last sessions, in no particular order."""
        return self._table[: self._added].copy()


def measure(table: Floats, scorers: Sequence[ScorerName] = SCORERS) -> Quality | None:
    """Exactly, over the sessions of a table; None where there is none."""
    if not len(table):
        return None
    converted, revenue = outcomes(table)
    weight = weights(table)
    both = 0 < converted.sum() < len(table)
    merits = {}
    has_revenue = not np.isnan(revenue).any()
    for name, forecast, expected in columns(table, scorers):
        merits[name] = Merit(
            float(log_loss(converted, forecast, sample_weight=weight, labels=[0.0, 1.0])),
            float(roc_auc_score(converted, forecast, sample_weight=weight)) if both else None,
            float(mean_absolute_error(revenue, expected, sample_weight=weight)) if has_revenue else None,
        )
    return Quality(len(table), float(table[:, _SAME].mean()), merits)


def _binned_auc(counts: Floats) -> float | None:
    """Area under the ROC curve by the Mann-Whitney statistic; within a bin one half of the pairs count."""
    negative, positive = counts
    pairs = negative.sum() * positive.sum()
    if not pairs:
        return None
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs)
