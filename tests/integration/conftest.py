"""One shop a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop

from clickstream.infra.settings import Settings


@pytest.fixture(scope="session")
def bundle(synthetic_bundle: Path) -> Path:
    """What the consumers score with."""
    return synthetic_bundle


@pytest.fixture
def shop(settings: Settings, bundle: Path, tmp_path: Path) -> Iterator[Shop]:
    """Topics, and what runs on them, gone at the end of the test."""
    shop = Shop(settings.model_copy(update={"bundle": str(bundle)}), tmp_path / "logs")
    yield shop
    shop.close()
