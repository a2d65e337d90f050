"""The notebooks run as they are, and what is saved of them is what a reader should see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

MOST_BYTES = 1_500_000

PLACES = re.compile(
    r"/(?:home|root|work|tmp|usr|opt|Users|var|mnt)/[\w.-]|[A-Z]:\\\\|site-packages|ipykernel_|file://"
)
"""Where this was run is nobody's business, and would change with each run."""


def read(path: Path) -> Any:
    return nbformat.reads(path.read_text(), as_version=4)  # type: ignore[no-untyped-call]


@pytest.fixture(params=NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def notebook(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_both_notebooks_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["01_explore", "02_features_and_models"]


def test_a_notebook_runs(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two threads that wait for each other on a busy machine take six times as long as one.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    client = NotebookClient(
        read(notebook), timeout=240, resources={"metadata": {"path": str(notebook.parent)}}
    )
    ran = client.execute()
    saved = [kinds(cell) for cell in read(notebook).cells]
    assert [kinds(cell) for cell in ran.cells] == saved, "outputs of another kind than the saved ones"


def test_a_notebook_is_saved_with_its_outputs_and_without_errors(notebook: Path) -> None:
    cells = [cell for cell in read(notebook).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type in ("error", "stream")]
    assert [output for output in outputs if "image/png" in output.get("data", {})]


def test_a_notebook_is_small_and_names_no_place_on_a_machine(notebook: Path) -> None:
    text = notebook.read_text()
    assert len(text) < MOST_BYTES
    without_images = re.sub(r'"image/png": "[^"]*"', "", text)
    assert not PLACES.findall(without_images)
    assert str(Path.home()) not in without_images


def kinds(cell: Any) -> list[list[str]]:
    """The kinds of the outputs of a cell."""
    return [sorted(output.get("data", {output.output_type: None})) for output in cell.get("outputs", [])]
