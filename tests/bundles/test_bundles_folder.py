"""Writing a bundle, and naming the one in use."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.bundles.champion import (
    CHAMPION,
    bundle_ids,
    champion,
    next_in_line,
    promote,
    promotions,
    roll_back,
)
from clickstream.bundles.promotion_record import RECORD
from clickstream.infra.errors import BundleError
from clickstream.infra.settings import Settings
from clickstream.training.writing import FittedBundle, write

FIRST, SECOND, THIRD, FOURTH = (f"20080401T00000{n}Z-0000000{n}" for n in (1, 2, 3, 4))


def test_a_bundle_holds_what_its_manifest_names_and_nothing_else(bundle: Bundle) -> None:
    found = {file.name: file.stat().st_size for file in bundle.path.iterdir()}
    manifest_size = found.pop("manifest.json")
    assert manifest_size > 0
    assert found == {name: entry.bytes for name, entry in bundle.manifest.files.items()}


def test_others_may_read_a_bundle(bundle: Bundle) -> None:
    assert bundle.path.stat().st_mode & 0o055 == 0o055


@pytest.mark.parametrize("failing", [1, 3, 6])
def test_a_write_that_fails_leaves_nothing(
    synthetic_fitted: FittedBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    calls = 0

    def full(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(synthetic_fitted, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_being_written_is_not_listed(copied: Path) -> None:
    copied.rename(copied.parent / f".writing-{copied.name}")
    assert bundle_ids(copied.parent) == []


def test_the_champion_is_found_by_name_by_id_and_by_path(copied: Path) -> None:
    folder = copied.parent
    promote(folder, copied.name)
    assert champion(folder) == copied.name
    settings = Settings(home=folder.parent)
    for found in (
        load_bundle(folder),
        load_bundle(folder, "champion"),
        load_bundle(folder, copied.name),
        load_bundle(folder / "elsewhere", copied),
        load_bundle(folder / "elsewhere", str(copied)),
        load_bundle(settings),
    ):
        assert found.id == copied.name


def test_a_promotion_that_fails_leaves_the_champion(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied.parent
    promote(folder, copied.name)

    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    other = folder / FIRST
    shutil.copytree(copied, other)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        promote(folder, FIRST)
    assert sorted(path.name for path in folder.iterdir()) == [FIRST, copied.name, "champion", RECORD]
    assert champion(folder) == copied.name


def test_where_no_bundle_is_in_use_training_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="clickstream train"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("content", ["../../etc", "", "champion", "\x00"])
def test_a_champion_that_is_no_bundle_id_is_refused(copied: Path, content: str) -> None:
    (copied.parent / "champion").write_text(content)
    with pytest.raises(BundleError, match="no bundle id") as caught:
        load_bundle(copied.parent)
    assert copied.name in caught.value.remedy


@pytest.mark.parametrize("name", ["20080401T000000Z-00000000", "no/such/folder"])
def test_a_bundle_that_is_not_there_is_named_with_those_that_are(copied: Path, name: str) -> None:
    with pytest.raises(BundleError, match=name) as caught:
        load_bundle(copied.parent, name)
    assert copied.name in caught.value.remedy


def test_what_is_not_there_is_not_promoted(copied: Path) -> None:
    with pytest.raises(BundleError, match="no bundle"):
        promote(copied.parent, "20080401T000000Z-00000000")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder of four bundles as far as their names go."""
    for name in (FIRST, SECOND, THIRD, FOURTH):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    return tmp_path


def back(folder: Path) -> str:
    """Take the last promotion back."""
    return roll_back(folder, next_in_line(folder)[0].bundle_id).bundle_id


def test_each_rollback_goes_further_back_until_there_is_nothing_left(shelf: Path) -> None:
    for name in (FIRST, SECOND, THIRD):
        promote(shelf, name)
    assert [back(shelf), champion(shelf)] == [SECOND, SECOND]
    assert [back(shelf), champion(shelf)] == [FIRST, FIRST]
    with pytest.raises(BundleError, match="nothing to go back to") as caught:
        back(shelf)
    assert THIRD in caught.value.remedy
    assert champion(shelf) == FIRST


def test_after_a_rollback_a_promotion_leads_back_to_what_was_in_use_before_it(shelf: Path) -> None:
    for name in (FIRST, SECOND, THIRD):
        promote(shelf, name)
    back(shelf)
    promote(shelf, FOURTH)
    assert [back(shelf), back(shelf)] == [SECOND, FIRST]


def test_what_was_taken_back_can_be_promoted_again(shelf: Path) -> None:
    for name in (FIRST, SECOND):
        promote(shelf, name)
    back(shelf)
    promote(shelf, SECOND)
    assert [one.bundle_id for one in promotions(shelf)] == [SECOND, FIRST]


def test_promoting_what_is_in_use_adds_nothing_to_go_back_to(shelf: Path) -> None:
    for name in (FIRST, SECOND, SECOND):
        promote(shelf, name)
    assert back(shelf) == FIRST


def test_a_history_says_since_when_each_was_in_use(shelf: Path) -> None:
    for name in (FIRST, SECOND):
        promote(shelf, name)
    later, earlier = (one.at for one in promotions(shelf))
    assert later is not None
    assert earlier is not None
    assert earlier <= later


def test_a_champion_written_by_hand_is_read_and_kept_in_the_history(shelf: Path) -> None:
    (shelf / CHAMPION).write_text(FIRST)
    assert champion(shelf) == FIRST
    promote(shelf, SECOND)
    assert back(shelf) == FIRST


def test_a_damaged_champion_is_replaced_by_the_next_promotion(shelf: Path) -> None:
    (shelf / CHAMPION).write_text("../elsewhere\n")
    promote(shelf, FIRST)
    assert [one.bundle_id for one in promotions(shelf)] == [FIRST]


def test_a_rollback_to_another_than_was_verified_is_refused(shelf: Path) -> None:
    for name in (FIRST, SECOND, THIRD):
        promote(shelf, name)
    with pytest.raises(BundleError, match=f"{SECOND} now, no longer {FIRST}"):
        roll_back(shelf, FIRST)
    assert champion(shelf) == THIRD


def test_promotions_at_the_same_time_are_all_in_the_history(shelf: Path) -> None:
    together = [
        threading.Thread(target=promote, args=(shelf, name)) for name in (FIRST, SECOND, THIRD, FOURTH)
    ]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert {one.bundle_id for one in promotions(shelf)} == {FIRST, SECOND, THIRD, FOURTH}
