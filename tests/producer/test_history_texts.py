"""Texts of logs of any size: what stands in them is read, refused or left out, and nothing is made up."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from history_logs import click, opened, rows_of, written

from clickstream.files.history import ClickBuckets, opening
from clickstream.files.history.stored import find_log
from clickstream.infra.errors import InputError, MissingFileError


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


HEADER = "visit,at,what,page,price,member\n"
BAD = "bad,when,look,3,2.5,true\n"


def row_of(visit: str, what: str = "look") -> str:
    return f"{visit},1772445600,{what},3,2.5,true\n"


def line_of(visit: str, what: str = "look") -> str:
    return json.dumps(click(visit, what=what), ensure_ascii=False) + "\n"


def refused_of(found: ClickBuckets) -> list[tuple[int | None, str]]:
    return [(one.line, one.detail) for one in found.refused.examples]


def visits_of(found: ClickBuckets) -> list[str]:
    return sorted(row["session_id"] for row in rows_of(found))


def test_nothing_behind_many_blank_lines_is_lost(tmp_path: Path) -> None:
    blank = 5_000
    text = HEADER + row_of("a") + "\n" * blank + row_of("b") + BAD + "\n" * blank + "short\n" + row_of("c")
    (tmp_path / "log.csv").write_text(text)
    found = opened(tmp_path, tmp_path / "log.csv")
    assert visits_of(found) == ["a", "b", "c"]
    assert [line for line, _ in refused_of(found)] == [blank + 4, 2 * blank + 5]
    (tmp_path / "log.jsonl").write_text(line_of("a") + "\r\n" * 200_000 + line_of("b") + "{\n")
    found = opened(tmp_path, tmp_path / "log.jsonl")
    assert (visits_of(found), [line for line, _ in refused_of(found)]) == (["a", "b"], [200_003])


def test_many_rows_that_are_none_are_all_counted_and_lose_no_other(tmp_path: Path) -> None:
    spoiled = 'v,17,"a"b,3,2.5,true\n'
    (tmp_path / "log.csv").write_text(HEADER + row_of("a") + spoiled * 70_000 + row_of("b") + BAD)
    found = opened(tmp_path, tmp_path / "log.csv")
    assert (visits_of(found), found.refused.count, len(found.refused.examples)) == (["a", "b"], 70_001, 1_000)
    assert refused_of(found)[0][0] == 3
    (tmp_path / "log.csv").write_text(HEADER + spoiled * 400 + row_of("b") + BAD)
    assert refused_of(opened(tmp_path, tmp_path / "log.csv"))[-1][0] == 403


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_a_line_longer_than_a_buffer_is_refused_on_its_line(tmp_path: Path, packing: str) -> None:
    long = "x" * 34_000_000
    for name, text in (
        ("log.csv", HEADER + row_of("a") + row_of("b", long) + row_of("c") + BAD),
        ("log.jsonl", "\n" + line_of("a") + line_of("b", what=long) + line_of("c") + "{\n"),
    ):
        path = tmp_path / f"{name}{packing}"
        path.write_bytes(packed(text.encode(), packing))
        found = opened(tmp_path, path)
        assert (visits_of(found), found.rows) == (["a", "c"], 4)
        assert refused_of(found)[0] == (3, "a line longer than 65,536 characters")
        assert refused_of(found)[1][0] == 5


def packed(text: bytes, packing: str) -> bytes:
    if packing == ".gz":
        return gzip.compress(text, 1)
    return zstandard.compress(text) if packing == ".zst" else text


@pytest.mark.parametrize("mark", ["", '"'])
def test_the_length_of_a_line_is_counted_in_characters(tmp_path: Path, mark: str) -> None:
    text = HEADER.replace("member", "member,note")
    for visit, length in (("a", 40_000), ("b", 65_400), ("c", 65_536), ("d", 1_200_000)):
        text += row_of(visit)[:-1] + f",{mark}{'é' * length}{mark}\n"
    (tmp_path / "log.csv").write_text(text)
    found = opened(tmp_path, tmp_path / "log.csv")
    assert visits_of(found) == ["a", "b"]
    assert refused_of(found) == [(line, "a line longer than 65,536 characters") for line in (4, 5)]


def test_a_quotation_mark_that_is_left_open_takes_no_more_than_its_row(tmp_path: Path) -> None:
    text = HEADER + row_of("a") + row_of("b", '"open') + row_of("c") * 300_000 + row_of("d", 'end"')
    (tmp_path / "log.csv").write_text(text)
    found = opened(tmp_path, tmp_path / "log.csv")
    assert found.rows == found.kept + found.refused.count
    assert found.kept > 290_000
    assert all("is a quotation mark" in detail for _, detail in refused_of(found))
    (tmp_path / "log.csv").write_text(HEADER + row_of("a") + row_of("b", '"open') + row_of("c"))
    problem = "unexpected end of data, over 2 lines: is a quotation mark left open?"
    assert refused_of(opened(tmp_path, tmp_path / "log.csv")) == [(4, problem)]


@pytest.mark.parametrize("ends", ["\n\r\n", "\r\n\n", "\r\n\r", "\n\r", "\r\r", "\r\n\r\n"])
def test_lines_may_end_in_several_ways(tmp_path: Path, ends: str) -> None:
    first, second = re.findall(r"\r\n|\r|\n", ends)
    rows = [HEADER, row_of("a"), row_of("b", '"x\ny"'), BAD, row_of("c")]
    text = "".join(one.replace("\n", first if n % 2 else second) for n, one in enumerate(rows))
    (tmp_path / "log.csv").write_bytes(text.encode())
    found = opened(tmp_path, tmp_path / "log.csv")
    assert (visits_of(found), [line for line, _ in refused_of(found)]) == (["a", "b", "c"], [5])


def test_an_hour_without_clicks_is_noted(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("a.csv", "b.csv.gz", "c.jsonl"):
        (tmp_path / "logs" / name).write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
    with pytest.raises(InputError, match="is empty"):
        opened(tmp_path, tmp_path / "logs")
    written(tmp_path / "logs", "d.csv", [click("v")])
    found = opened(tmp_path, tmp_path / "logs")
    assert (found.kept, found.notes) == (1, ("3 of 4 files are empty: a.csv, b.csv.gz, c.jsonl",))


def test_what_tools_write_around_packed_text_is_none_of_it(tmp_path: Path) -> None:
    text = (HEADER + row_of("a")).encode()
    parts = [text, row_of("b").encode()]
    (tmp_path / "a.csv.gz").write_bytes(b"".join(gzip.compress(one) + bytes(512) for one in parts))
    empty_frame = b"\x50\x2a\x4d\x18" + (8).to_bytes(4, "little") + bytes(8)
    (tmp_path / "b.csv.zst").write_bytes(b"".join(empty_frame + zstandard.compress(one) for one in parts))
    found = opened(tmp_path, tmp_path / "a.csv.gz", tmp_path / "b.csv.zst")
    assert visits_of(found) == ["a", "a", "b", "b"]
    spoiled = row_of("c", '"a"b') + row_of("d")
    (tmp_path / "b.csv.zst").write_bytes(b"".join(map(zstandard.compress, [*parts, spoiled.encode()])))
    assert visits_of(opened(tmp_path, tmp_path / "b.csv.zst")) == ["a", "b", "d"]


def test_the_encoding_is_found_by_the_first_letter_beyond_ascii(tmp_path: Path) -> None:
    plain = HEADER + row_of("a") * 40_000
    text = plain + row_of("b", "café")
    damaged = plain.encode() + b"\xe9\n" + row_of("b", "café").encode() * 2
    (tmp_path / "western.csv").write_bytes(text.encode("windows-1252"))
    (tmp_path / "spoiled.csv").write_bytes(text.encode() + row_of("c").encode() + b"\xe9\n")
    (tmp_path / "damaged.csv").write_bytes(damaged)
    found = opened(tmp_path, *(tmp_path / f"{name}.csv" for name in ("western", "spoiled", "damaged")))
    assert [one["event"] for one in rows_of(found) if one["session_id"] == "b"] == ["café"] * 4
    refused = [(one.file, one.line) for one in found.refused.examples]
    assert refused == [("spoiled.csv", 40_004), ("damaged.csv", 40_002)]


def test_a_folder_that_may_not_be_seen_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs" / "closed").mkdir(parents=True)
    written(tmp_path / "logs", "a.csv", [click("v")])
    seen = Path.iterdir

    def iterdir(folder: Path) -> Iterator[Path]:
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return seen(folder)

    # Whoever runs this may see everything.
    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(MissingFileError, match="closed cannot be read: Permission denied") as error:
        opened(tmp_path, tmp_path / "logs")
    assert error.value.exit_code == 66


def test_a_file_of_several_names_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, "a.csv", [click("v")])
    (tmp_path / "b.csv").symlink_to(path)
    assert opened(tmp_path, path, "a.csv", "b.csv", "*.csv", tmp_path).rows == 1
    assert len(find_log([path, "a.csv", "./b.csv"], 1.0)) == 1
    (tmp_path / "b.csv").unlink()
    (tmp_path / "b.csv").symlink_to("gone.csv")
    with pytest.raises(MissingFileError, match=r"b\.csv is a link to what is not there"):
        opened(tmp_path, tmp_path)


def test_what_is_in_the_making_or_made_of_a_log_is_none(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    for folder in ("", "_temporary", ".trash", "sessions/day=2026-03-02"):
        (logs / folder).mkdir(parents=True, exist_ok=True)
        written(logs / folder, "a.csv", [click("v")])
    (logs / "sessions" / "_history.json").touch()
    (logs / "notes.md").touch()
    found = opened(tmp_path, logs)
    assert found.rows == 1
    assert found.notes == ("1 file in folders not read, being named like no log: notes.md",)
    assert find_log([f"{logs}/**/*.csv"], 1.0) == [logs / "_temporary" / "a.csv", logs / "a.csv"]


def test_a_log_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "log.csv", [click("v")])
    read = opening.describe_all

    def grown(*given: Any, **named: Any) -> Any:
        with path.open("a") as file:
            file.write("\n" + row_of("w"))
        return read(*given, **named)

    monkeypatch.setattr(opening, "describe_all", grown)
    with pytest.raises(InputError, match=r"log\.csv changed while it was read") as error:
        opened(tmp_path, path)
    assert error.value.exit_code == 65
