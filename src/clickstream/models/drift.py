"""Whether a stream has changed: ADWIN on features of the sessions and on the errors of the models.

ADWIN (Bifet and Gavaldà 2007, as in River) watches a mean and detects when a later part of its window differs
from an earlier one. It is fed with means of BLOCK sessions, in units of their standard deviation: so its
bound is the same for a price and for a share, and a session costs an eighth.

Of a number its mean is watched, over the sessions that have one. Of a text, the shares of its most frequent
values. What is usual is what the stream shows at the beginning: nothing has to be known of it before.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from river.drift import ADWIN

from clickstream.features.condition import ValueKind
from clickstream.features.shop import UCI553, Shop
from clickstream.models.case import Floats

BLOCK = 8
"""Sessions whose mean is one observation."""

SETTLING = 256
"""Sessions at the start that give the unit; none of them raises an alarm."""

DELTA = 1e-4
"""Chance of a false alarm, as ADWIN bounds it."""

HISTORY = 2_048
"""Observations kept to find where the change began."""

# In observations: a change is searched with each 32 sessions.
_CLOCK = 32 // BLOCK

FEATURES = (
    "session_length",
    "models_per_click",
    "category_entropy",
    "mean_price",
    "pct_price2_views",
    "last_page",
)
"""Watched of shop uci553: how long, how varied, how dear, how deep."""

MOST_FEATURES = 64
"""Watched of any other shop: the first that its scores show. Each costs time and can raise a false alarm."""

MOST_VALUES = 4
"""Of a text, values whose shares are watched one by one; the others are watched together."""

LOG_LOSS_ERROR, REVENUE_ERROR = ERRORS = ("batch_conversion_log_loss", "batch_revenue_error")
"""Watched: log-loss in nats, absolute error in the currency of the shop where its goal has a value."""

NULL, OTHER = "null", "any other"
"""In place of a value: a session without one, and all values that are not watched one by one."""

Texts = Sequence[str | None]


class Alarm(NamedTuple):
    """A change: the mean before and after it, and how many sessions came after.

    `value`: of a text, the value whose share changed.
    """

    feature: str
    before: float
    after: float
    sessions: int
    value: str | None = None


class WatchedFeatures(NamedTuple):
    """The features of a shop that are watched: numbers, true being 1, and texts."""

    numbers: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.numbers + self.texts


def watched_features(shop: Shop) -> WatchedFeatures:
    """What is watched of a shop, in the order of its definition."""
    if shop is UCI553:
        return WatchedFeatures(FEATURES, ())
    definition = shop.definition
    shown = [feature for feature in definition.features if feature.in_scores][:MOST_FEATURES]
    texts = tuple(one.name for one in shown if definition.kind(one) is ValueKind.text)
    return WatchedFeatures(tuple(one.name for one in shown if one.name not in texts), texts)


def watched_errors(shop: Shop) -> tuple[str, ...]:
    """What is watched of the errors of the models."""
    return ERRORS if shop.definition.goal.value is not None else (LOG_LOSS_ERROR,)


class FeatureDrift:
    """Watches the features of a shop."""

    def __init__(self, watched: WatchedFeatures) -> None:
        self._numbers = Drift(watched.numbers)
        self._texts = [_Shares(name) for name in watched.texts]

    def add(self, numbers: Floats, texts: Sequence[Texts]) -> list[Alarm]:
        """Take sessions in the order in which they closed; the changes found.

        Args:
            numbers: shape (n, numbers), NaN where there is none.
            texts: a column of n values for each text.
        """
        alarms = self._numbers.add(numbers)
        for shares, column in zip(self._texts, texts, strict=True):
            alarms += shares.add(column)
        return alarms


class Drift:
    """Watches several quantities of the same sessions."""

    def __init__(self, names: Sequence[str]) -> None:
        self._quantities = [_Quantity(name) for name in names]
        self._rest = np.empty((0, len(names)))

    def add(self, table: Floats) -> list[Alarm]:
        """Take sessions in the order in which they closed, shape (n, quantities); the changes found.

        NaN is skipped: the mean of a block is over the others.
        """
        table = np.concatenate((self._rest, table))
        whole = len(table) - len(table) % BLOCK
        self._rest = table[whole:]
        if not whole:
            return []
        blocks = table[:whole].reshape(whole // BLOCK, BLOCK, table.shape[1])
        known = ~np.isnan(blocks)
        if known.all():
            means = blocks.mean(axis=1)
        else:
            counts = known.sum(axis=1)
            sums = np.where(known, blocks, 0.0).sum(axis=1)
            means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        return [
            alarm
            for quantity, column in zip(self._quantities, means.T, strict=True)
            for alarm in quantity.add(column[~np.isnan(column)].tolist())
        ]


class _Shares:
    """Watches the shares of the values of one text: which, the first sessions say."""

    def __init__(self, feature: str) -> None:
        self._feature = feature
        self._first: list[str | None] = []
        self._places: dict[str | None, int] = {}
        self._drift: Drift | None = None

    def add(self, column: Texts) -> list[Alarm]:
        if self._drift is None:
            self._first += column
            if len(self._first) < SETTLING:
                return []
            column, self._first = self._first, []
            counts = Counter(column[:SETTLING])
            known = sorted(counts, key=lambda value: (-counts[value], value or ""))[:MOST_VALUES]
            self._places = {value: at for at, value in enumerate(known)}
            self._drift = Drift([*(NULL if value is None else value for value in known), OTHER])
        other = len(self._places)
        at = [self._places.get(value, other) for value in column]
        return [
            alarm._replace(feature=self._feature, value=alarm.feature)
            for alarm in self._drift.add(np.eye(other + 1)[at])
        ]


class _Quantity:
    def __init__(self, name: str) -> None:
        self.name = name
        self._adwin = ADWIN(delta=DELTA, clock=_CLOCK)
        self._unit: float | None = None
        self._means: deque[float] = deque(maxlen=HISTORY)

    def add(self, means: list[float]) -> list[Alarm]:
        alarms = []
        for mean in means:
            self._means.append(mean)
            if self._unit is None:
                self._settle()
                continue
            self._adwin.update(mean / self._unit)
            if self._adwin.drift_detected:
                alarms.append(Alarm(self.name, *_change(self._means)))
                # ADWIN forgets its window with the next observation, too.
                self._means.clear()
        return alarms

    def _settle(self) -> None:
        if len(self._means) < SETTLING // BLOCK:
            return
        means = np.array(self._means)
        # What never varied is drift as soon as it does; of what never was, one session in a block counts 1.
        self._unit = float(means.std()) or abs(float(means.mean())) or 1 / BLOCK
        for mean in self._means:
            self._adwin.update(mean / self._unit)


def _change(means: deque[float]) -> tuple[float, float, int]:
    """The cut into two parts that leaves the smallest sum of squares within them: means, sessions after."""
    values = np.array(means)
    n = len(values)
    sums = values.cumsum()
    left = np.arange(1, n)
    before, after = sums[:-1] / left, (sums[-1] - sums[:-1]) / (n - left)
    cut = int(np.argmax(left * (n - left) * (before - after) ** 2))
    return float(before[cut]), float(after[cut]), (n - 1 - cut) * BLOCK
