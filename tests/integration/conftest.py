"""One shop a test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop

from clickstream.bundles.champion import bundles_of, promote_first
from clickstream.infra.settings import Settings
from clickstream.producer.synthetic_shop import SHOP


@pytest.fixture(scope="session")
def bundle(synthetic_bundle: Path) -> Path:
    """What the consumers score with."""
    return synthetic_bundle


@pytest.fixture
def own(settings: Settings, known_shop_bundle: Path, tmp_path: Path) -> Iterator[Shop]:
    """A shop whose goal is an event, with models of its own in use."""
    bundles = bundles_of(settings.bundles, SHOP)
    shutil.copytree(known_shop_bundle, bundles / known_shop_bundle.name)
    promote_first(bundles, known_shop_bundle.name)
    shop = Shop(settings.model_copy(update={"shop": SHOP}), tmp_path / "logs")
    yield shop
    shop.close()


@pytest.fixture
def shop(settings: Settings, bundle: Path, tmp_path: Path) -> Iterator[Shop]:
    """Topics, and what runs on them, gone at the end of the test."""
    shop = Shop(settings.model_copy(update={"bundle": str(bundle)}), tmp_path / "logs")
    yield shop
    shop.close()
