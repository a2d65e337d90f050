"""`clickstream train` as a person runs it."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from clickstream.app.cli.train import train
from clickstream.infra.errors import MissingFileError
from clickstream.models.bundle import load_bundle

app = typer.Typer()
app.command()(train)


@pytest.fixture
def small(dataset_path: Path, tmp_path: Path) -> Path:
    """Every sixteenth session of the dataset, in its layout."""
    with zipfile.ZipFile(dataset_path) as archive:
        text = archive.read(archive.namelist()[0]).decode("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text), delimiter=";")
    session = header.index("session ID")
    path = tmp_path / "small.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(header)
        writer.writerows(row for row in rows if int(row[session]) % 16 == 0)
    return path


def test_train_writes_a_bundle_puts_it_in_use_and_says_what_the_labels_are(
    small: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    result = CliRunner().invoke(
        app, ["--data", str(small), "--home", str(home), "--seed", "7"], catch_exceptions=False
    )
    assert result.exit_code == 0
    bundle = load_bundle(home / "bundles", "champion")
    assert bundle.manifest.seed == 7
    assert bundle.manifest.data.name == "small.csv"
    assert bundle.id in result.output
    assert "proxy" in result.output
    assert f"{bundle.manifest.figures['batch']['auc']:.3f}" in result.output


def test_without_data_it_says_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLICKSTREAM_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError) as caught:
        CliRunner().invoke(app, ["--home", str(tmp_path)], catch_exceptions=False)
    assert "archive.ics.uci.edu/dataset/553" in caught.value.remedy


def test_without_data_made_up_sessions_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--home", str(tmp_path), "--synthetic", "1000"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert load_bundle(tmp_path / "bundles", "champion").manifest.data.name == "synthetic"
