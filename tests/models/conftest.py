"""One small bundle for all tests of the models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from once import once
from threadpoolctl import threadpool_limits

from clickstream.bundles.bundle import Bundle
from clickstream.models.case import Example
from clickstream.training.training import TrainingSession, example, train
from clickstream.training.writing import FittedBundle, write
from models.shop import visits


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """As in training; more are slower on data this small."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="session")
def shop() -> list[TrainingSession]:
    return visits(1_500)


@pytest.fixture(scope="session")
def examples(shop: list[TrainingSession]) -> list[Example]:
    return [example(visit.session) for visit in shop]


@pytest.fixture(scope="session")
def fitted(shop: list[TrainingSession], tmp_path_factory: pytest.TempPathFactory) -> FittedBundle:
    return once(
        tmp_path_factory, "made-up-shop", lambda: train(shop, data_sha256="0" * 64, data_name="made-up shop")
    )


@pytest.fixture(scope="session")
def bundle(fitted: FittedBundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Read by many tests, changed by none."""
    return write(fitted, tmp_path_factory.mktemp("home") / "bundles")


@pytest.fixture
def copied(bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may damage."""
    return Path(shutil.copytree(bundle.path, tmp_path / "bundles" / bundle.id))
