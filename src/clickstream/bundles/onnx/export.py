"""A bundle's scikit-learn models as ONNX, each proved to answer the same before it is handed out.

Every model becomes two files: `<name>.onnx`, which takes the columns of its matrix, and `<name>.json`, which
names these columns and says how to make each from the features of a session. What an export answers is
compared on all sessions given; a model that differs anywhere by more than TOLERANCE is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clickstream.bundles.bundle import Bundle
from clickstream.features.vector import PREFIX, REFERENCE, Features
from clickstream.infra.extras import need
from clickstream.infra.files import replace_file
from clickstream.models.batch import CATEGORIES, BatchModels
from clickstream.models.calibration import Calibration
from clickstream.models.case import Case, Floats
from clickstream.models.clusters import NAMES
from clickstream.models.inputs import Vocabulary
from clickstream.models.matrix import CATEGORICAL, CLUSTERED, PUBLISHED, RICH, numbers
from clickstream.models.reference import ReferenceModels

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-5
"""Largest difference of a probability, or of a revenue in the currency of the prices; clusters are equal."""

InputColumn = dict[str, Any]


class ExportedModel(NamedTuple):
    """What came of one model. `refused` says why there are no files of it.

    `difference` is the largest over `sessions`, None where the model could not be converted; of clusters it
    is the number of sessions that fall into another one.
    """

    name: str
    sessions: int
    difference: float | None
    refused: str | None


class _Model(NamedTuple):
    name: str
    answer: str
    feature_set: str
    columns: list[InputColumn]
    rows: Sequence[Features]
    matrix: Callable[[Sequence[Features]], Floats]
    expected: Callable[[Floats], Floats]
    graph: Callable[[], ModelProto]


def export(bundle: Bundle, cases: Sequence[Case], data: str, folder: Path) -> Iterator[ExportedModel]:
    """Write the models of `bundle` into `folder`, one after the other.

    Args:
        cases: the sessions to compare the answers on.
        data: what is noted of where they come from.

    Raises:
        ConfigurationError: the libraries are not installed.
        OSError: a file cannot be written. No half of a file is left behind.
    """
    need("onnx", "an export to ONNX", "onnx", "onnxruntime")
    import onnxruntime

    models = list(_models(bundle, cases))
    folder.mkdir(parents=True, exist_ok=True)
    for model in models:
        try:
            content = model.graph().SerializeToString()
            session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
            difference = _difference(session, model)
        except (ValueError, AttributeError, RuntimeError) as error:
            reason = f"cannot be converted: {type(error).__name__}: {str(error)[:200]}"
            yield ExportedModel(model.name, len(model.rows), None, reason)
            continue
        if not difference <= TOLERANCE:
            reason = f"differs by {difference:.3g}, more than {TOLERANCE:g}"
            yield ExportedModel(model.name, len(model.rows), difference, reason)
            continue
        sidecar = _sidecar(bundle, model, difference, data)
        replace_file(folder / f"{model.name}.onnx", content)
        replace_file(
            folder / f"{model.name}.json", json.dumps(sidecar, indent=2, ensure_ascii=False).encode()
        )
        yield ExportedModel(model.name, len(model.rows), difference, None)


def _models(bundle: Bundle, cases: Sequence[Case]) -> Iterator[_Model]:
    from clickstream.bundles.onnx import graph as onnx

    batch, reference, clusters = bundle.fitted["batch"], bundle.fitted["reference"], bundle.clusters
    if not isinstance(batch, BatchModels) or not isinstance(reference, ReferenceModels):
        raise TypeError(f"bundle {bundle.id} holds other models than this version can export")
    calibration = Calibration(**batch.artefact["calibration"])
    prefixes = [case.evidence for case in cases if case.evidence is not None]
    whole = [case.whole for case in cases]
    vocabulary = bundle.vocabulary
    honest = [
        _product(batch.artefact["conversion_by_product"]),
        *_numbers(RICH),
        *_indicators(CATEGORIES, vocabulary),
        _product(batch.artefact["revenue_by_product"]),
    ]
    published = [*_indicators(CATEGORICAL, vocabulary), *_numbers(PUBLISHED)]

    def batch_conversion() -> ModelProto:
        graph = onnx.Graph(len(honest))
        trees, base = onnx.of_histograms(batch.artefact["conversion"])
        raw = graph.trees(onnx.INPUT, trees, base, "SUM")
        calibrated = graph.calibrated(graph.node("Sigmoid", raw), calibration)
        return graph.model(calibrated, "conversion")

    def batch_revenue() -> ModelProto:
        graph = onnx.Graph(len(honest))
        trees, base = onnx.of_histograms(batch.artefact["revenue"], offset=1)
        return graph.model(graph.trees(onnx.INPUT, trees, base, "SUM"), "revenue")

    def reference_conversion() -> ModelProto:
        graph = onnx.Graph(len(published))
        trees = onnx.of_forest(reference.artefact["conversion"])
        return graph.model(graph.trees(graph.as_single(onnx.INPUT), trees, 0.0, "AVERAGE"), "conversion")

    def reference_revenue() -> ModelProto:
        graph = onnx.Graph(len(published))
        trees, base = onnx.of_boosting(reference.artefact["revenue"])
        return graph.model(graph.trees(graph.as_single(onnx.INPUT), trees, base, "SUM"), "revenue")

    def cluster() -> ModelProto:
        graph = onnx.Graph(len(CLUSTERED))
        nearest = graph.nearest(onnx.INPUT, clusters.mean, clusters.scale, clusters.centres)
        return graph.model(nearest, "cluster", whole=True)

    def clustered(rows: Sequence[Features]) -> Floats:
        return numbers(rows, CLUSTERED)

    def assigned(matrix: Floats) -> Floats:
        return clusters.assign((matrix - clusters.mean) / clusters.scale).astype(np.float64)

    probability = "probability of conversion (proxy)"
    revenue = "expected revenue (proxy), in the currency of the prices"
    yield _Model(
        "batch-conversion", probability, PREFIX.name, honest, prefixes, batch.matrix,
        batch.conversion, batch_conversion,
    )  # fmt: skip
    yield _Model(
        "batch-revenue", revenue, PREFIX.name, honest, prefixes, batch.matrix, batch.revenue, batch_revenue
    )
    yield _Model(
        "reference-conversion", probability, REFERENCE.name, published, whole, reference.matrix,
        reference.conversion, reference_conversion,
    )  # fmt: skip
    yield _Model(
        "reference-revenue", revenue, REFERENCE.name, published, whole, reference.matrix,
        reference.revenue, reference_revenue,
    )  # fmt: skip
    yield _Model(
        "clusters", "number of the cluster", REFERENCE.name, _numbers(CLUSTERED), whole, clustered,
        assigned, cluster,
    )  # fmt: skip


def _difference(session: Any, model: _Model) -> float:
    """The largest over all rows; of clusters, how many rows fall into another one."""
    matrix = model.matrix(model.rows)
    (found,) = session.run(None, {"inputs": matrix})
    apart = np.abs(found - model.expected(matrix))
    if np.issubdtype(found.dtype, np.integer):
        return float(np.count_nonzero(apart))
    return float(apart.max(initial=0.0))


def _sidecar(bundle: Bundle, model: _Model, difference: float, data: str) -> Mapping[str, Any]:
    sidecar: dict[str, Any] = {
        "bundle": bundle.id,
        "model": model.name,
        "answer": model.answer,
        "feature_set": {
            "name": model.feature_set,
            "hash": bundle.manifest.feature_sets[model.feature_set],
        },
        "input": {"name": "inputs", "type": "double", "shape": ["n", len(model.columns)]},
        "columns": model.columns,
        "parity": {
            "sessions": len(model.rows),
            "data": data,
            "largest_difference": difference,
            "tolerance": TOLERANCE,
        },
    }
    if model.feature_set == PREFIX.name:
        sidecar["without_evidence"] = bundle.manifest.base_rates.model_dump()
    if model.name == "clusters":
        sidecar["clusters"] = list(NAMES)
    return sidecar


def _numbers(names: Sequence[str]) -> list[InputColumn]:
    return [{"feature": name, "is": "number"} for name in names]


def _indicators(names: Sequence[str], vocabulary: Vocabulary) -> list[InputColumn]:
    return [
        {"feature": name, "is": "1 if equal, else 0", "value": value}
        for name in names
        for value in vocabulary.values[name]
    ]


def _product(table: Mapping[str, Any]) -> InputColumn:
    return {
        "feature": "last_product",
        "is": "looked up",
        "table": table["values"],
        "else": table["usual"],
    }
