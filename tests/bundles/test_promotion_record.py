"""The record of who put which bundle in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from clickstream.bundles.champion import champion, promote, promote_first, roll_back
from clickstream.bundles.manifest import MANIFEST
from clickstream.bundles.promotion_record import RECORD, Author, recorded
from clickstream.infra.errors import BundleError

FIRST, SECOND = (f"20080401T00000{n}Z-0000000{n}" for n in (1, 2))
ANNA = Author("Anna", "dashboard", "better in May")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for bundle_id in (FIRST, SECOND):
        (tmp_path / bundle_id).mkdir()
        (tmp_path / bundle_id / MANIFEST).touch()
    return tmp_path


def test_each_promotion_and_each_way_back_says_who_what_and_why(folder: Path) -> None:
    promote_first(folder, FIRST)
    promote(folder, SECOND, author=ANNA)
    promote(folder, SECOND, author=ANNA)
    roll_back(folder, FIRST, Author("Ben", "command"))
    found = recorded(folder)
    assert [(one.step, one.before, one.bundle_id) for one in found] == [
        ("roll back", SECOND, FIRST),
        ("promote", FIRST, SECOND),
        ("promote", None, FIRST),
    ], "one that is in use already is not promoted, and no line says so"
    assert [one.author.name for one in found][:2] == ["Ben", "Anna"]
    assert found[1].author == ANNA
    assert found[2].author.name, "without an author it is the user of the process"
    assert found[0].at >= found[2].at


def test_what_a_crash_cut_off_costs_no_other_line(folder: Path) -> None:
    promote_first(folder, FIRST)
    with (folder / RECORD).open("ab") as file:
        file.write(b'{"at": "2026-')
    promote(folder, SECOND)
    assert [one.bundle_id for one in recorded(folder)] == [SECOND, FIRST]


def test_a_line_of_somebody_else_costs_no_other(folder: Path) -> None:
    promote_first(folder, FIRST)
    with (folder / RECORD).open("ab") as file:
        file.write(b"[" * 100_000 + b"\n" + b"9" * 5_000 + b"\n")
    assert [one.bundle_id for one in recorded(folder)] == [FIRST]


def test_a_text_of_many_lines_stays_one_line(folder: Path) -> None:
    promote_first(folder, FIRST, Author("a\nb", "dashboard", "\n<b>\u2028" + "x" * 2_000))
    (found,) = recorded(folder)
    assert found.author.name == "a\nb"
    assert len(found.author.reason) == 500


def test_a_folder_in_its_place_is_said_and_the_bundle_is_in_use(folder: Path) -> None:
    (folder / RECORD).mkdir()
    with pytest.raises(BundleError, match=f"{FIRST} is in use, but .*{RECORD} cannot be written"):
        promote_first(folder, FIRST)
    assert champion(folder) == FIRST
    with pytest.raises(BundleError, match="cannot be read"):
        recorded(folder)
