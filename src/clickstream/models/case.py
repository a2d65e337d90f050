"""What a scorer may see, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
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

    def as_dict(self) -> dict[str, Any]:
        """Name -> value: `_asdict`, at a third of the cost."""
        conversion, revenue, cluster, name = self
        return {"conversion": conversion, "revenue": revenue, "cluster": cluster, "cluster_name": name}


class Example(NamedTuple):
    """A session to learn from: what a scorer may see of it, and what became of it."""

    case: Case
    outcome: Outcome


Artefact = dict[str, Any]
"""What one file of a bundle holds: name -> fitted estimator."""


def predictions(
    conversion: Floats, revenue: Floats | None, clusters: Sequence[int], names: Sequence[str]
) -> list[ScorerOutput]:
    """A scorer's answers to n cases, rounded; a linear model's negative price becomes 0.

    Args:
        conversion, revenue: shape (n,).
        clusters: n numbers; `names` has the name of each.
    """
    earning: Sequence[float | None] = (
        [None] * len(clusters) if revenue is None else rounded(np.maximum(revenue, 0.0))
    )
    named = [names[number] for number in clusters]
    return list(map(ScorerOutput, rounded(conversion), earning, clusters, named))


def rounded(values: Floats) -> list[float]:
    """`round(value, DECIMALS)` of each, shape (n,), to the last bit, at a twentieth of the cost."""
    scaled = values * 10.0**DECIMALS
    whole = np.rint(scaled)
    found: list[float] = (whole / 10.0**DECIMALS).tolist()
    # The product is rounded, too: which side of a half it lies on is certain only beyond its last place.
    for at in np.flatnonzero(~(np.abs(np.abs(scaled - whole) - 0.5) > np.spacing(np.abs(scaled)))).tolist():
        found[at] = round(float(values[at]), DECIMALS)
    return found
