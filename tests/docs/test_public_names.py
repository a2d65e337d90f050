"""Each public name has an example in its docstring, and the example runs."""

from __future__ import annotations

import doctest
import shutil
from pathlib import Path

import orjson
import pytest
import structlog
from uci_layout import write_dataset

import clickstream
from clickstream.bundles.champion import promote
from clickstream.consumer.topics import prepare_topics
from clickstream.documents.examples import record_examples
from clickstream.infra.settings import Settings, as_environment
from clickstream.training.writing import FittedBundle, write


@pytest.fixture
def desk(
    settings: Settings, synthetic_fitted: FittedBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the examples find: servers with topics, a bundle in use, a file of clicks and one of a score."""
    settings = settings.model_copy(update={"partitions": 2})
    promote(settings.bundles, write(synthetic_fitted, settings.bundles).id)
    prepare_topics(settings)
    (tmp_path / "data").mkdir()
    write_dataset(tmp_path / "data" / "e-shop.csv", 40)
    shutil.make_archive(str(tmp_path / "data" / "UCI"), "zip", tmp_path / "data", "e-shop.csv")
    (tmp_path / "score.json").write_bytes(orjson.dumps(record_examples()["score"]))
    monkeypatch.chdir(tmp_path)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("name", clickstream.__all__)
def test_the_example_of_a_public_name_runs(name: str) -> None:
    (documented,) = doctest.DocTestFinder(recurse=False).find(getattr(clickstream, name), name, globs={})
    assert documented.examples, f"{name} has no example"
    # An error is told by its class: its message is for people, and may change.
    printed: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    with structlog.testing.capture_logs():
        failed, _ = runner.run(documented, out=printed.append)
    assert failed == 0, "".join(printed)
