"""Fitted trees as one table of nodes: a few sessions are predicted without the way that thousands go.

At each call scikit-learn checks, copies and encodes the matrix, which for one row costs ten times the trees.
Here each row is compared with all thresholds at once. The answers are those of scikit-learn to the last bit:
the same comparisons in double precision, the same leaves, added in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from clickstream.models.case import Floats

Places = NDArray[np.intp]

FEW = 128
"""Rows up to which the table is faster than scikit-learn, by half at least."""


class TreeModel:
    """A fitted HistGradientBoosting of one output, asked the way that is shorter for so many rows."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self.trees = of_histograms(estimator)

    def probability(self, matrix: Floats) -> Floats:
        """The chance of the second class by a classifier, shape (rows,)."""
        if len(matrix) > FEW:
            several: Floats = self._estimator.predict_proba(matrix)[:, 1]
            return several
        few: Floats = expit(self.trees.answers(matrix))
        return few

    def expected(self, matrix: Floats) -> Floats:
        """What a regressor expects, shape (rows,)."""
        if len(matrix) > FEW:
            several: Floats = self._estimator.predict(matrix)
            return several
        return self.trees.answers(matrix)


@dataclass(frozen=True, slots=True)
class Trees:
    """The nodes of all trees of an ensemble, tree after tree; n nodes.

    Attributes:
        roots: the first node of each tree.
        low, high: children of each node; a leaf is its own. A row goes low where its number is at most the
            threshold, or its category is in the set.
        column: of the row that a node looks at.
        threshold: of each node; NaN at a leaf, and where a category decides.
        missing_low: whether a row without a value goes low.
        value: what a leaf adds; 0 elsewhere.
        weight: of the training sessions that came through a node.
        base: what the leaves are added to.
        native: the nodes at which a category decides.
        sets: of each of these, whether the categories 0, 1, … go low, and in the last place one that is
            absent or unknown; shape (len(native), categories + 1).
        depth: the most branches from a root to a leaf.
        single: whether rows are rounded to single precision first.
    """

    roots: Places
    low: Places
    high: Places
    column: Places
    threshold: Floats
    missing_low: NDArray[np.bool_]
    value: Floats
    weight: Floats
    base: float
    native: Places
    sets: NDArray[np.bool_]
    depth: int
    single: bool = False

    def goes_low(self, matrix: Floats) -> NDArray[np.bool_]:
        """Whether each row, shape (rows, columns), would go low at each node; shape (rows, n)."""
        if self.single:
            matrix = matrix.astype(np.float32).astype(np.float64)
        numbers = matrix[:, self.column]
        low: NDArray[np.bool_] = (numbers <= self.threshold) | (self.missing_low & np.isnan(numbers))
        if len(self.native):
            categories, unknown = numbers[:, self.native], self.sets.shape[1] - 1
            known = (categories >= 0) & (categories < unknown)
            codes = np.where(known, categories, unknown).astype(np.intp)
            low[:, self.native] = self.sets[np.arange(len(self.native)), codes]
        return low

    def answers(self, matrix: Floats) -> Floats:
        """For each row the sum of the leaves that it falls into, and the base; shape (rows,)."""
        rows = len(matrix)
        goes_low = self.goes_low(matrix).ravel()
        first = np.arange(rows)[:, None] * len(self.column)
        at = np.broadcast_to(self.roots, (rows, len(self.roots)))
        for _ in range(self.depth):
            at = np.where(goes_low[first + at], self.low[at], self.high[at])
        # One after the other, as scikit-learn adds them; `sum` would pair them.
        terms = np.column_stack([np.full(rows, self.base), self.value[at]])
        answers: Floats = np.add.accumulate(terms, axis=1)[:, -1]
        return answers


