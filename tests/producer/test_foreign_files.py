"""Files as shops and spreadsheets write them: taken exactly, or refused with the line and what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest
from log_files import map_dataset
from shop_files import HEADER, csv_bytes, row, visits

from clickstream.files.cleaning import CleanedFile
from clickstream.files.mapping import read_mapping
from clickstream.files.sifting import sift_dataset
from clickstream.files.source import MAX_BYTES
from clickstream.infra.errors import InputError

MAPPING = """
[clicks]
session_id = "visit"
event_time = { column = "at", format = "FORMAT" }
product = "item"
category = "kind"
price = "price"
"""
FIELDS = ("visit", "at", "item", "kind", "price")


def mapped(content: str | bytes, tmp_path: Path, more: str = "", time_format: str = "iso") -> CleanedFile:
    path = tmp_path / "mapping.toml"
    path.write_text(more + MAPPING.replace("FORMAT", time_format))
    given = content.encode() if isinstance(content, str) else content
    return map_dataset(given, read_mapping(path), "log")


def line(visit: str, minute: int, item: str = "A", price: str = "1.5") -> str:
    return f"{visit},2026-03-02T10:{minute:02}:00,{item},hats,{price}"


def table(*lines: str) -> str:
    return "\n".join([",".join(FIELDS), *lines])


def ids(cleaned: CleanedFile) -> set[str]:
    return set(cleaned.dataset.session_ids)


def objects(*visits: str) -> str:
    """JSON lines whose session ids are written as given."""
    return "\n".join(
        f'{{"visit": {visit}, "at": "2026-03-02T10:{n:02}:00", "item": "A", "kind": "hats", "price": 2}}'
        for n, visit in enumerate(visits)
    )


def test_ids_of_any_length_stay_apart(tmp_path: Path) -> None:
    written = [
        "12345678901234567890",
        "12345678901234567891",
        "9007199254740993",
        "1.50",
        "1.5",
        '"007"',
        '"7"',
    ]
    found = ids(mapped(objects(*written), tmp_path))
    assert found == {one.strip('"') for one in written}


@pytest.mark.parametrize(
    "visit",
    ["null", "[1]", '"\\ud800"', '""', "NaN"],
    ids=["null", "list", "half", "empty", "nan"],
)
def test_an_id_that_cannot_be_kept_is_refused_with_its_line(tmp_path: Path, visit: str) -> None:
    cleaned = mapped(objects('"a"', visit), tmp_path)
    assert ids(cleaned) == {"a"}
    assert [refused.line for refused in cleaned.cleaning.refused] == [2]


def test_a_key_that_stands_twice_in_an_object_is_refused(tmp_path: Path) -> None:
    twice = objects('"a"') + "\n" + objects('"b"').replace('"item"', '"visit": "c", "item"')
    cleaned = mapped(twice, tmp_path)
    assert ids(cleaned) == {"a"}
    assert "'visit' stands in it twice" in cleaned.cleaning.refused[0].detail


@pytest.mark.parametrize("price", ["1_000", "１２", "1e999", "inf", "nan", "0x10", "12,50", "1 000"])
def test_what_only_a_program_takes_for_a_number_is_refused(tmp_path: Path, price: str) -> None:
    quoted = f'"{price}"'
    cleaned = mapped(table(line("a", 1), line("b", 2, price=quoted)), tmp_path)
    assert ids(cleaned) == {"a"}
    assert (cleaned.cleaning.refused[0].line, cleaned.cleaning.refused[0].reason) == (3, "price")
    if price == "12,50":
        assert 'decimal = ","' in cleaned.cleaning.refused[0].detail


@pytest.mark.parametrize("column", ["price", "page", "day"])
def test_the_layout_of_uci_takes_plain_numbers_only(column: str) -> None:
    wrong = {"price": {"price": "1_0"}, "page": {"page": "１"}, "day": {"day": "0_2"}}[column]
    cleaned = sift_dataset(csv_bytes(*visits(2), row("x", 1, **wrong)))
    assert len(cleaned.cleaning.refused) == 1


def test_a_quotation_mark_in_a_file_of_tabulators_takes_no_other_rows(tmp_path: Path) -> None:
    lines = [
        line("a", 1, item='"big hat'),
        line("b", 2),
        line("c", 3, item='"quoted"'),
        line("d", 4, item='5" hat'),
    ]
    content = table(*lines).replace(",", "\t")
    cleaned = mapped(content, tmp_path)
    assert ids(cleaned) == {"a", "b", "c", "d"}
    assert {view.product for view in cleaned.dataset.views} == {'"big hat', "A", "quoted", '5" hat'}


def test_a_quotation_mark_left_open_in_a_csv_says_how_many_lines_it_took(tmp_path: Path) -> None:
    lines = [line("a", 1), line("b", 2, item='"big hat'), line("c", 3), line("d", 4, item='"small"')]
    cleaned = mapped(table(*lines, line("e", 5)), tmp_path)
    assert ids(cleaned) == {"a", "e"}
    assert "over 3 lines: is a quotation mark left open?" in cleaned.cleaning.refused[0].detail


def test_a_column_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    content = "visit,at,item,kind,price,price\n" + line("a", 1) + ",2"
    with pytest.raises(InputError, match="'price' twice"):
        mapped(content, tmp_path)


def test_a_time_with_its_zone_is_read(tmp_path: Path) -> None:
    content = table("a,02.03.2026 10:00 +0100,A,hats,1", "b,02.03.2026 09:30 +0000,A,hats,1")
    cleaned = mapped(content, tmp_path, time_format="%d.%m.%Y %H:%M %z")
    assert cleaned.dataset.session_ids == ("a", "b")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_column_that_is_not_there_is_named_with_one_that_is_near(tmp_path: Path, form: str) -> None:
    content = table(line("a", 1)) if form == "csv" else objects('"a"')
    with pytest.raises(InputError) as refused:
        mapped(content.replace("visit", "visits"), tmp_path, '[rows]\ncolumn = "knd"\nkeep = ["hats"]\n')
    assert "visit" in refused.value.what
    assert "'visits' for 'visit'" in refused.value.remedy
    assert "'kind' for 'knd'" in refused.value.remedy
    assert "left out" not in str(refused.value)


def test_a_file_without_a_header_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="looks like data"):
        mapped(line("a", 1) + "\n" + line("a", 2), tmp_path)
    with pytest.raises(InputError, match="looks like data"):
        sift_dataset(csv_bytes(*visits(2)).partition(b"\n")[2])


def test_a_json_array_is_said_to_be_one(tmp_path: Path) -> None:
    array = json.dumps([json.loads(one) for one in objects('"a"', '"b"').splitlines()])
    with pytest.raises(InputError, match=r"one JSON array.*\n.*jq"):
        mapped(array, tmp_path)


def test_the_first_line_of_a_spreadsheet_is_taken_for_what_it_is(tmp_path: Path) -> None:
    content = "sep=;\n" + table(line("a", 1), line("b", 2, price="x")).replace(",", ";")
    cleaned = mapped(content, tmp_path)
    assert ids(cleaned) == {"a"}
    assert cleaned.cleaning.refused[0].line == 4
    uci = sift_dataset(b"sep=;\r\n" + csv_bytes(*visits(2)))
    assert (len(uci.dataset), uci.cleaning.refused) == (8, ())


def test_empty_columns_at_the_end_are_left_out(tmp_path: Path) -> None:
    content = "\n".join(one + ",," for one in table(line("a", 1), line("b", 2)).splitlines())
    assert ids(mapped(content, tmp_path)) == {"a", "b"}
    lines = csv_bytes(*visits(2)).decode().splitlines()
    uci = sift_dataset("\n".join(one + ";;" for one in lines).encode())
    assert (len(uci.dataset), uci.cleaning.refused) == (8, ())
    beyond = "\n".join([*table(line("a", 1)).splitlines(), line("b", 2) + ",extra"])
    assert ids(mapped(beyond, tmp_path)) == {"a"}


def test_a_gz_is_read_and_bounded(tmp_path: Path) -> None:
    assert ids(mapped(gzip.compress(table(line("a", 1)).encode()), tmp_path)) == {"a"}
    assert len(sift_dataset(gzip.compress(csv_bytes(*visits(2)))).dataset) == 8
    with pytest.raises(InputError, match="larger than"):
        mapped(gzip.compress(bytes(MAX_BYTES + 10)), tmp_path)
    with pytest.raises(InputError, match="damaged or truncated gz"):
        mapped(gzip.compress(table(line("a", 1)).encode())[:-12], tmp_path)


def test_other_formats_are_named(tmp_path: Path) -> None:
    workbook = io.BytesIO()
    with zipfile.ZipFile(workbook, "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    for content, said in [
        (workbook.getvalue(), "an Excel workbook"),
        (b"PAR1" + bytes(20), "a Parquet file"),
        (bz2.compress(b"x"), "packed by bzip2"),
    ]:
        with pytest.raises(InputError, match=said):
            mapped(content, tmp_path)


def test_the_header_of_the_test_is_that_of_the_dataset() -> None:
    assert HEADER.startswith("year;month;day")


@pytest.mark.parametrize("page", ["1e300000", "1e1000000", "1e-1000000"])
def test_a_number_of_a_million_digits_is_refused_at_once(tmp_path: Path, page: str) -> None:
    hostile = objects('"b"').replace('"price"', f'"pg": {page}, "price"')
    path = tmp_path / "mapping.toml"
    path.write_text(MAPPING.replace("FORMAT", "iso") + 'page = "pg"\n')
    content = objects('"a"').replace('"price"', '"pg": 3, "price"') + "\n" + hostile
    cleaned = map_dataset(content.encode(), read_mapping(path), "log")
    assert ids(cleaned) == {"a"}
    assert cleaned.cleaning.refused[0].reason == "pg"
