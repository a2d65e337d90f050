"""The models of a bundle of any shop but uci553 as ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.onnx.export import (
    CLUSTERS,
    TOLERANCE,
    ExportableModel,
    ExportedModel,
    InputColumn,
    need_libraries,
    write_models,
)
from clickstream.models.calibration import Calibration
from clickstream.models.case import Floats
from clickstream.models.shop.batch import ShopBatch
from clickstream.models.shop.clusters import ShopClusters
from clickstream.models.shop.examples import FeatureTable
from clickstream.models.shop.inputs import MOST_CATEGORIES, ShopInputs

if TYPE_CHECKING:
    from onnx import ModelProto

    from clickstream.bundles.onnx.graph import Graph


def export_shop(
    bundle: Bundle, evidence: FeatureTable, whole: FeatureTable, data: str, folder: Path
) -> Iterator[ExportedModel]:
    """Write the models of `bundle` into `folder`, one after the other.

    Args:
        evidence: features at decision points, to compare answers on; `whole`: features of whole sessions.
        data: what is noted of where they come from; raises as `write_models`.
    """
    need_libraries()
    yield from write_models(bundle, _models(bundle, evidence, whole), data, folder)


def _models(bundle: Bundle, evidence: FeatureTable, whole: FeatureTable) -> Iterator[ExportableModel]:
    from clickstream.bundles.onnx import graph as onnx

    batch, clusters = bundle.fitted["batch"], bundle.clusters
    if not isinstance(batch, ShopBatch) or not isinstance(clusters, ShopClusters):
        raise TypeError(f"bundle {bundle.id} holds other models than this version can export")
    artefact = batch.artefact
    columns, matrix = _columns(batch), batch.matrix(evidence)

    def trees(graph: Graph, estimator: Any) -> str:
        sets = onnx.CategorySets(len(columns), MOST_CATEGORIES)
        found, base = onnx.of_histograms(estimator, sets=sets)
        return graph.trees(graph.with_sets(onnx.INPUT, sets), found, base, "SUM")

    def probability(graph: Graph) -> str:
        raw = graph.node("Sigmoid", trees(graph, artefact["conversion"]))
        return graph.calibrated(raw, Calibration(**artefact["calibration"]))

    def conversion() -> ModelProto:
        graph = onnx.Graph(len(columns))
        return graph.model(probability(graph), "conversion")

    def revenue() -> ModelProto:
        graph = onnx.Graph(len(columns))
        spent = graph.node("Max", trees(graph, artefact["spending"]), graph.constant(0.0))
        return graph.model(graph.node("Mul", probability(graph), spent), "revenue")

    def cluster() -> ModelProto:
        graph = onnx.Graph(len(clusters.features))
        absent = graph.node("IsNaN", onnx.INPUT)
        known = graph.node("Where", absent, graph.constant(clusters.mean), onnx.INPUT)
        nearest = graph.nearest(known, clusters.mean, clusters.scale, clusters.centres)
        return graph.model(nearest, "cluster", whole=True)

    def assigned(rows: Floats) -> Floats:
        standard = np.nan_to_num((rows - clusters.mean) / clusters.scale, nan=0.0)
        return clusters.assign(standard).astype(np.float64)

    def earned(rows: Floats) -> Floats:
        found = batch.answer_matrix(rows)[1]
        return np.full(len(rows), np.nan) if found is None else found

    shop = {"name": bundle.shop.name, "hash": bundle.shop.hash}
    of_evidence, of_all = ({"shop": shop, "features_of": what} for what in ("the evidence", "all clicks"))
    yield ExportableModel(
        "batch-conversion", "probability that the goal is met", of_evidence, columns, matrix,
        lambda rows: batch.answer_matrix(rows)[0], conversion,
    )  # fmt: skip
    if bundle.shop.goal.value is not None:
        unit = bundle.shop.currency or "the currency of the shop"
        yield ExportableModel(
            "batch-revenue", f"expected revenue, in {unit}", of_evidence, columns, matrix, earned, revenue,
            # Trees answer in single precision, so what is right to so many places depends on the amounts.
            TOLERANCE * max(1.0, float(earned(matrix).max(initial=0.0))),
        )  # fmt: skip
    centres = [{"feature": name, "is": "number"} for name in clusters.features]
    rows = np.column_stack([whole.column(name) for name in clusters.features])
    yield ExportableModel(CLUSTERS, "number of the cluster", of_all, centres, rows, assigned, cluster)


def _columns(batch: ShopBatch) -> list[InputColumn]:
    """Numbers within their limits, NaN where absent; texts looked up, NaN where absent."""
    inputs: ShopInputs = batch.inputs
    numbers: list[InputColumn] = [
        {"feature": name, "is": "number", "at_most": limit, "at_least": -limit}
        for name, limit in zip(inputs.numbers, inputs.limits, strict=True)
    ]
    return [*numbers, *(_looked_up(batch, name) for name in inputs.texts)]


def _looked_up(batch: ShopBatch, name: str) -> InputColumn:
    known, rates = batch.inputs.texts[name], batch.artefact["rates"]
    if rates is None:
        table, otherwise = {text: float(code) for code, text in enumerate(known[:MOST_CATEGORIES])}, None
    else:
        values, otherwise = rates[name]
        table = dict(zip(known, np.asarray(values).tolist(), strict=True))
    return {"feature": name, "is": "looked up", "table": table, "else": otherwise, "absent": None}
