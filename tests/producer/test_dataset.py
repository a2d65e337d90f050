"""Reading the UCI file and files like it, and saying what is wrong with others."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from clickstream.files import source
from clickstream.files.dataset import Dataset, read_dataset
from clickstream.infra.errors import InputError, MissingFileError

Row = Callable[..., str]
CsvFile = Callable[..., Path]


def test_the_uci_file_is_known_and_whole(uci: Dataset) -> None:
    assert uci.is_uci
    assert uci.name == "e-shop clothing 2008.csv"
    assert (len(uci), len(uci.clicks), len(uci.session_ids)) == (165_474, 165_474, 24_026)
    first = uci.clicks[0]
    assert first[:3] == ("1", date(2008, 4, 1), 1)
    assert (first.country, first.product, first.category, first.price) == (29, "A13", "trousers", 28.0)


def test_sessions_are_folded_in_order(made: Dataset) -> None:
    folded = {session_id: session for session_id, _, session in made.sessions()}
    assert list(folded) == list(made.session_ids)
    assert sum(session.clicks for session in folded.values()) == len(made)
    assert all(session.seen == [1, session.clicks] for session in folded.values())
    assert all(session.missing == 0 for session in folded.values())


def test_a_file_like_it_is_taken(csv_file: CsvFile, row: Row) -> None:
    dataset = read_dataset(csv_file(row("a", 1), row("a", 2, price=30.5, category=4, product="P1"), end="\n"))
    assert not dataset.is_uci
    assert [(c.session_id, c.order, c.product, c.category, c.price) for c in dataset.clicks] == [
        ("a", 1, "A13", "trousers", 28.0),
        ("a", 2, "P1", "sale", 30.5),
    ]


def test_rows_of_sessions_may_be_mixed(csv_file: CsvFile, row: Row) -> None:
    dataset = read_dataset(csv_file(row("b", 1), row("a", 1), row("b", 2, product="B4"), row("a", 2)))
    assert [(c.session_id, c.order) for c in dataset.clicks] == [("b", 1), ("b", 2), ("a", 1), ("a", 2)]
    assert [session_id for session_id, _, _ in dataset.sessions()] == ["b", "a"]
    assert dataset.clicks[1].product == "B4"


def test_columns_may_be_in_any_order_and_more(csv_file: CsvFile, row: Row) -> None:
    plain = read_dataset(csv_file(row()))
    header = (csv_file(row()).read_text()).splitlines()[0].split(";")
    path = csv_file(
        ";".join(["x", *reversed(row().split(";"))]), header=";".join(["more", *reversed(header)])
    )
    assert read_dataset(path).clicks == plain.clicks


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"price": "cheap"}, "row 3, price: 'cheap', not a number"),
        ({"price": "nan"}, "row 3, price: 'nan', not a number"),
        ({"price": -1}, "row 3, price: '-1', not a number from 0"),
        ({"price": ""}, "row 3, price: '', not a number"),
        ({"category": 5}, "row 3, page 1 (main category): '5', not a whole number from 1 to 4"),
        ({"price_2": 0}, "row 3, price 2: '0', not a whole number from 1 to 2"),
        ({"page": 1.5}, "row 3, page: '1.5', not a whole number"),
        ({"product": ""}, "row 3, page 2 (clothing model): '', not 1 to 256 characters"),
        ({"country": "PL"}, "row 3, country: 'PL', not a whole number"),
        ({"order": 3}, "row 3, order: '3', not 2: the orders of a session run 1..n"),
        ({"order": 1}, "row 3, order: '1', not 2"),
        ({"day": 31}, "row 3, year, month, day: '2008-4-31', not a date"),
        ({"day": 2}, "row 3, year, month, day: '2008-04-02', a session stays on one day"),
        ({"session": ""}, "row 3, session ID: '', not 1 to 256 characters"),
        ({"page": "1;9"}, "15 fields where the header has 14"),
    ],
)
def test_a_wrong_value_is_named(
    csv_file: CsvFile, row: Row, changes: dict[str, object], expected: str
) -> None:
    with pytest.raises(InputError) as refused:
        read_dataset(csv_file(row("1", 1), row(**{"session": "1", "order": 2} | changes)))
    assert "shop.csv: 1 of its rows are wrong" in refused.value.what
    assert expected in refused.value.what
    assert refused.value.exit_code == 65


def test_ten_wrong_rows_are_named_and_the_others_counted(csv_file: CsvFile, row: Row) -> None:
    with pytest.raises(InputError) as refused:
        read_dataset(csv_file(*(row(str(n), 1, price=f"x{n}") for n in range(13))))
    lines = refused.value.what.splitlines()
    assert lines[0].endswith("13 of its rows are wrong")
    assert [line.split(",")[0].strip() for line in lines[1:-1]] == [f"row {n}" for n in range(2, 12)]
    assert lines[-1].strip() == "and 3 more"


def _zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "year;month\r\n" * 1_000)
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\r\n \r\n", "is empty"),
        (b"\x7fELF\x00\x01\x02", "is binary"),
        ("prix;d\xe9j\xe0\r\n".encode("latin-1"), "is not UTF-8 text"),
        (b"year,month,day\r\n2008,4,1\r\n", "lacks the columns year"),
        (b"PK\x03\x04 and then nothing", "is a damaged, truncated or locked zip"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as refused:
        read_dataset(path)
    assert "UCI" in refused.value.remedy


def test_a_header_alone_is_refused(csv_file: CsvFile) -> None:
    with pytest.raises(InputError, match="has a header but no clicks"):
        read_dataset(csv_file())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_zip_is_refused(tmp_path: Path, shop_file: Path, share: float) -> None:
    content = shop_file.read_bytes()
    path = tmp_path / "cut.zip"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="damaged, truncated"):
        read_dataset(path)


def test_a_zip_with_a_flipped_byte_is_refused(tmp_path: Path, shop_file: Path) -> None:
    content = bytearray(shop_file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "flipped.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_dataset(path)


def test_a_truncated_csv_is_refused_at_its_last_row(tmp_path: Path, shop_file: Path) -> None:
    with zipfile.ZipFile(shop_file) as archive:
        content = archive.read(archive.namelist()[0])
    path = tmp_path / "cut.csv"
    path.write_bytes(content[:9_990])
    with pytest.raises(InputError, match="fields where the header has 14"):
        read_dataset(path)


@pytest.mark.parametrize("names", [(), ("a.csv", "b.csv"), ("a.txt",)])
def test_a_zip_must_hold_one_csv(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"must hold one CSV file|is a damaged"):
        read_dataset(_zip(tmp_path / "some.zip", *names))


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 1_000)
    with pytest.raises(InputError, match="larger than"):
        read_dataset(_zip(tmp_path / "bomb.zip", "a.csv"))


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_without_the_file_it_says_where_to_get_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingFileError) as missing:
        read_dataset(tmp_path / name)
    assert missing.value.exit_code == 66
    assert "UCI Machine Learning Repository: dataset 553" in missing.value.remedy
    assert "--synthetic" in missing.value.remedy
