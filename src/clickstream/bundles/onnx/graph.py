"""Fitted trees and centres as ONNX graphs, in double precision wherever a decision falls.

An ensemble of trees is a table of nodes: `TreeEnsembleRegressor` of ai.onnx.ml 3, with thresholds and leaf
values as doubles. So a session goes down the same branch as in scikit-learn; only the answer comes as a
single. Forests and gradient boosting round their input to single precision first, and so does the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from clickstream.models.calibration import Calibration
from clickstream.models.case import Floats
from clickstream.models.trees import matrix_columns

OPSETS = {"": 18, "ai.onnx.ml": 3}

INPUT = "inputs"

_LEAF = 0


class Node(NamedTuple):
    """A node of a tree. `feature` is a column of the input; a leaf has a `value` and no branches.

    A row goes to `low` where its number is at most `threshold`.
    """

    feature: int
    threshold: float
    low: int
    high: int
    missing_low: bool
    value: float | None


Tree = Sequence[Node]


def of_forest(estimator: Any) -> list[Tree]:
    """Trees of a fitted RandomForestClassifier of two classes; a leaf's value is the share of the second."""
    return [_of_tree(one.tree_, lambda values: values[0, 1]) for one in estimator.estimators_]


def of_boosting(estimator: Any) -> tuple[list[Tree], float]:
    """Trees of a fitted GradientBoostingRegressor, and what their sum is added to."""
    rate = estimator.learning_rate
    trees = [_of_tree(one.tree_, lambda values: rate * values[0, 0]) for one in estimator.estimators_[:, 0]]
    return trees, float(estimator.init_.constant_[0, 0])


class CategorySets:
    """Sets of native categories by which trees divide, each a column behind those of the input.

    Such a column is 0 where the category of a row goes low, else 1; so a set is a threshold like any other.

    Attributes:
        columns: column of the input that holds categories -> its sets; of each the 0 or 1 of the categories
            0, 1, …, and last that of a row without one.
    """

    def __init__(self, width: int, categories: int) -> None:
        self.columns: dict[int, list[tuple[float, ...]]] = {}
        self.categories = categories
        self._width = width
        self._places: dict[tuple[int, tuple[float, ...]], int] = {}

    def place(self, column: int, high: tuple[float, ...]) -> int:
        """The column of a set; `tables` says where it ends up once all sets are known."""
        key = column, high
        if key not in self._places:
            self._places[key] = self._width + len(self._places)
            self.columns.setdefault(column, []).append(high)
        return self._places[key]

    def order(self) -> list[int]:
        """Of the sets as `place` numbered them, where each stands when they are listed column by column."""
        listed = [(column, high) for column, sets in self.columns.items() for high in sets]
        return [listed.index(key) for key in self._places]


