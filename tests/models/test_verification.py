"""What is refused, and that nothing of it was opened."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clickstream.infra.errors import BundleError
from clickstream.models.bundle import load_bundle

FILES = ("batch.joblib", "clusters.joblib", "inputs.json", "online.pickle", "reference.joblib")


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


def edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite a manifest."""
    file = bundle / "manifest.json"
    manifest = json.loads(file.read_bytes())
    change(manifest)
    file.write_text(json.dumps(manifest))


def refusal(bundle: Path) -> str:
    """What a bundle is refused with."""
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle.parent, bundle.name)
    assert caught.value.remedy
    return caught.value.what


def test_an_untouched_copy_is_read(copied: Path) -> None:
    assert load_bundle(copied.parent, copied.name).id == copied.name


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_one_changed_byte_is_found(copied: Path, name: str, place: float) -> None:
    content = bytearray((copied / name).read_bytes())
    content[round(place * (len(content) - 1))] ^= 1
    (copied / name).write_bytes(content)
    assert re.search(rf"{name} .*SHA-256", refusal(copied))


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(copied: Path, name: str) -> None:
    with (copied / name).open("r+b") as file:
        file.truncate(100)
    assert re.search(rf"{name} .*100 bytes", refusal(copied))


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_refused(copied: Path, name: str) -> None:
    (copied / name).unlink()
    assert name in refusal(copied)


def test_a_file_that_the_manifest_does_not_name_is_refused(copied: Path) -> None:
    (copied / "plugin.joblib").write_bytes(b"")
    assert "plugin.joblib" in refusal(copied)


def test_a_link_is_refused_even_to_the_right_content(copied: Path, tmp_path: Path) -> None:
    moved = (copied / "batch.joblib").rename(tmp_path / "elsewhere")
    (copied / "batch.joblib").symlink_to(moved)
    assert "batch.joblib" in refusal(copied)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "sub/batch.joblib", "..", ".hidden", ""])
def test_a_path_out_of_the_folder_is_refused(copied: Path, name: str) -> None:
    edit(copied, lambda manifest: manifest["files"].update({name: manifest["files"]["batch.joblib"]}))
    assert repr(name) in refusal(copied)


@pytest.mark.parametrize("name", ["python", "scikit-learn", "river", "numpy"])
def test_another_version_is_refused_with_both(copied: Path, name: str) -> None:
    here = json.loads((copied / "manifest.json").read_bytes())["versions"][name]
    edit(copied, lambda manifest: manifest["versions"].update({name: "0.1"}))
    assert f"{name} 0.1 (here {here})" in refusal(copied)


@pytest.mark.parametrize("name", ["prefix", "reference"])
def test_another_definition_of_the_features_is_refused(copied: Path, name: str) -> None:
    edit(copied, lambda manifest: manifest["feature_sets"].update({name: "0123456789abcdef"}))
    assert f"feature set {name} 0123456789abcdef" in refusal(copied)


def test_another_format_is_refused_before_anything_else_of_it_is_read(copied: Path) -> None:
    (copied / "manifest.json").write_text('{"format": 2, "layout": "new"}')
    assert "format 2; this version reads format 1" in refusal(copied)


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"format": 1}', "\x00"])
def test_a_manifest_that_is_none_is_refused(copied: Path, text: str) -> None:
    (copied / "manifest.json").write_text(text)
    assert "damaged" in refusal(copied)


def test_a_huge_manifest_is_not_read(copied: Path) -> None:
    with (copied / "manifest.json").open("r+b") as file:
        file.truncate(5_000_000)
    assert "5000000 bytes" in refusal(copied)


def test_an_edited_figure_is_found(copied: Path) -> None:
    edit(copied, lambda manifest: manifest["figures"]["batch"].update(auc=0.99))
    assert f"does not belong to its id {copied.name}" in refusal(copied)


@pytest.mark.parametrize("name", [name for name in FILES if name != "inputs.json"])
@pytest.mark.parametrize("listed", [False, True], ids=["foreign", "listed in the manifest"])
def test_a_pickle_that_does_not_belong_is_never_opened(
    copied: Path, tmp_path: Path, name: str, listed: bool
) -> None:
    mark = tmp_path / "opened"
    content = pickle.dumps(Trap(mark))
    (copied / name).write_bytes(content)
    if listed:
        entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        edit(copied, lambda manifest: manifest["files"].update({name: entry}))
    refusal(copied)
    assert not mark.exists()
