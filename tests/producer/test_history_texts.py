"""Texts of logs of any size: what stands in them is read, refused or left out, and nothing is made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from history_logs import click, opened, rows_of, written


def test_lines_within_quotation_marks_are_no_rows_however_long_the_file_is(tmp_path: Path) -> None:
    inside = "\nINVENTED,1772445600,look,3,2.5,true,x" * 300
    row = f'v,1772445600,look,3,2.5,true,"{inside}"\n'
    (tmp_path / "log.csv").write_text("visit,at,what,page,price,member,note\n" + row * 1_600)
    found = opened(tmp_path, tmp_path / "log.csv")
    assert (found.rows, found.kept, {one["session_id"] for one in rows_of(found)}) == (1_600, 1_600, {"v"})


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
def test_what_folders_are_called_changes_no_click(tmp_path: Path, name: str) -> None:
    inside = tmp_path.joinpath("visit=other", "c0=other", "price=99", "session_id=s", "event=x", "bucket=1")
    inside.mkdir(parents=True)
    found = opened(inside, written(inside, name, [click(f"v{n}", price=n / 4) for n in range(3)]))
    assert sorted((row["session_id"], row["event"], row["price"]) for row in rows_of(found)) == [
        ("v0", "look", 0.0),
        ("v1", "look", 0.25),
        ("v2", "look", 0.5),
    ]


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_signs_of_patterns_in_names_are_letters(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, folder in enumerate(["a[1]*?", "a1xx", "~", "it's {1,2}"]):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, name, [click(f"v{number}")])
        written(tmp_path / folder, f"[1]{name}", [click(f"w{number}")])
    found = opened(Path("a[1]*?"), *(Path(one) / name for one in ("a[1]*?", "a1xx")), Path("~"), "it's {1,2}")
    assert sorted(row["session_id"] for row in rows_of(found)) == ["v0", "v1", "v2", "v3", "w2", "w3"]
