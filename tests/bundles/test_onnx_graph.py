"""The parts of an ONNX graph against what they stand for."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestClassifier

from clickstream.bundles.onnx.graph import (
    INPUT,
    CategorySets,
    Graph,
    of_boosting,
    of_forest,
    of_histograms,
)
from clickstream.models.calibration import Calibration


def answers(graph: Graph, output: str, rows: ArrayLike) -> NDArray[np.float64]:
    """What the graph says."""
    content = graph.model(output, "answer").SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {INPUT: np.asarray(rows, dtype=np.float64)})
    return np.asarray(found)


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration(),
        Calibration("platt", a=1.3, b=1.3, c=-0.2),
        Calibration("beta", a=0.7, b=1.9, c=0.4),
        Calibration("isotonic", knots=(0.2, 0.3, 0.6, 0.9), values=(0.1, 0.1, 0.7, 0.8)),
    ],
    ids=lambda calibration: calibration.method,
)
def test_a_calibration_is_the_same_map(calibration: Calibration) -> None:
    probability = np.linspace(0.001, 0.999, 500)
    graph = Graph(1)
    found = answers(graph, graph.calibrated(INPUT, calibration), probability[:, None])
    assert found == pytest.approx(calibration.apply(probability), abs=1e-12)


def prices() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows on a grid of prices, so that many lie on a threshold, and a target."""
    random = np.random.default_rng(3)
    rows = np.asarray(random.integers(0, 12, (800, 4)) * 0.1 + 20.0, dtype=np.float64)
    return rows, np.asarray(rows @ [1.0, 2.0, -1.0, 0.0] + random.normal(size=800))


def test_a_row_on_a_threshold_takes_the_same_branch() -> None:
    rows, target = prices()
    boosting = GradientBoostingRegressor(n_estimators=50, random_state=1).fit(rows, target)
    graph = Graph(4)
    found = answers(graph, graph.trees(graph.as_single(INPUT), *of_boosting(boosting), "SUM"), rows)
    assert found == pytest.approx(boosting.predict(rows), abs=1e-5)

    histograms = HistGradientBoostingRegressor(max_iter=50, random_state=1).fit(rows, target)
    graph = Graph(4)
    found = answers(graph, graph.trees(INPUT, *of_histograms(histograms), "SUM"), rows)
    assert found == pytest.approx(histograms.predict(rows), abs=1e-5)

    forest = RandomForestClassifier(n_estimators=30, random_state=1).fit(rows, target > np.median(target))
    graph = Graph(4)
    found = answers(graph, graph.trees(graph.as_single(INPUT), of_forest(forest), 0.0, "AVERAGE"), rows)
    assert found == pytest.approx(forest.predict_proba(rows)[:, 1], abs=1e-5)


def test_columns_of_others_before_ours_are_passed_over() -> None:
    rows, target = prices()
    histograms = HistGradientBoostingRegressor(max_iter=10, random_state=1).fit(rows[:, 1:], target)
    graph = Graph(4)
    found = answers(graph, graph.trees(INPUT, *of_histograms(histograms, offset=1), "SUM"), rows)
    assert found == pytest.approx(histograms.predict(rows[:, 1:]), abs=1e-5)


def test_native_categories_are_sets_whatever_their_place_in_the_matrix() -> None:
    """Rows without a category, and with one that was not seen in training, are among them."""
    random = np.random.default_rng(5)
    rows = np.column_stack(
        [random.normal(size=2_000), random.integers(0, 9, 2_000), random.integers(3, 40, 2_000)]
    )
    rows[random.random(rows.shape) < 0.1] = np.nan
    effect = random.normal(size=64)
    target = np.nan_to_num(rows[:, 0]) + effect[np.nan_to_num(rows[:, 1], nan=63).astype(int)]
    target = target + effect[np.nan_to_num(rows[:, 2], nan=62).astype(int)]
    fitted = HistGradientBoostingRegressor(
        max_iter=80, random_state=1, categorical_features=[False, True, True]
    ).fit(rows, target)
    asked = np.vstack([rows, np.column_stack([np.zeros(50), np.full(50, 2.0), np.arange(50) % 64])])
    sets, graph = CategorySets(3, 64), Graph(3)
    trees = of_histograms(fitted, sets=sets)
    found = answers(graph, graph.trees(graph.with_sets(INPUT, sets), *trees, "SUM"), asked)
    assert len(sets.columns) == 2
    assert found == pytest.approx(fitted.predict(asked), abs=1e-4)


def test_native_categories_need_a_place() -> None:
    rows, target = prices()
    codes = np.round((rows - 20.0) * 10)
    histograms = HistGradientBoostingRegressor(max_iter=5, categorical_features=[0]).fit(codes, target)
    with pytest.raises(ValueError, match="native categories"):
        of_histograms(histograms)
