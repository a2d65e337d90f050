"""Reasons: how far each feature of a session moved an answer away from that of an average session.

Shapley values (Lundberg et al. 2020). Of trees they are exact, where what is left out is averaged over the
training sessions that took each branch; of linear models it is the weight times the distance from the mean.
They add up: base and effects are the answer. A feature is one player, in however many columns it is encoded,
so what its columns do together is its own.

Effects are on the scale on which a model adds: log-odds before calibration, of a forest the probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from clickstream.features.vector import Features
from clickstream.models.case import Floats
from clickstream.models.trees import Trees

Scale = Literal["log-odds", "probability"]


class Attribution(NamedTuple):
    """An answer, taken apart: `base` and all `effects` add up to it, on its scale."""

    scale: Scale
    base: float
    effects: Mapping[str, float]


class Reason(BaseModel):
    """What one feature did to an answer."""

    model_config = ConfigDict(frozen=True)

    feature: str
    value: int | float | bool | str | None = Field(description="what the model saw")
    effect: float = Field(description="positive: towards conversion")


class Reasons(BaseModel):
    """The features that moved an answer most: `base`, their effects and `others` add up to `answer`."""

    model_config = ConfigDict(frozen=True)

    scale: Scale = Field(description="of all figures here; log-odds are those before calibration")
    base: float = Field(description="the answer for an average session")
    strongest: list[Reason]
    others: float = Field(description="what all other features did together")
    answer: float = Field(description="of this session; its probability follows from it")


def strongest(attribution: Attribution, features: Features, at_most: int) -> Reasons:
    """The largest effects, whichever way they point; equal ones by name."""
    effects = attribution.effects
    names = sorted((name for name in effects if effects[name]), key=lambda name: (-abs(effects[name]), name))
    chosen, rest = names[:at_most], names[at_most:]
    return Reasons(
        scale=attribution.scale,
        base=attribution.base,
        strongest=[Reason(feature=name, value=features[name], effect=effects[name]) for name in chosen],
        others=sum(effects[name] for name in rest),
        answer=attribution.base + sum(effects.values()),
    )


def linear_attribution(model: Any, inputs: Mapping[int, float], feature_of: Mapping[int, str]) -> Attribution:
    """Effects on the log-odds of one of River's logistic regressions.

    Numbers are standardised, so the average session has zeros there, and the base is one without texts.

    Args:
        inputs: of one session, by their place.
        feature_of: which feature stands at a place; several may be of one.
    """
    weights: Mapping[int, float] = model.weights
    effects = dict.fromkeys(feature_of.values(), 0.0)
    for place, value in inputs.items():
        effects[feature_of[place]] += weights.get(place, 0.0) * value
    return Attribution("log-odds", model.intercept, effects)


class TreeReasons:
    """Effects of features on the sum of trees.

    A leaf answers for the features on its way: v(S) is its value, times 1 or 0 for each feature of S as the
    row goes that way or not, times the share of training sessions that did for each of the others. The
    Shapley value of such a product is the integral of its derivative along the diagonal (Owen 1972), here of
    a polynomial, which a Gauss-Legendre quadrature gives without error.
    """

    def __init__(self, trees: Trees, features: Sequence[str], scale: Scale) -> None:
        """Reasons of `trees`, whose row has a column for each entry of `features`; names may repeat."""
        self._trees = trees
        self._scale = scale
        self._names = list(dict.fromkeys(features))
        number = {name: at for at, name in enumerate(self._names)}
        leaves = list(_ways(trees, [number[name] for name in features]))
        width = max(1, max(len(players) for _, players, _ in leaves))
        # Places that a leaf does not need are of nobody, with a share of 1: they change no product.
        self._shares = np.ones((len(leaves), width))
        self._players = np.full((len(leaves), width), len(self._names), dtype=np.intp)
        self._values = np.array([trees.value[leaf] for leaf, _, _ in leaves])
        branches = []
        for line, (_, players, way) in enumerate(leaves):
            self._players[line, : len(players)] = players
            for node, is_low, share in way:
                place = players.index(number[features[trees.column[node]]])
                self._shares[line, place] *= share
                branches.append((line, place, node, is_low))
        self._branches: NDArray[np.intp] = np.array(branches, dtype=np.intp).reshape(-1, 4)
        points, weights = np.polynomial.legendre.leggauss((width + 1) // 2)
        self._quadrature = list(zip(((points + 1) / 2).tolist(), (weights / 2).tolist(), strict=True))
        self._base = trees.base + float(self._values @ self._shares.prod(axis=1))

    def of(self, row: Floats) -> Attribution:
        """Take the answer for one row of the matrix apart, shape (columns,)."""
        lines, places, nodes, is_low = self._branches.T
        leaves_the_way = self._trees.goes_low(row[None])[0, nodes] != is_low
        taken = np.ones_like(self._shares)
        taken[lines[leaves_the_way], places[leaves_the_way]] = 0.0
        slope = np.zeros_like(self._shares)
        for at, weight in self._quadrature:
            factors = (1 - at) * self._shares + at * taken
            slope += weight * factors.prod(axis=1, keepdims=True) / factors
        effects = self._values[:, None] * (taken - self._shares) * slope
        sums = np.bincount(self._players.ravel(), effects.ravel(), len(self._names) + 1)
        return Attribution(self._scale, self._base, dict(zip(self._names, sums.tolist(), strict=False)))


def _ways(trees: Trees, players: Sequence[int]) -> Any:
    """Of each leaf its node, the players on its way, and the branches: node, side, share that took it."""
    stack: list[tuple[int, list[int], list[tuple[int, bool, float]]]] = [
        (root, [], []) for root in trees.roots.tolist()
    ]
    while stack:
        node, seen, way = stack.pop()
        low, high = int(trees.low[node]), int(trees.high[node])
        if low == node:
            yield node, seen, way
            continue
        player = players[trees.column[node]]
        through = trees.weight[low] + trees.weight[high]
        for child, is_low in ((low, True), (high, False)):
            share = float(trees.weight[child] / through)
            stack.append((child, seen if player in seen else [*seen, player], [*way, (node, is_low, share)]))
