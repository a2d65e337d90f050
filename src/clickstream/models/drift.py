"""Whether a stream has changed: ADWIN on the main features and on the errors of the models.

ADWIN (Bifet and Gavaldà 2007, as in River) watches a mean and detects when a later part of its window differs
from an earlier one. It is fed with means of BLOCK sessions, in units of their standard deviation: so its
bound is the same for a price and for a share, and a session costs an eighth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from river.drift import ADWIN

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
"""Watched, of set `reference`, which every score holds: how long, how varied, how dear, how deep."""

ERRORS = ("batch_conversion_log_loss", "batch_revenue_error")
"""Watched: log-loss in nats, absolute error in the currency of the prices."""


class Alarm(NamedTuple):
    """A change: the mean before and after it, and how many sessions came after."""

    feature: str
    before: float
    after: float
    sessions: int


class Drift:
    """Watches several quantities of the same sessions."""

    def __init__(self, names: Sequence[str]) -> None:
        self._quantities = [_Quantity(name) for name in names]
        self._rest = np.empty((0, len(names)))

    def add(self, table: Floats) -> list[Alarm]:
        """Take sessions in the order in which they closed, shape (n, quantities); the changes found."""
        table = np.concatenate((self._rest, table))
        whole = len(table) - len(table) % BLOCK
        self._rest = table[whole:]
        if not whole:
            return []
        means = table[:whole].reshape(-1, BLOCK, table.shape[1]).mean(axis=1)
        return [
            alarm
            for quantity, column in zip(self._quantities, means.T.tolist(), strict=True)
            for alarm in quantity.add(column)
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
        # What never varied is drift as soon as it does.
        self._unit = float(means.std()) or abs(float(means.mean())) or 1.0
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
