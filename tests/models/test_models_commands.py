"""`clickstream models` as a person uses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import typer
from forgery import Change, forge
from typer.testing import CliRunner, Result

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.champion import champion
from clickstream.bundles.onnx import export as exporting
from clickstream.bundles.signature import SIGNATURE
from clickstream.cli.models_compare import compare
from clickstream.cli.models_export import export
from clickstream.cli.models_list import list_bundles
from clickstream.cli.models_promote import promote, rollback
from clickstream.cli.models_show import show
from clickstream.cli.models_verify import sign, verify
from clickstream.infra.errors import BundleError, ConfigurationError, MissingFileError, UsageError
from clickstream.models.case import Example

app = typer.Typer()
app.command("list")(list_bundles)
for command in (show, compare, promote, rollback, verify, sign, export):
    app.command()(command)

KEY = "correct horse battery staple, and then some"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without bundles, and nothing set but it."""
    for variable in ("CLICKSTREAM_BUNDLE", "CLICKSTREAM_BUNDLE_KEY", "CLICKSTREAM_DATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundles").mkdir()
    return tmp_path


@pytest.fixture
def names(home: Path, bundle: Bundle) -> list[str]:
    """Three bundles that differ in when they were trained, oldest first."""
    made = []
    for number in range(3):
        copy = Path(shutil.copytree(bundle.path, home / "bundles" / "copy"))
        made.append(forge(copy, trained_at(f"2008-04-0{number + 1}T00:00:00Z")).name)
    return made


def trained_at(time: str) -> Change:
    """Another time of training."""
    return lambda manifest: manifest.update(created_at=time)


def run(*words: str) -> Result:
    """One command; our errors are raised."""
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def said(*words: str) -> str:
    """What a command that works prints."""
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.output


def test_promote_and_rollback_tell_from_what_to_what(home: Path, names: list[str]) -> None:
    first, second, third = names
    assert f"in use: {first}" in said("promote", first)
    assert f"in use: {second}, before: {first}" in said("promote", second)
    said("promote", third)
    assert "is in use already" in said("promote", third)
    back = said("rollback")
    assert f"in use again: {second}" in back
    assert f"promote {third}` brings it back" in back
    assert f"in use again: {first}" in said("rollback")
    with pytest.raises(BundleError, match="nothing to go back to"):
        run("rollback")
    assert champion(home / "bundles") == first


def test_what_consumers_would_refuse_is_not_promoted(home: Path, names: list[str]) -> None:
    first, second, third = names
    said("promote", first)
    with (home / "bundles" / second / "report.html").open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleError, match=r"report\.html"):
        run("promote", second)
    foreign = forge(
        home / "bundles" / third, lambda manifest: manifest["feature_sets"].update(prefix="0123456789abcdef")
    )
    with pytest.raises(BundleError, match="feature set prefix"):
        run("promote", foreign.name)
    with pytest.raises(BundleError, match="is no bundle id"):
        run("promote", str(home / "bundles" / first))
    assert champion(home / "bundles") == first


def test_a_rollback_to_a_damaged_bundle_is_refused_and_names_another(home: Path, names: list[str]) -> None:
    first, second, third = names
    for name in names:
        said("promote", name)
    (home / "bundles" / second / "batch.joblib").unlink()
    with pytest.raises(BundleError, match=r"batch\.joblib") as caught:
        run("rollback")
    assert first in caught.value.remedy
    assert champion(home / "bundles") == third


