"""Models of any shop as ONNX answer as the bundle does, for a program that knows the JSON files alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import typer
from typer.testing import CliRunner

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.onnx.export import TOLERANCE
from clickstream.bundles.onnx.shop import export_shop
from clickstream.cli.models_export import export
from clickstream.features.definition import ShopDefinition
from clickstream.features.vector import Features
from clickstream.models.case import Case
from clickstream.models.shop.batch import ModelPlan, ShopBatch
from clickstream.models.shop.examples import ShopWindow
from clickstream.producer.synthetic_shop import SHOP
from clickstream.training.shop.fit import fit_plan, folds_of
from clickstream.training.shop.points import points_of, whole_of


def column_of(column: dict[str, Any], features: Features) -> float:
    value = features[column["feature"]]
    if value is None:
        return math.nan
    if column["is"] == "looked up":
        found = column["table"].get(value, column["else"])
        return math.nan if found is None else float(found)
    return float(min(max(value, column.get("at_least", -math.inf)), column.get("at_most", math.inf)))


@pytest.mark.parametrize("encoding", ["native", "target"])
def test_an_export_answers_as_the_bundle_does(
    encoding: str,
    bundle: Bundle,
    shop: ShopDefinition,
    windows: list[ShopWindow],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However texts are taken; a text and a number that training never saw are among what is asked."""
    points = points_of(shop, windows[:600]).weighing()
    plan = ModelPlan("native" if encoding == "native" else "target", {"max_iter": 60, "max_leaf_nodes": 8})
    batch = bundle.fitted["batch"]
    assert isinstance(batch, ShopBatch)
    models = fit_plan(shop, plan, batch.inputs, points, folds_of(points, 1), 1)
    monkeypatch.setattr(bundle, "fitted", {"batch": models})

    found = list(export_shop(bundle, points.table, whole_of(shop, windows[:600]), "made up", tmp_path))
    assert [(one.name, one.refused) for one in found] == [
        ("batch-conversion", None),
        ("batch-revenue", None),
        ("clusters", None),
    ]
    rows = [points.table.row(at) for at in range(0, len(points), 7)]
    rows += [row | {"last_event": "never seen", "price_viewed": 1e12, "pause": None} for row in rows[:20]]
    expected = [of["batch"] for of in bundle.predict([Case(row, row) for row in rows])]
    for name, right in (
        ("batch-conversion", [one.conversion for one in expected]),
        ("batch-revenue", [one.revenue for one in expected]),
        ("clusters", [one.cluster for one in expected]),
    ):
        sidecar = json.loads((tmp_path / f"{name}.json").read_bytes())
        session = onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx"))
        matrix = np.array([[column_of(column, row) for column in sidecar["columns"]] for row in rows])
        (answers,) = session.run(None, {sidecar["input"]["name"]: matrix})
        assert answers == pytest.approx(np.array(right, dtype=float), abs=TOLERANCE), name
        assert sidecar["shop"] == {"name": SHOP, "hash": shop.hash}
    assert sidecar["clusters"] == list(bundle.clusters.names)


def test_the_command_exports_the_bundle_of_the_shop_that_is_named(bundle: Bundle, tmp_path: Path) -> None:
    """Made-up sessions are drawn again to compare the answers on."""
    app = typer.Typer()
    app.command()(export)
    words = ["--onnx", "--shop", SHOP, "--home", str(bundle.path.parents[3]), "--out", str(tmp_path / "x")]
    result = CliRunner().invoke(app, [str(bundle.path), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "note" not in result.output
    assert sorted(file.stem for file in (tmp_path / "x").glob("*.onnx")) == [
        "batch-conversion",
        "batch-revenue",
        "clusters",
    ]