def of_histograms(
    estimator: Any, offset: int = 0, sets: CategorySets | None = None
) -> tuple[list[Tree], float]:
    """Trees of a fitted HistGradientBoosting, and what their sum is added to.

    Args:
        offset: the column of the graph's input that is the estimator's first.
        sets: takes the sets of native categories, which `Graph.with_sets` puts behind the input.

    Raises:
        ValueError: a tree divides by a native category, and there is no `sets`.
    """
    columns, categories = matrix_columns(estimator)
    trees: list[Tree] = []
    for (predictor,) in estimator._predictors:
        tree = []
        for node in predictor.nodes:
            if node["is_leaf"]:
                tree.append(Node(0, 0.0, 0, 0, False, float(node["value"])))
                continue
            column, threshold = columns[int(node["feature_idx"])] + offset, float(node["num_threshold"])
            if node["is_categorical"]:
                if sets is None:
                    raise ValueError("it divides by native categories, which are not converted")
                known = categories[int(node["feature_idx"])]
                bits = predictor.raw_left_cat_bitsets[int(node["bitset_idx"])]
                low = {known[code] for code in range(len(known)) if bits[code // 32] >> (code % 32) & 1}
                if node["missing_go_to_left"]:
                    # A category that was not seen counts as none.
                    low |= {code for code in range(sets.categories) if code not in known}
                high = tuple(0.0 if code in low else 1.0 for code in range(sets.categories))
                none = 0.0 if node["missing_go_to_left"] else 1.0
                column, threshold = sets.place(column, (*high, none)), 0.5
            missing = bool(node["missing_go_to_left"])
            tree.append(Node(column, threshold, int(node["left"]), int(node["right"]), missing, None))
        trees.append(tree)
    return trees, float(np.ravel(estimator._baseline_prediction)[0])


def _of_tree(tree: Any, value: Any) -> Tree:
    return [
        Node(0, 0.0, 0, 0, False, float(value(tree.value[at])))
        if tree.children_left[at] < 0
        else Node(
            int(tree.feature[at]),
            float(tree.threshold[at]),
            int(tree.children_left[at]),
            int(tree.children_right[at]),
            bool(tree.missing_go_to_left[at]),
            None,
        )
        for at in range(tree.node_count)
    ]


@dataclass
class Graph:
    """A graph being built; each method adds a node and gives the name of its output."""

    width: int
    _nodes: list[onnx.NodeProto] = field(default_factory=list)
    _constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, values: ArrayLike) -> str:
        """Doubles, or whole numbers where all of them are."""
        array = np.asarray(values)
        name = f"constant_{len(self._constants)}"
        wide = array.astype(np.int64 if array.dtype.kind == "i" else np.float64)
        self._constants.append(numpy_helper.from_array(wide, name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node of the standard operators."""
        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def as_single(self, name: str) -> str:
        """Rounded to single precision."""
        rounded = self.node("Cast", name, to=TensorProto.FLOAT)
        return self.node("Cast", rounded, to=TensorProto.DOUBLE)

    def with_sets(self, of: str, sets: CategorySets) -> str:
        """The columns of `of`, and behind them those of the sets."""
        if not sets.columns:
            return of
        found = []
        for column, tables in sets.columns.items():
            codes = self.node("Gather", of, self.constant(column), axis=1)
            last = self.constant(float(sets.categories))
            known = self.node("Where", self.node("IsNaN", codes), last, codes)
            places = self.node("Cast", known, to=TensorProto.INT64)
            found.append(self.node("Gather", self.constant(np.array(tables).T), places, axis=0))
        listed = self.node("Concat", *found, axis=1)
        ordered = self.node("Gather", listed, self.constant(np.array(sets.order())), axis=1)
        return self.node("Concat", of, ordered, axis=1)

    def trees(self, of: str, trees: Iterable[Tree], base: float, aggregate: Literal["SUM", "AVERAGE"]) -> str:
        """Sum or average over the trees, and `base`; shape (n, 1), doubles of single precision."""
        nodes: dict[str, Any] = {
            name: []
            for name in (
                "nodes_treeids",
                "nodes_nodeids",
                "nodes_featureids",
                "nodes_modes",
                "nodes_truenodeids",
                "nodes_falsenodeids",
                "nodes_missing_value_tracks_true",
                "target_treeids",
                "target_nodeids",
            )
        }
        thresholds, weights = [], []
        for tree_id, tree in enumerate(trees):
            for node_id, node in enumerate(tree):
                leaf = node.value is not None
                nodes["nodes_treeids"].append(tree_id)
                nodes["nodes_nodeids"].append(node_id)
                nodes["nodes_featureids"].append(node.feature)
                nodes["nodes_modes"].append("LEAF" if leaf else "BRANCH_LEQ")
                nodes["nodes_truenodeids"].append(node.low)
                nodes["nodes_falsenodeids"].append(node.high)
                nodes["nodes_missing_value_tracks_true"].append(int(node.missing_low))
                thresholds.append(node.threshold)
                if leaf:
                    nodes["target_treeids"].append(tree_id)
                    nodes["target_nodeids"].append(node_id)
                    weights.append(node.value)
        name = f"trees_{len(self._nodes)}"
        self._nodes.append(
            helper.make_node(
                "TreeEnsembleRegressor",
                [of],
                [name],
                domain="ai.onnx.ml",
                aggregate_function=aggregate,
                n_targets=1,
                nodes_values_as_tensor=_doubles("thresholds", thresholds),
                target_weights_as_tensor=_doubles("leaves", weights),
                target_ids=[_LEAF] * len(weights),
                **nodes,
            )
        )
        wide = self.node("Cast", name, to=TensorProto.DOUBLE)
        return self.node("Add", wide, self.constant(base)) if base else wide

    def calibrated(self, probability: str, calibration: Calibration) -> str:
        """As `Calibration.apply`."""
        if calibration.method == "none":
            return probability
        if calibration.method == "isotonic":
            knots, values = np.array(calibration.knots), np.array(calibration.values)
            beyond = self.node("Sub", probability, self.constant(knots[:-1]))
            above = self.node("Max", beyond, self.constant(0.0))
            within = self.node("Min", above, self.constant(np.diff(knots)))
            steps = self.node("Mul", within, self.constant(np.diff(values) / np.diff(knots)))
            risen = self.node("ReduceSum", steps, self.constant([1]), keepdims=1)
            return self.node("Add", risen, self.constant(values[0]))
        yes = self.node("Mul", self.node("Log", probability), self.constant(calibration.a))
        no = self.node("Log", self.node("Sub", self.constant(1.0), probability))
        logit = self.node("Sub", yes, self.node("Mul", no, self.constant(calibration.b)))
        return self.node("Sigmoid", self.node("Add", logit, self.constant(calibration.c)))

    def nearest(self, of: str, mean: Floats, scale: Floats, centres: Floats) -> str:
        """The row of `centres` that is nearest to each standardised row, shape (n,)."""
        standard = self.node("Div", self.node("Sub", of, self.constant(mean)), self.constant(scale))
        apart = self.node("Sub", self.node("Unsqueeze", standard, self.constant([1])), self.constant(centres))
        squares = self.node("ReduceSum", self.node("Mul", apart, apart), self.constant([2]), keepdims=0)
        return self.node("ArgMin", squares, axis=1, keepdims=0)

    def model(self, output: str, name: str, whole: bool = False) -> onnx.ModelProto:
        """The model whose answer is `output`, as `name`: doubles, or whole numbers; shape (n,)."""
        if not whole:
            output = self.node("Squeeze", output, self.constant([1]))
        self._nodes.append(helper.make_node("Identity", [output], [name]))
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, ["n", self.width])],
            [helper.make_tensor_value_info(name, TensorProto.INT64 if whole else TensorProto.DOUBLE, ["n"])],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in OPSETS.items()],
            producer_name="clickstream",
            ir_version=9,
        )
        onnx.checker.check_model(model)
        return model


def _doubles(name: str, values: Sequence[Any]) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], values)
