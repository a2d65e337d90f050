"""What is refused, and that nothing of it was opened."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from forgery import edit, forge, plant
from pydantic import SecretStr

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.bundles.champion import promote
from clickstream.bundles.manifest import REPORTS, hashed
from clickstream.bundles.signature import SIGNATURE, signing_key, write_signature
from clickstream.bundles.verification import MODELS, REQUIRED, verify
from clickstream.infra.errors import BundleError, ConfigurationError
from clickstream.infra.settings import Settings, as_environment, load_settings
from clickstream.training.writing import FittedBundle, write

PICKLES = tuple(name for name in MODELS if not name.endswith(".json"))
KEY = "correct horse battery staple, and then some"


def refusal(bundle: Path) -> str:
    """What a bundle is refused with."""
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle.parent, bundle.name)
    assert caught.value.remedy
    return caught.value.what


def test_an_untouched_copy_is_read(copied: Path) -> None:
    assert load_bundle(copied.parent, copied.name).id == copied.name


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_one_changed_byte_is_found(copied: Path, name: str, place: float) -> None:
    content = bytearray((copied / name).read_bytes())
    content[round(place * (len(content) - 1))] ^= 1
    (copied / name).write_bytes(content)
    assert re.search(rf"{name} .*SHA-256", refusal(copied))


@pytest.mark.parametrize("name", REQUIRED)
def test_a_truncated_file_is_refused(copied: Path, name: str) -> None:
    with (copied / name).open("r+b") as file:
        file.truncate(100)
    assert re.search(rf"{name} .*100 bytes", refusal(copied))


@pytest.mark.parametrize("name", [*REQUIRED, "manifest.json"])
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
    (copied / "manifest.json").write_text('{"format": 1, "layout": "old"}')
    assert "format 1; this version reads format 3" in refusal(copied)


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"format": 3}', "\x00"])
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


def test_a_changed_report_is_found_even_where_its_entry_was_changed_too(copied: Path) -> None:
    for name in REPORTS:
        fits = plant(copied, name, copied / "never")
        edit(copied, fits)
        assert "does not belong to its seal" in refusal(copied)


def test_the_reports_are_no_part_of_the_id_and_all_else_is(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert hashed(manifest) == manifest
    for name, entry in manifest.files.items():
        other = manifest.files | {name: entry.model_copy(update={"bytes": entry.bytes + 1})}
        changed = hashed(manifest.model_copy(update={"files": other}))
        assert (changed.id == manifest.id) == (name in REPORTS)
        assert changed.seal != manifest.seal


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_one_changed_byte_of_the_manifest_is_found(copied: Path, place: float) -> None:
    file = copied / "manifest.json"
    content = bytearray(file.read_bytes())
    content[round(place * len(content))] ^= 1
    file.write_bytes(content)
    refusal(copied)


def test_a_folder_with_the_name_of_another_bundle_is_refused(copied: Path) -> None:
    other = copied.rename(copied.parent / "20080401T000000Z-00000000")
    assert f"holds bundle {copied.name}" in refusal(other)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", *PICKLES])
def test_no_link_is_followed(copied: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    if (copied / name).exists():
        (copied / name).rename(target)
    else:
        target.write_bytes(b"")
    (copied / name).symlink_to(target)
    assert name in refusal(copied)


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("listed", [False, True], ids=["foreign", "listed in the manifest"])
def test_a_pickle_that_does_not_belong_is_never_opened(
    copied: Path, tmp_path: Path, name: str, listed: bool
) -> None:
    mark = tmp_path / "opened"
    fits = plant(copied, name, mark)
    if listed:
        edit(copied, fits)
    refusal(copied)
    assert not mark.exists()


@pytest.mark.parametrize("name", PICKLES)
def test_a_truncated_or_foreign_or_older_bundle_with_a_trap_in_it_is_never_opened(
    copied: Path, tmp_path: Path, name: str
) -> None:
    """Hashed anew, so that only the version, the features or the missing file speak against it."""
    mark = tmp_path / "opened"
    fits = plant(copied, name, mark)

    def foreign(manifest: dict[str, Any]) -> None:
        fits(manifest)
        manifest["feature_sets"]["prefix"] = "0123456789abcdef"

    def older(manifest: dict[str, Any]) -> None:
        fits(manifest)
        manifest["versions"]["scikit-learn"] = "0.24.2"

    def without_a_file(manifest: dict[str, Any]) -> None:
        fits(manifest)
        del manifest["files"]["inputs.json"]

    for number, change in enumerate((foreign, older, without_a_file)):
        refusal(forge(Path(shutil.copytree(copied, copied.parent / str(number))), change))
    cut = forge(Path(shutil.copytree(copied, copied.parent / "cut")), fits)
    with (cut / name).open("r+b") as file:
        file.truncate(10)
    refusal(cut)
    assert not mark.exists()


def signed_only(folder: Path) -> Settings:
    """Settings that ask for signatures."""
    return Settings(home=folder.parent, bundle_key=SecretStr(KEY))


def refusal_with_key(bundle: Path) -> str:
    """What a bundle is refused with where a key is set."""
    settings = signed_only(bundle.parent)
    promote(bundle.parent, bundle.name)
    with pytest.raises(BundleError) as caught:
        load_bundle(settings)
    assert caught.value.remedy
    return caught.value.what


def sign(bundle: Path, key: str = KEY) -> None:
    write_signature(bundle, (bundle / "manifest.json").read_bytes(), key.encode())


def test_with_a_key_what_is_signed_with_it_is_read(copied: Path) -> None:
    sign(copied)
    assert load_bundle(signed_only(copied.parent), copied.name).id == copied.name
    assert verify(copied, KEY.encode()).signed == "valid"


def test_without_a_key_a_signature_is_not_asked_for(copied: Path) -> None:
    assert verify(copied, None).signed == "no"
    sign(copied)
    assert load_bundle(copied.parent, copied.name).id == copied.name
    assert verify(copied, None).signed == "not checked"


def test_a_bundle_is_signed_when_it_is_written_with_a_key(
    synthetic_fitted: FittedBundle, tmp_path: Path
) -> None:
    settings = signed_only(tmp_path / "bundles")
    assert verify(write(synthetic_fitted, settings).path, KEY.encode()).signed == "valid"


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("signed", ["never", "before the forgery", "with another key", "with nothing"])
def test_with_a_key_a_forged_bundle_is_refused_before_any_of_it_is_opened(
    copied: Path, tmp_path: Path, name: str, signed: str
) -> None:
    mark = tmp_path / "opened"
    if signed == "before the forgery":
        sign(copied)
    forged = forge(copied, plant(copied, name, mark))
    if signed == "with another key":
        sign(forged, KEY[::-1])
    elif signed == "with nothing":
        (forged / SIGNATURE).touch()
    what = refusal_with_key(forged)
    assert "not signed" in what if signed == "never" else "signed with another key, or was changed" in what
    assert not mark.exists()


def test_the_same_forgery_without_a_key_springs_the_trap(copied: Path, tmp_path: Path) -> None:
    """What the tests above would see, if the order of the checks were wrong."""
    mark = tmp_path / "opened"
    forged = forge(copied, plant(copied, "batch.joblib", mark))
    refusal(forged)
    assert mark.exists()


def test_with_a_key_a_manifest_is_not_even_parsed_unsigned(copied: Path) -> None:
    (copied / "manifest.json").write_text("not json")
    assert "not signed" in refusal_with_key(copied)


def test_a_key_comes_from_a_file_too_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    assert signing_key(Settings(bundle_key_file=file)) == KEY.encode()
    assert signing_key(Settings(bundle_key=SecretStr(KEY))) == KEY.encode()
    assert signing_key(Settings()) is None


@pytest.mark.parametrize(
    "content", [None, b"", b"short", b"x" * 5_000], ids=["none", "empty", "short", "long"]
)
def test_a_key_file_that_is_none_is_refused_before_any_bundle(
    copied: Path, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="BUNDLE_KEY_FILE"):
        load_bundle(Settings(home=copied.parent.parent, bundle_key_file=file), copied.name)


@pytest.mark.parametrize("key", ["", "short-and-secret"])
def test_a_short_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("CLICKSTREAM_BUNDLE_KEY", key)
    with pytest.raises(ConfigurationError, match="CLICKSTREAM_BUNDLE_KEY") as caught:
        load_settings()
    assert not key or key not in str(caught.value)


def test_two_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="both set"):
        load_settings(bundle_key=KEY, bundle_key_file=tmp_path)


def test_a_process_that_we_start_has_the_key_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Settings(bundle_key=SecretStr(KEY))
    for name, value in as_environment(ours).items():
        monkeypatch.setenv(name, value)
    assert signing_key(load_settings()) == KEY.encode()
    assert KEY not in repr(ours)
