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
    """A session as the scorers see it.

    `evidence` has the features of the clicks before the one that decides, None where there are none; `whole`
    has those of all clicks. `weight` is what the session weighs where it is learned from: 1, or as much as
    the decision points that it stands for.
    """

    evidence: Features | None
    whole: Features
    weight: float = 1.0


class ScorerOutput(NamedTuple):
    """The answer of one scorer: probability of conversion, expected revenue in the shop's currency, cluster.

    `revenue` is None where the goal of the shop has no value.
    """

    conversion: float
    revenue: float | None
    cluster: int
    cluster_name: str


class Example(NamedTuple):
    """A session to learn from: what a scorer may see of it, and what became of it."""

    case: Case
    outcome: Outcome


Artefact = dict[str, Any]
"""What one file of a bundle holds: name -> fitted estimator."""


def prediction(conversion: float, revenue: float | None, cluster: int, cluster_name: str) -> ScorerOutput:
    """A scorer's answer, rounded; a linear model's negative price becomes 0."""
    earning = None if revenue is None else round(max(revenue, 0.0), DECIMALS)
    return ScorerOutput(round(conversion, DECIMALS), earning, cluster, cluster_name)
