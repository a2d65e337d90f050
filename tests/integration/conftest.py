"""One small bundle for the session, and one shop a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop

from clickstream.infra.settings import Settings
from clickstream.models import bundle as bundles
from clickstream.models.training import TrainingSession, train
from clickstream.producer.synthetic import synthetic_dataset


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle, trained on synthetic sessions."""
    dataset = synthetic_dataset(1_200, seed=7)
    sessions = [TrainingSession(*session) for session in dataset.sessions()]
    fitted = train(sessions, data_sha256=dataset.sha256, data_name=dataset.name, split="random")
    return bundles.write(fitted, tmp_path_factory.mktemp("bundles")).path


@pytest.fixture
def shop(settings: Settings, bundle: Path, tmp_path: Path) -> Iterator[Shop]:
    """Topics, and what runs on them, gone at the end of the test."""
    shop = Shop(settings.model_copy(update={"bundle": str(bundle)}), tmp_path / "logs")
    yield shop
    shop.close()
