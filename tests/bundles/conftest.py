"""A bundle to read, and copies of it to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from clickstream.bundles.bundle import Bundle, load_bundle


@pytest.fixture(scope="session")
def bundle(synthetic_bundle: Path) -> Bundle:
    """Read by many tests, changed by none."""
    return load_bundle(synthetic_bundle.parent, synthetic_bundle.name)


@pytest.fixture
def copied(synthetic_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may damage."""
    return Path(shutil.copytree(synthetic_bundle, tmp_path / "bundles" / synthetic_bundle.name))
