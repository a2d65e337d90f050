"""`clickstream train --shop` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from clickstream.bundles.bundle import load_bundle
from clickstream.cli import models_compare, models_list, models_show, train
from clickstream.features.shop_file import built_in
from clickstream.infra.errors import BundleError, ConfigurationError, MissingFileError, UsageError
from clickstream.models.evaluation import EVALUATION
from clickstream.models.shop.evaluation import ShopEvaluation

EXAMPLE = Path(__file__).parents[2] / "examples" / "online-store"
LOG, MAPPING = str(EXAMPLE / "events.csv.gz"), str(EXAMPLE / "mapping.toml")

app = typer.Typer()
app.command("train")(train.train)
app.command("list")(models_list.list_bundles)
app.command("show")(models_show.show)
app.command("compare")(models_compare.compare)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words, catch_exceptions=False)


def test_a_log_becomes_a_bundle_of_its_shop_in_use(tmp_path: Path) -> None:
    words = ("--shop", "online-store", "--home", str(tmp_path))
    trained = run("train", *words, "--data", LOG, "--mapping", MAPPING)
    assert trained.exit_code == 0
    shop = built_in("online-store")
    bundle = load_bundle(tmp_path / "bundles", shop=shop)
    evaluation = ShopEvaluation.model_validate_json((bundle.path / EVALUATION).read_bytes())
    for shown in (
        "3,667 rows, 3,667 kept",
        f"{evaluation.figures['batch']['auc'].value:.3f}",
        'a click where event == "purchase" converts its session',
        "few examples",
        f"AUC {evaluation.shuffled:.3f} with the futures of other sessions",
        f"in use  {bundle.id}",
    ):
        assert shown in trained.output
    listed = run("list", *words, "--json")
    (one,) = json.loads(listed.output)
    assert (one["id"], one["usable"], one["in_use"]) == (bundle.id, True, True)
    shown_bundle = run("show", *words)
    assert f"shop: online-store {shop.hash}" in shown_bundle.output
    assert "labels: whether the goal was met" in shown_bundle.output
    assert json.loads(run("list", "--home", str(tmp_path), "--json").output) == []
    with pytest.raises(BundleError, match=r"is of shop online-store .* asked for is shop synthetic"):
        run("compare", str(bundle.path), str(bundle.path), "--shop", "synthetic", "--home", str(tmp_path))


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("--shop", "online-store"), MissingFileError, "there is no log of shop online-store"),
        (("--shop", "online-store", "--synthetic", "900"), UsageError, "sessions of shop synthetic alone"),
        (("--shop", "synthetic", "--synthetic", "900", "--from-topic"), UsageError, "Name one source"),
        (("--shop", "synthetic", "--clicks-topic", "clicks"), UsageError, "Add --from-topic"),
        (("--shop", "synthetic", "--synthetic", "900", "--grid"), UsageError, "Leave out --or-synthetic"),
        (("--shop", "onlin-store"), ConfigurationError, "Did you mean online-store"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(
    words: tuple[str, ...],
    error: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(error) as raised:
        run("train", *words, "--home", str(tmp_path))
    # The setting says the same as the option.
    monkeypatch.setenv("CLICKSTREAM_SHOP", words[1])
    with pytest.raises(error):
        run("train", *words[2:], "--home", str(tmp_path))
    told = f"{raised.value}\n{getattr(raised.value, 'remedy', '')}"
    assert message in told


def test_another_shop_under_the_name_of_uci553_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(
        'name = "uci553"\n[fields]\nevent = "text"\n[goal]\nwhen = \'event == "buy"\'\n'
        "[features]\nclicks = { count = true }\n"
    )
    with pytest.raises(ConfigurationError, match="Give yours a name of its own"):
        run("train", "--shop", str(file), "--data", LOG, "--home", str(tmp_path))
