"""The dataset, where it is, and small files like it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clickstream.producer.dataset import Dataset, read_dataset

HEADER = (
    "year;month;day;order;country;session ID;page 1 (main category);page 2 (clothing model);colour;location;"
    "model photography;price;price 2;page"
)


@pytest.fixture(scope="session")
def uci_file() -> Path:
    """The file of UCI 553; its tests are skipped without it."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    found = [Path(named)] if (named := os.environ.get("CLICKSTREAM_DATA")) else sorted(folder.glob("*.zip"))
    if not found or not found[0].exists():
        pytest.skip("the dataset is not here; CLICKSTREAM_DATA can name it")
    return found[0]


@pytest.fixture(scope="session")
def uci(uci_file: Path) -> Dataset:
    """The dataset of UCI 553."""
    return read_dataset(uci_file)


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

    def make(session: str = "1", order: object = 1, **changes: object) -> str:
        values: dict[str, object] = {
            "year": 2008,
            "month": 4,
            "day": 1,
            "order": order,
            "country": 29,
            "session": session,
            "category": 1,
            "product": "A13",
            "colour": 1,
            "location": 5,
            "photography": 1,
            "price": 28,
            "price_2": 2,
            "page": 1,
        }
        return ";".join(str(value) for value in (values | changes).values())

    return make