def test_compare_shows_two_bundles_on_the_same_sessions_and_promotes_nothing(
    home: Path, names: list[str]
) -> None:
    first, second, _ = names
    said("promote", first)
    text = said("compare", "champion", second, "--synthetic", "1200")
    assert "sessions of synthetic that neither has learned from" in text
    assert f"A  {first}" in text
    assert f"B  {second}" in text
    assert "neither is better for certain" in text
    told = json.loads(said("compare", first, second, "--synthetic", "1200", "--json"))
    assert (told["one"], told["other"], told["better"]) == (first, second, None)
    loss = told["figures"]["batch"]["log_loss"]
    assert loss["one"] == loss["other"] > 0
    assert loss["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert f"{loss['one']:.4f}" in text
    assert champion(home / "bundles") == first


@pytest.mark.usefixtures("home")
def test_compare_wants_sessions_as_train_does(names: list[str]) -> None:
    with pytest.raises(MissingFileError):
        run("compare", names[0], names[1])
    with pytest.raises(UsageError, match="--from-topic stands together"):
        run("compare", names[0], names[1], "--from-topic", "--synthetic", "1000")


def test_list_shows_every_bundle_and_why_one_cannot_be_used(home: Path, names: list[str]) -> None:
    first, second, third = names
    said("promote", first)
    said("promote", second)
    (home / "bundles" / third / "online.pickle").unlink()
    text = said("list")
    assert f"▶ {second}" in text
    assert f"rollback` leads back to {first}" in text
    assert "online.pickle" in text
    told = {one["id"]: one for one in json.loads(said("list", "--json"))}
    assert list(told) == names
    assert [told[name]["in_use"] for name in names] == [False, True, False]
    assert [told[name]["usable"] for name in names] == [True, True, False]
    assert told[first]["trained_at"].startswith("2008-04-01")
    assert told[first]["signed"] == "no"
    assert "online.pickle" in told[third]["problem"]


@pytest.mark.usefixtures("home")
def test_list_of_nothing_says_how_to_begin() -> None:
    assert "clickstream train" in said("list")
    assert json.loads(said("list", "--json")) == []


def test_list_shows_text_of_a_manifest_as_text(home: Path, names: list[str]) -> None:
    forge(
        home / "bundles" / names[0],
        lambda manifest: manifest["data"].update(name="\x1b[2J[bold]"),
    )
    text = said("list")
    assert "\x1b" not in text
    assert "[bold]" in text


def test_show_tells_figures_with_intervals_and_files(names: list[str], bundle: Bundle) -> None:
    said("promote", names[0])
    text = said("show")
    assert f"{names[0]}, in use" in text
    assert "proxy" in text
    told = json.loads(said("show", names[0], "--json"))
    assert told["manifest"]["id"] == names[0]
    auc = told["evaluation"]["figures"]["batch"]["auc"]
    assert f"{auc['low']:.3f} to {auc['high']:.3f}" in text
    for file in bundle.manifest.files:
        assert file in text


def test_verify_ends_with_1_when_one_of_all_is_damaged(home: Path, names: list[str]) -> None:
    assert said("verify", "--all").count("ok ") == 3
    assert "ok " in said("verify", str(home / "bundles" / names[0]))
    (home / "bundles" / names[1] / "reference.joblib").write_bytes(b"")
    result = run("verify", "--all")
    assert result.exit_code == 1
    assert result.output.count("ok ") == 2
    assert "reference.joblib" in result.output
    told = json.loads(run("verify", "--all", "--json").output)
    assert [one["ok"] for one in told] == [True, False, True]
    assert run("verify", "20080401T000000Z-00000000").exit_code == 1


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("words", [[], ["champion", "--all"]])
def test_verify_wants_one_bundle_or_all(words: list[str]) -> None:
    with pytest.raises(UsageError, match="--all"):
        run("verify", *words)


def test_with_a_key_bundles_are_signed_before_they_can_be_used(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="no key"):
        run("sign", names[0])
    monkeypatch.setenv("CLICKSTREAM_BUNDLE_KEY", KEY)
    with pytest.raises(BundleError, match="not signed"):
        run("promote", names[0])
    assert f"signed: {names[0]}" in said("sign", names[0])
    assert "signature valid" in said("verify", names[0])
    said("promote", names[0])
    monkeypatch.delenv("CLICKSTREAM_BUNDLE_KEY")
    assert "not checked, as no key is set" in said("verify", names[0])


def test_a_damaged_bundle_is_not_signed(
    home: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKSTREAM_BUNDLE_KEY", KEY)
    (home / "bundles" / names[0] / "batch.joblib").write_bytes(b"")
    with pytest.raises(BundleError, match=r"batch\.joblib"):
        run("sign", names[0])
    assert not (home / "bundles" / names[0] / SIGNATURE).exists()


def test_an_export_answers_as_the_bundle_does(
    bundle: Bundle, examples: list[Example], tmp_path: Path
) -> None:
    found = list(exporting.export(bundle, [one.case for one in examples], "made up", tmp_path))
    assert [one.refused for one in found] == [None] * 5
    for model in ("batch-conversion", "batch-revenue"):
        sidecar = json.loads((tmp_path / f"{model}.json").read_bytes())
        session = onnxruntime.InferenceSession(str(tmp_path / f"{model}.onnx"))
        seen = [one.case for one in examples if one.case.evidence is not None]
        rows = np.array(
            [[column_of(column, case.evidence) for column in sidecar["columns"]] for case in seen]
        )
        (answers,) = session.run(None, {sidecar["input"]["name"]: rows})
        field = model.removeprefix("batch-")
        expected = [getattr(answer["batch"], field) for answer in bundle.predict(seen)]
        assert answers == pytest.approx(expected, abs=exporting.TOLERANCE)
        assert sidecar["parity"]["sessions"] == len(seen)
        assert sidecar["bundle"] == bundle.id


def column_of(column: dict[str, Any], features: dict[str, Any] | None) -> float:
    """What a program that knows the JSON file alone makes of a session's features."""
    value = (features or {})[column["feature"]]
    if column["is"] == "looked up":
        return float(column["table"].get(value, column["else"]))
    return float(value == column["value"]) if "value" in column else float(value)


def test_a_model_that_answers_otherwise_is_refused_with_the_difference(
    bundle: Bundle, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clickstream.bundles.onnx import graph as onnx_graph

    right = onnx_graph.of_boosting

    def shifted(estimator: Any) -> tuple[list[onnx_graph.Tree], float]:
        trees, base = right(estimator)
        return trees, base + 0.001

    def native(*_: Any, **__: Any) -> tuple[list[onnx_graph.Tree], float]:
        raise ValueError("it divides by native categories")

    monkeypatch.setattr(onnx_graph, "of_boosting", shifted)
    monkeypatch.setattr(onnx_graph, "of_histograms", native)
    found = {
        one.name: one
        for one in exporting.export(bundle, [one.case for one in examples[:200]], "made up", tmp_path)
    }
    assert found["reference-revenue"].difference == pytest.approx(0.001, rel=0.01)
    assert "differs by 0.001, more than 1e-05" in str(found["reference-revenue"].refused)
    assert "native categories" in str(found["batch-conversion"].refused)
    assert found["clusters"].refused is None
    assert sorted(file.stem for file in tmp_path.glob("*.onnx")) == ["clusters", "reference-conversion"]


def test_without_the_extra_an_export_says_what_to_install(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigurationError, match="onnxruntime") as caught:
        list(exporting.export(bundle, [], "nothing", tmp_path))
    assert "clickstream-scoring[onnx]" in caught.value.remedy


def test_nothing_is_exported_unchecked(names: list[str]) -> None:
    with pytest.raises(MissingFileError, match="nothing is exported unchecked"):
        run("export", "--onnx", names[0])
    with pytest.raises(UsageError, match="format"):
        run("export", names[0])