def of_histograms(estimator: Any) -> Trees:
    """The trees of a fitted HistGradientBoosting of one output: their sum is `_raw_predict`."""
    columns, categories = matrix_columns(estimator)
    columns_of = np.array(columns, dtype=np.intp)
    width = 1 + max((max(known) for known in categories if known), default=-1)
    nodes = np.concatenate([predictor.nodes for (predictor,) in estimator._predictors])
    sizes = [len(predictor.nodes) for (predictor,) in estimator._predictors]
    roots = np.cumsum([0, *sizes[:-1]]).astype(np.intp)
    first, is_leaf = np.repeat(roots, sizes), nodes["is_leaf"].astype(bool)
    own = np.arange(len(nodes))
    native = np.flatnonzero(nodes["is_categorical"].astype(bool) & ~is_leaf)
    tree_of = np.repeat(np.arange(len(sizes)), sizes)
    sets = np.zeros((len(native), width + 1), dtype=np.bool_)
    for line, at in zip(sets, native.tolist(), strict=True):
        (predictor,) = estimator._predictors[tree_of[at]]
        bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][at]]
        # A category that training did not show counts as none.
        line[:] = nodes["missing_go_to_left"][at]
        for code, category in enumerate(categories[nodes["feature_idx"][at]]):
            line[category] = bits[code // 32] >> (code % 32) & 1
    undecided = is_leaf | nodes["is_categorical"].astype(bool)
    return Trees(
        roots=roots,
        low=np.where(is_leaf, own, first + nodes["left"]),
        high=np.where(is_leaf, own, first + nodes["right"]),
        column=columns_of[np.where(is_leaf, 0, nodes["feature_idx"])],
        threshold=np.where(undecided, np.nan, nodes["num_threshold"]),
        missing_low=nodes["missing_go_to_left"].astype(bool) & ~is_leaf,
        value=np.where(is_leaf, nodes["value"], 0.0),
        weight=nodes["count"].astype(np.float64),
        base=float(np.ravel(estimator._baseline_prediction)[0]),
        native=native,
        sets=sets,
        depth=int(nodes["depth"].max()),
    )


def of_forest(estimator: Any) -> Trees:
    """The trees of a fitted RandomForestClassifier of two classes: the sum is the chance of the second."""
    trees = [one.tree_ for one in estimator.estimators_]
    sizes = [tree.node_count for tree in trees]
    roots = np.cumsum([0, *sizes[:-1]]).astype(np.intp)
    first, own = np.repeat(roots, sizes), np.arange(sum(sizes))

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(tree, name) for tree in trees])

    left, right = joined("children_left"), joined("children_right")
    is_leaf = left < 0
    return Trees(
        roots=roots,
        low=np.where(is_leaf, own, first + left),
        high=np.where(is_leaf, own, first + right),
        column=np.where(is_leaf, 0, joined("feature")).astype(np.intp),
        threshold=np.where(is_leaf, np.nan, joined("threshold")),
        missing_low=joined("missing_go_to_left").astype(bool) & ~is_leaf,
        value=np.where(is_leaf, joined("value")[:, 0, 1] / len(trees), 0.0),
        weight=joined("weighted_n_node_samples"),
        base=0.0,
        native=np.empty(0, dtype=np.intp),
        sets=np.empty((0, 1), dtype=np.bool_),
        depth=max(tree.max_depth for tree in trees),
        single=True,
    )


def matrix_columns(estimator: Any) -> tuple[list[int], Sequence[Sequence[int]]]:
    """Of each feature, as the trees of a HistGradientBoosting number it, its column and its categories.

    Native categories stand first there, whatever their place in the matrix.
    """
    native = estimator.is_categorical_
    if native is None:
        return list(range(estimator.n_features_in_)), [[] for _ in range(estimator.n_features_in_)]
    columns = [*np.flatnonzero(native).tolist(), *np.flatnonzero(~native).tolist()]
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    known = [[int(code) for code in of if code == code] for of in encoder.categories_]
    return columns, [*known, *([] for _ in range(len(columns) - len(known)))]
