"""The dataset, where it is, and small files like it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import shop_files
from shop_files import HEADER

from clickstream.files.dataset import Dataset, read_dataset


@pytest.fixture(scope="session")
def uci_file() -> Path:
    """The file of UCI 553; its tests are skipped without it."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    found = [Path(named)] if (named := os.environ.get("CLICKSTREAM_DATA")) else sorted(folder.glob("*.zip"))
    if not found or not found[0].exists():
        pytest.skip("is about the figures of the dataset, which is not here; CLICKSTREAM_DATA can name it")
    return found[0]


@pytest.fixture(scope="session")
def uci(uci_file: Path) -> Dataset:
    """The dataset of UCI 553."""
    return read_dataset(uci_file)


@pytest.fixture(scope="session")
def made(shop_file: Path) -> Dataset:
    """That of UCI 553 where it is here, else one like it."""
    return read_dataset(shop_file)


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CSV of the given rows below the header; a row is made by `row`."""

    def write(*rows: str, header: str = HEADER, end: str = "\r\n") -> Path:
        path = tmp_path / "shop.csv"
        path.write_bytes((end.join([header, *rows]) + end).encode())
        return path

    return write


@pytest.fixture(scope="session")
def row() -> Callable[..., str]:
    """One row; what a test does not say has a plain value."""
    return shop_files.row
