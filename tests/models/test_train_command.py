"""`clickstream train` as a person runs it."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.train import train
from clickstream.infra.errors import BundleError, MissingFileError, UsageError
from clickstream.models.evaluation import EVALUATION, Evaluation
from clickstream.training.training import example
from models.shop import visits

MAPPING = Path(__file__).parents[2] / "examples" / "own-clicks" / "mapping.toml"

app = typer.Typer()
app.command()(train)


@pytest.fixture
def small(shop_file: Path, tmp_path: Path) -> Path:
    """Every sixteenth session of the dataset, in its layout."""
    with zipfile.ZipFile(shop_file) as archive:
        text = archive.read(archive.namelist()[0]).decode("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text), delimiter=";")
    session = header.index("session ID")
    path = tmp_path / "small.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(header)
        writer.writerows(row for row in rows if int(row[session]) % 16 == 0)
    return path


@pytest.fixture
def foreign(small: Path, tmp_path: Path) -> Path:
    """The same sessions as another shop would log them: its columns, names and times."""
    with small.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    path = tmp_path / "events.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("event_time", "event_type", "product_id", "category_code", "price", "user_session"))
        for row in rows:
            year, month, day, order = (int(row[name]) for name in ("year", "month", "day", "order"))
            at = datetime(year, month, day, 10, *divmod(order, 60))
            product, category = row["page 2 (clothing model)"], row["page 1 (main category)"]
            writer.writerow(
                (
                    f"{at:%Y-%m-%d %H:%M:%S} UTC",
                    "view",
                    f"sku-{product}",
                    f"apparel{category}.x",
                    row["price"],
                    row["session ID"],
                )
            )
    return path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words, catch_exceptions=False)


def test_train_writes_a_bundle_puts_it_in_use_and_says_what_the_labels_are(
    small: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    result = run("--data", str(small), "--home", str(home), "--seed", "7")
    assert result.exit_code == 0
    bundle = load_bundle(home / "bundles", "champion")
    assert bundle.manifest.seed == 7
    assert bundle.manifest.data.name == "small.csv"
    assert f"in use  {bundle.id}" in result.output
    assert "proxy" in result.output
    evaluation = Evaluation.model_validate_json((bundle.path / EVALUATION).read_bytes())
    auc = evaluation.figures["batch"]["auc"]
    for figure in (auc.value, auc.low, auc.high, evaluation.choice_of_k[0].silhouette):
        assert f"{figure:.3f}" in result.output


def test_a_later_bundle_is_not_given_to_running_consumers(small: Path, tmp_path: Path) -> None:
    """That of another seed, or of the same: it is compared and promoted by a person, or by --promote."""
    home = tmp_path / "home"
    common = ("--data", str(small), "--home", str(home))
    run(*common)
    first = load_bundle(home / "bundles", "champion").id
    result = run(*common, "--promote", "if-better")
    (later,) = {path.name for path in (home / "bundles").glob("2*")} - {first}
    assert load_bundle(home / "bundles", "champion").id == first
    words = " ".join(result.output.split())
    assert "neither is better for certain, by the log-loss of batch" in words
    assert f"a candidate: consumers do not touch it; in use is still {first}" in words
    assert f"clickstream models promote {later}" in words


def test_one_set_is_fitted_and_the_other_taken_over_from_the_bundle_in_use(
    small: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    common = ("--data", str(small), "--home", str(home))
    with pytest.raises(BundleError, match="no bundle is in use"):
        run(*common, "--set", "prefix")
    assert run(*common).exit_code == 0
    first = load_bundle(home / "bundles")
    with pytest.raises(UsageError, match="seed 42 \\(here 43\\)"):
        run(*common, "--set", "reference", "--seed", "43")
    with pytest.raises(UsageError, match="split time \\(here random\\)"):
        run(*common, "--set", "prefix", "--split", "random")
    result = run(*common, "--set", "prefix", "--promote", "always")
    assert "published models" not in result.output
    assert f"before: {first.id}" in result.output
    assert f"against {first.id}: adjusted Rand index 1.000" in " ".join(result.output.split())
    second = load_bundle(home / "bundles")
    assert second.id != first.id
    assert second.manifest.figures == first.manifest.figures
    assert second.manifest.files["online.pickle"] == first.manifest.files["online.pickle"]
    cases = [example(visit.session).case for visit in visits(200)]
    assert second.predict(cases) == first.predict(cases)


def test_sources_of_sessions_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--from-topic stands together"):
        run("--home", str(tmp_path), "--from-topic", "--synthetic", "1000")
    with pytest.raises(UsageError, match="without --from-topic"):
        run("--home", str(tmp_path), "--synthetic", "1000", "--clicks-topic", "clicks")


def test_without_data_it_says_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLICKSTREAM_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError) as caught:
        CliRunner().invoke(app, ["--home", str(tmp_path)], catch_exceptions=False)
    assert "archive.ics.uci.edu/dataset/553" in caught.value.remedy


def test_without_data_made_up_sessions_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLICKSTREAM_DATA", raising=False)
    words = ["--home", str(tmp_path), "--or-synthetic", "1000"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert load_bundle(tmp_path / "bundles", "champion").manifest.data.name == "synthetic"


def test_the_log_of_another_shop_gives_models_that_know_its_products(foreign: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    result = run("--data", str(foreign), "--mapping", str(MAPPING), "--home", str(home))
    assert result.exit_code == 0
    bundle = load_bundle(home / "bundles", "champion")
    assert bundle.manifest.data.name == foreign.name
    products = bundle.vocabulary.values["last_product"]
    assert products
    assert all(str(product).startswith("sku-") for product in products)
    assert set(bundle.vocabulary.values["last_category"]) == {f"apparel{number}" for number in range(1, 5)}
    # Products of the other shop: what it does not know, it does without.
    (answers,) = bundle.predict([example(visits(1)[0].session).case])
    assert all(0 <= answer.conversion <= 1 for answer in answers.values())
