"""A bundle's scikit-learn models as ONNX, each proved to answer the same before it is handed out.

Every model becomes two files: `<name>.onnx`, which takes the columns of its matrix, and `<name>.json`, which
names these columns and says how to make each from the features of a session. What an export answers is
compared on all sessions given; a model that differs anywhere by more than TOLERANCE is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clickstream.bundles.bundle import Bundle
from clickstream.features.vector import PREFIX, REFERENCE
from clickstream.infra.extras import need
from clickstream.infra.files import replace_file
from clickstream.models.batch import CATEGORIES, BatchModels
from clickstream.models.calibration import Calibration
from clickstream.models.case import Case, Floats
from clickstream.models.inputs import Vocabulary
from clickstream.models.matrix import CATEGORICAL, CLUSTERED, PUBLISHED, RICH, numbers
from clickstream.models.reference import ReferenceModels

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-5
"""Largest difference of a probability, or of a revenue in the currency of the prices; clusters are equal."""

CLUSTERS = "clusters"

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


class ExportableModel(NamedTuple):
    """A model that may be exported.

    Attributes:
        answer: what it says, in words.
        looks_at: what its features are of, as it stands in the JSON file.
        columns: how each column of its input is made.
        matrix: the inputs to compare the answers on, shape (n, columns).
        expected: the answers that are right.
        tolerance: the largest difference that is allowed.
    """

    name: str
    answer: str
    looks_at: Mapping[str, Any]
    columns: list[InputColumn]
    matrix: Floats
    expected: Callable[[Floats], Floats]
    graph: Callable[[], ModelProto]
    tolerance: float = TOLERANCE


def export(bundle: Bundle, cases: Sequence[Case], data: str, folder: Path) -> Iterator[ExportedModel]:
    """Write the models of `bundle`, of shop uci553, into `folder`, one after the other.

    Args:
        cases: the sessions to compare the answers on.
        data: what is noted of where they come from; raises as `write_models`.
    """
    need_libraries()
    yield from write_models(bundle, _models(bundle, cases), data, folder)


def need_libraries() -> None:
    """Whether an export can be made.

    Raises:
        ConfigurationError: the libraries are not installed.
    """
    need("onnx", "an export to ONNX", "onnx", "onnxruntime")


def write_models(
    bundle: Bundle, models: Iterable[ExportableModel], data: str, folder: Path
) -> Iterator[ExportedModel]:
    """Write models of `bundle` into `folder`, one after the other; one that answers otherwise is refused.

    Raises:
        ConfigurationError: the libraries are not installed.
        OSError: a file cannot be written. No half of a file is left behind.
    """
    need_libraries()
    import onnxruntime

    folder.mkdir(parents=True, exist_ok=True)
    for model in models:
        try:
            content = model.graph().SerializeToString()
            session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
            difference = _difference(session, model)
        except (ValueError, AttributeError, RuntimeError) as error:
            reason = f"cannot be converted: {type(error).__name__}: {str(error)[:200]}"
            yield ExportedModel(model.name, len(model.matrix), None, reason)
            continue
        if not difference <= model.tolerance:
            reason = f"differs by {difference:.3g}, more than {model.tolerance:g}"
            yield ExportedModel(model.name, len(model.matrix), difference, reason)
            continue
        sidecar = _sidecar(bundle, model, difference, data)
        replace_file(folder / f"{model.name}.onnx", content)
        replace_file(
            folder / f"{model.name}.json", json.dumps(sidecar, indent=2, ensure_ascii=False).encode()
        )
        yield ExportedModel(model.name, len(model.matrix), difference, None)


def _models(bundle: Bundle, cases: Sequence[Case]) -> Iterator[ExportableModel]:
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

    def assigned(matrix: Floats) -> Floats:
        return clusters.assign((matrix - clusters.mean) / clusters.scale).astype(np.float64)

    probability = "probability of conversion (proxy)"
    revenue = "expected revenue (proxy), in the currency of the prices"
    honest_rows, whole_rows = batch.matrix(prefixes), reference.matrix(whole)
    of_prefix, of_all = (_feature_set(bundle, name) for name in (PREFIX.name, REFERENCE.name))
    yield ExportableModel(
        "batch-conversion", probability, of_prefix, honest, honest_rows, batch.conversion, batch_conversion
    )
    yield ExportableModel(
        "batch-revenue", revenue, of_prefix, honest, honest_rows, batch.revenue, batch_revenue
    )
    yield ExportableModel(
        "reference-conversion", probability, of_all, published, whole_rows, reference.conversion,
        reference_conversion,
    )  # fmt: skip
    yield ExportableModel(
        "reference-revenue", revenue, of_all, published, whole_rows, reference.revenue, reference_revenue
    )
    yield ExportableModel(
        CLUSTERS, "number of the cluster", of_all, _numbers(CLUSTERED), numbers(whole, CLUSTERED), assigned,
        cluster,
    )  # fmt: skip


def _feature_set(bundle: Bundle, name: str) -> Mapping[str, Any]:
    return {"feature_set": {"name": name, "hash": bundle.manifest.feature_sets[name]}}


def _difference(session: Any, model: ExportableModel) -> float:
    """The largest over all rows; of clusters, how many rows fall into another one."""
    (found,) = session.run(None, {"inputs": model.matrix})
    apart = np.abs(found - model.expected(model.matrix))
    if np.issubdtype(found.dtype, np.integer):
        return float(np.count_nonzero(apart))
    return float(apart.max(initial=0.0))


def _sidecar(bundle: Bundle, model: ExportableModel, difference: float, data: str) -> Mapping[str, Any]:
    sidecar: dict[str, Any] = {
        "bundle": bundle.id,
        "model": model.name,
        "answer": model.answer,
        **model.looks_at,
        "input": {"name": "inputs", "type": "double", "shape": ["n", len(model.columns)]},
        "columns": model.columns,
        "parity": {
            "sessions": len(model.matrix),
            "data": data,
            "largest_difference": difference,
            "tolerance": model.tolerance,
        },
    }
    if model.name.startswith("batch"):
        sidecar["without_evidence"] = bundle.manifest.base_rates.model_dump()
    if model.name == CLUSTERS:
        sidecar["clusters"] = list(bundle.clusters.names)
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
