"""A file taken row by row: what is kept, what is refused, and what is said of it."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shop_files import HEADER, csv_bytes, row, visits, zipped

from clickstream.files import cleaning, source
from clickstream.files.dataset import Dataset, read_dataset
from clickstream.files.sifting import sift_dataset
from clickstream.infra.errors import InputError, MissingFileError

GOOD = csv_bytes(*visits(3))


def sift_rows(*rows: str) -> tuple[Dataset, cleaning.CleaningReport]:
    return sift_dataset(csv_bytes(*rows), "shop.csv")


def refused(*rows: str) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for one in sift_rows(*rows)[1].refused]


def error_of(content: bytes) -> InputError:
    with pytest.raises(InputError) as error:
        sift_dataset(content, "upload")
    assert error.value.exit_code == 65
    assert error.value.remedy
    return error.value


def test_a_good_file_is_read_as_the_strict_reader_reads_it(shop_file: Path, made: Dataset) -> None:
    sifted, report = sift_dataset(shop_file)
    assert (report.rows, report.kept, report.skipped, report.refused) == (len(made), len(made), 0, ())
    for name in ("views", "session_ids", "days", "sha256"):
        assert getattr(sifted, name) == getattr(made, name)
    assert np.array_equal(sifted.view_of, made.view_of)
    assert np.array_equal(sifted.starts, made.starts)
    assert sifted.orders is not None
    assert np.array_equal(sifted.orders, np.concatenate([np.arange(n) + 1 for n in np.diff(made.starts)]))


def test_it_is_taken_from_a_path_bytes_or_an_open_file(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(GOOD)
    with path.open("rb") as file:
        found = [sift_dataset(one) for one in (path, GOOD, io.BytesIO(GOOD), file)]
    assert [one.dataset.clicks for one in found] == [found[0].dataset.clicks] * 4
    assert [one.cleaning.name for one in found] == ["shop.csv", "file", "file", "shop.csv"]


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"price": "cheap"}, "price", "'cheap', not a number"),
        ({"price": "=1+1"}, "price", "'=1+1', not a number"),
        ({"category": 5}, "page 1 (main category)", "'5', not a whole number from 1 to 4"),
        ({"product": ""}, "page 2 (clothing model)", "not 1 to 256 characters"),
        ({"day": 31}, "year, month, day", "'2008-4-31', not a date"),
        ({"day": 2}, "year, month, day", "this one began on 2008-04-01"),
        ({"order": "x"}, "order", "'x', not a whole number from 1 to 1,000,000"),
        ({"order": 1_000_001}, "order", "not a whole number"),
        ({"order": 0}, "order", "not a whole number"),
        ({"order": "²"}, "order", "not a whole number"),
        ({"order": 1}, "order", "'1', this session has a click of that order already"),
        ({"session": ""}, "session ID", "not 1 to 256 characters"),
        ({"page": "1;9"}, "fields", "15 fields where the header has 14"),
        ({"product": "A\0"}, "text", "a NUL character"),
        ({"product": "A" * 70_000}, "text", "a line longer than 65,536 characters"),
        ({"product": ";" * 70_000}, "text", "a line longer than 65,536 characters"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line_and_the_others_are_kept(
    changes: dict[str, Any], reason: str, detail: str
) -> None:
    wrong: dict[str, Any] = {"session": "1", "order": 2} | changes
    dataset, report = sift_rows(row("1", 1), row(**wrong), row("1", 3))
    assert [click.order for click in dataset.clicks] == [1, 3]
    (one,) = report.refused
    assert (one.line, one.reason) == (3, reason)
    assert detail in one.detail
    assert len(one.text) <= 1_000
    assert report.reasons == {reason: 1}
    assert (report.rows, report.kept) == (3, 2)


def test_the_text_of_a_refused_row_is_that_of_the_file() -> None:
    wrong = row("1", 2, price="<b>free</b>")
    _, report = sift_rows(row("1", 1), wrong)
    assert report.refused[0].text == wrong


def test_an_unclosed_quotation_mark_is_told_and_takes_no_more_than_its_rows() -> None:
    rows = [row("1", 1), row("1", 2, product='"A'), *(row("2", order + 1) for order in range(5_000))]
    dataset, report = sift_rows(*rows)
    assert report.refused
    assert "quotation mark" in report.refused[0].detail
    assert len(dataset) > 1


def test_orders_may_have_holes_and_come_in_any_order() -> None:
    dataset, _ = sift_rows(row("b", 7), row("a", 2), row("b", 3))
    assert [(one.session_id, one.order) for one in dataset.clicks] == [("b", 3), ("b", 7), ("a", 2)]
    missing = {session_id: session.missing for session_id, _, session in dataset.sessions()}
    assert missing == {"b": 3, "a": 0}


def test_the_first_row_of_a_session_that_is_right_says_its_day() -> None:
    assert refused(row("1", 1, price="x", day=2), row("1", 2), row("1", 3, day=2)) == [
        (2, "price"),
        (4, "year, month, day"),
    ]


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_another_delimiter_is_taken_and_told(delimiter: str) -> None:
    dataset, report = sift_dataset(GOOD.replace(b";", delimiter.encode()))
    assert len(dataset) == 12
    assert report.delimiter == delimiter
    assert "instead of ';'" in report.notes[0]


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", ()),
        ("utf-8-sig", ()),
        ("utf-16", ("the text is in UTF-16 instead of UTF-8",)),
        ("utf-16-le", ("the text is in UTF-16-LE instead of UTF-8",)),
        ("utf-16-be", ("the text is in UTF-16-BE instead of UTF-8",)),
        ("windows-1252", ("the text is in WINDOWS-1252 instead of UTF-8",)),
    ],
)
def test_an_encoding_that_can_be_told_is_decoded(encoding: str, told: tuple[str, ...]) -> None:
    content = csv_bytes(row("Zoë", 1, product="Café"), row("Zoë", 2)).decode().encode(encoding)
    dataset, report = sift_dataset(content)
    assert dataset.session_ids == ("Zoë",)
    assert dataset.clicks[0].product == "Café"
    assert report.notes == told


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b" \r\n\r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (" \n".encode("utf-16"), "is empty"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00" * 50, "is binary"),
        (bytes(range(1, 256)) * 20, "is no text in UTF-8, UTF-16 or Windows-1252"),
        ("﻿".encode("utf-16-le") + b"\x00\xd8\x41", "begins like UTF-16 text"),
        (GOOD.replace(b";", b"|"), "lacks the columns year, month"),
        (GOOD.replace(b"price 2", b"premium"), "lacks the columns price 2; its first line has 'year', "),
        (GOOD.replace(b"colour", b"country"), "lacks the columns colour"),
        (HEADER.encode() + b";page\r\n" + row().encode(), "has columns twice: page"),
        (HEADER.encode(), "has a header but no clicks"),
        (csv_bytes(*(row(price="x"),) * 7), "none of its 7 rows can be used"),
        (b";".join(b"c%d" % n for n in range(1_000_000)) + b"\r\n", "begins with a line longer than 65,536"),
        (zipped({"a.csv": GOOD, "b.csv": GOOD}), "must hold one CSV file; it holds a.csv, b.csv"),
        (zipped({"readme.txt": GOOD}), "must hold one CSV file; it holds readme.txt"),
        (zipped({"inner.zip": zipped({"a.csv": GOOD})}), "must hold one CSV file; it holds inner.zip"),
        (zipped({"../../etc/shop.csv": GOOD}), "path outside: '../../etc/shop.csv'"),
        (zipped({"/shop.csv": GOOD}), "path outside"),
        (zipped({"shop.csv": GOOD, "..\\x.txt": b""}), "path outside"),
        (zipped({f"{n}.txt": b"" for n in range(20_000)}), "its directory is that of very many"),
        (zipped({"shop.csv": GOOD})[:200], "is a damaged, truncated or locked zip"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_with_a_reason(content: bytes, expected: str) -> None:
    assert expected in error_of(content).what


def test_a_zip_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 2 * 2**20)
    bomb = zipped({"bomb.csv": bytes(100 * 2**20)})
    tracemalloc.start()
    try:
        assert "bomb.csv is larger than 2 MiB" in error_of(bomb).what
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_a_zip_in_a_zip_is_told_what_to_do() -> None:
    assert "unpack the outer one" in error_of(zipped({"inner.zip": zipped({"a.csv": GOOD})})).remedy


def test_a_locked_zip_is_refused() -> None:
    locked = bytearray(zipped({"shop.csv": GOOD}))
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    assert "shop.csv needs a password" in error_of(bytes(locked)).what


def test_a_zip_made_on_a_mac_is_taken() -> None:
    dataset, _ = sift_dataset(zipped({"a/shop.csv": GOOD, "__MACOSX/a/._shop.csv": b"\0\1"}))
    assert len(dataset) == 12


def test_a_file_of_200_mb_is_refused_before_it_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(InputError, match=r"large.csv is larger than 128 MiB"):
        sift_dataset(path)


def test_more_rows_than_are_taken_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clickstream.files.sifting.MAX_ROWS", 11)
    assert "has more than 11 rows" in error_of(GOOD).what


def test_a_file_that_is_not_there_says_so() -> None:
    with pytest.raises(MissingFileError, match=r"nowhere.csv is not there"):
        sift_dataset(Path("nowhere.csv"))


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b";" * 5_000_000, id="five million columns"),
        pytest.param(b"x" * 5_000_000, id="a long line"),
        pytest.param(b'"' + (b"a" * 99 + b"\n") * 10_000, id="a quotation that never ends"),
    ],
)
def test_memory_stays_bounded(tail: bytes) -> None:
    content = GOOD + tail
    tracemalloc.start()
    try:
        sift_dataset(content)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20 + 3 * len(tail)
    finally:
        tracemalloc.stop()


def test_the_strict_reader_refuses_what_is_sifted(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(csv_bytes(row("1", 1), row("1", 2, price="x")))
    with pytest.raises(InputError, match="1 of its rows are wrong"):
        read_dataset(path)
    assert sift_dataset(path).cleaning.kept == 1
