"""What is handed out: a wheel and an sdist that work away from this repository."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from composed import ROOT

FOLD = """
from clickstream import Partition, Rules, click_model, load_shop
import clickstream, sys
shop = load_shop("uci553")
Click = click_model(shop.definition)
partition = Partition(Rules(shop=shop))
for offset, time in enumerate((0, 1_000, 10_000_000)):
    stamp = 1_700_000_000_000 + time
    shown = {"product": "A1", "category": "sale", "price": 9.0, "price_2": 2, "page": 1}
    click = Click(session_id="a", event_time=stamp, **shown)
    partition.advance(offset, stamp, click)
assert [window.closed_by for window in partition.closed] == ["gap"]
assert "site-packages" in clickstream.__file__, clickstream.__file__
assert "sklearn" not in sys.modules and "kafka" not in sys.modules
print(clickstream.__version__)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, built from a copy of what git knows of."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], ROOT)
    return folder


def run(words: list[str], cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    return done.stdout


def installed(wheel: Path, folder: Path) -> Path:
    """The python of an environment that has the wheel, and the libraries of this one."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], folder)
    python = folder / "env" / "bin" / "python"
    site = Path(run([str(python), "-c", "import site; print(site.getsitepackages()[0])"], folder).strip())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # Libraries only: the checkout is found through a .pth file there, and such files are not followed.
    ours = Path(run([sys.executable, "-c", "import site; print(site.getsitepackages()[0])"], folder).strip())
    (site / "libraries.pth").write_text(f"{ours}\n")
    return python


def test_a_wheel_works_outside_the_repository(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    python = installed(wheel, tmp_path)
    assert run([str(python), "-c", FOLD], tmp_path).strip()
    home = str(tmp_path / "home")
    shown = run([str(python), "-m", "clickstream", "--help"], tmp_path, CLICKSTREAM_HOME=home)
    assert "Scores the sessions of a web shop" in shown
    run([str(python), "-m", "clickstream", "train", "--synthetic", "600"], tmp_path, CLICKSTREAM_HOME=home)
    table = run([str(python), "-m", "clickstream", "models", "list"], tmp_path, CLICKSTREAM_HOME=home)
    assert "AUC" in table


def test_the_wheel_holds_its_data_and_its_licence(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for ending in (
        "commit.lua",
        "report.html.j2",
        "kafka-jars.txt",
        "py.typed",
        "mapping.toml",
        "LICENSE",
        "events.csv.gz",
    ):
        assert any(name.endswith(ending) for name in names), ending
    assert not [name for name in names if "tests/" in name or name.endswith(".pyc")]


def test_the_sdist_holds_what_builds_and_tests_it(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "Makefile", "constraints.txt", "LICENSE", "tests/conftest.py"} <= names
