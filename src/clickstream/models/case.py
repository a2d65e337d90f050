"""What a scorer may see, and what it answers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features

DECIMALS = 10
"""Places that a prediction is rounded to, so that the shape of a batch leaves no trace."""

Floats = NDArray[np.float64]


class Case(NamedTuple):
    """A session as the scorers see it: features of the evidence, None without any, and of all clicks.

    `weight` is what it weighs where it is learned from: 1, or that of the decision points it stands for.
    """

    prefix: Features | None
    reference: Features
    weight: float = 1.0


class ScorerOutput(NamedTuple):
    """One scorer's answer: probability of conversion, expected revenue in the currency of the shop, cluster.

    `revenue` is None where the goal of the shop has no value.
    """

    conversion: float
    revenue: float | None
    cluster: int
    cluster_name: str


class Example(NamedTuple):
    """A session to learn from."""

    case: Case
    outcome: Outcome


Artefact = dict[str, Any]
"""What one file of a bundle holds: name -> fitted estimator."""


def prediction(conversion: float, revenue: float | None, cluster: int, cluster_name: str) -> ScorerOutput:
    """A scorer's answer, rounded; a linear model's negative price becomes 0."""
    earning = None if revenue is None else round(max(revenue, 0.0), DECIMALS)
    return ScorerOutput(round(conversion, DECIMALS), earning, cluster, cluster_name)
