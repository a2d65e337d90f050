"""Logs of any size, through DuckDB: the same clicks, the same refusals as row by row, in sorted buckets."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from history_logs import MAPPING, SHOP, click, opened, rows_of, written
from log_files import map_dataset, map_log
from row_by_row import row_by_row
from shop_files import zipped

from clickstream.features.shop import UCI553
from clickstream.files.history import open_clicks
from clickstream.files.mapping import read_mapping, read_shop_mapping
from clickstream.infra.errors import InputError, MissingFileError, UsageError

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-clicks"

ROWS = [click(f"v{n % 5}", 40 - n, price=n / 4) for n in range(20)]


@pytest.mark.parametrize(
    "name",
    ["log.csv", "log.csv.gz", "log.csv.zst", "log.jsonl", "log.jsonl.gz", "log.jsonl.zst", "log.parquet"],
)
def test_a_log_of_any_format_gives_each_session_whole_and_in_order(tmp_path: Path, name: str) -> None:
    found = opened(tmp_path, written(tmp_path, name, ROWS))
    assert (found.rows, found.kept, found.left_out, found.refused.count) == (20, 20, 0, 0)
    sessions: dict[str, set[int]] = {}
    for bucket in range(3):
        of_bucket = [row for batch in found.batches(bucket) for row in batch.to_pylist()]
        keys = [(row["session_id"], row["event_time"]) for row in of_bucket]
        assert keys == sorted(keys)
        for row in of_bucket:
            sessions.setdefault(row["session_id"], set()).add(bucket)
    assert sorted(sessions) == [f"v{n}" for n in range(5)]
    assert all(len(buckets) == 1 for buckets in sessions.values())
    assert {row["event_time"]: row["price"] for row in rows_of(found)} == {
        row["at"] * 1_000: row["price"] for row in ROWS
    }


def test_the_buckets_of_a_mapping_onto_uci553_are_the_clicks_that_are_read_at_once(tmp_path: Path) -> None:
    mapping = EXAMPLE / "mapping.toml"
    expected = map_dataset(EXAMPLE / "clicks.csv", read_mapping(mapping))
    found = open_clicks([EXAMPLE / "clicks.csv"], UCI553, mapping, work=tmp_path, memory_mib=512, buckets=2)
    assert (found.kept, found.left_out) == (expected.cleaning.kept, expected.cleaning.skipped)
    names = [field.name for field in UCI553.definition.fields]
    clicks = {(row["session_id"], *(row[name] for name in names), row["end"]) for row in rows_of(found)}
    assert clicks == {
        (one.session_id, *(getattr(one, name) for name in names), one.end) for one in expected.dataset.clicks
    }


COLUMNS = ("visit", "at", "what", "page", "price", "member", "kind")
TEXTS = [
    "v",
    "w",
    " v ",
    "\u00a0w\u2003",
    "x" * 257,
    "é",
    '"q"',
    'a"b',
    "a\x00b",
    "007",
    "1.50",
    "null",
    "",
    "\t",
]
INTEGERS = [
    "3",
    " 3",
    "3.0",
    "-1",
    "1_000",
    "１２",
    "1e3",
    "9007199254740993",
    "99999999999999999999",
    "-0",
    "+7",
]
NUMBERS = [*INTEGERS, "1e999", "inf", "nan", "12,50", "1.234,5", "1.2.3", "0x10", "", ".5", "5.", "1e-400"]
TRUTHS = ["true", "True", "1", "0", "no", "", "FALSE", "ja"]
SECONDS = ["1772445600.5", "1772445600000", "yesterday", "", "-5", "1e9", "4102444800", "0", "1772445600"]
ISO = ["2026-03-02T10:00:00.250Z", "2026-03-02 10:00:00+01:00", "2026-03-29 02:30:00", "2026-10-25 02:30:00",
       "2026-03-02 24:00:00", "2026-02-30 10:00:00", "1931-01-01", "20260302T100000", "1970-01-08T00:00:00Z",
       "2026-03-02 10:00:00.123456789", "2026-07-02 10:00:60", "", "2026-03-02 10:00:00 UTC"]  # fmt: skip
PATTERN = [
    "02.03.2026 10:00",
    "2.3.2026 10:00",
    "02.03.2026 25:00",
    "29.03.2026 02:30",
    "02.03.2026  10:00",
    "",
]
OTHER = """
[rows]
column = "kind"
keep = ["view", "buy"]
end = ["buy", "bye"]
[clicks]
session_id = {{ column = "visit", missing = "nobody" }}
event_time = {{ column = "at", format = "{0}", timezone = "Europe/Warsaw" }}
event = {{ column = "what", up_to = "4", values = {{ look = "l", buy = "b4" }}, missing = "other" }}
page = {{ column = "page", decimal = "," }}
price = {{ column = "price", decimal = ",", missing = 1 }}
member = {{ column = "member", values = {{ ja = true, no = "no" }} }}
order = "page"
end = "member"
"""
KINDS = {
    "seconds": (MAPPING, "1772445600", SECONDS),
    "iso": (OTHER.format("iso"), "2026-03-02 10:00:00", ISO),
    "pattern": (OTHER.format("%d.%m.%Y %H:%M"), "02.03.2026 10:00", PATTERN),
}


def hostile_rows(time: str, times: list[str], rows: int) -> list[list[str]]:
    """Rows most of whose values are plain; the same ones each time."""
    drawn = random.Random(7)

    def value(plain: str, others: list[str]) -> str:
        return plain if drawn.random() < 0.8 else drawn.choice(others)

    return [
        [
            value(f"v{row % 40}", TEXTS),
            value(time, times),
            value("look", TEXTS),
            value("3", NUMBERS),
            value("2.5", NUMBERS),
            value("true", TRUTHS),
            value("view", ["bye", "buy", "cart", "", " view "]),
        ]
        for row in range(rows)
    ]


def both(tmp_path: Path, content: bytes, name: str, mapping: str = MAPPING) -> None:
    """Check that a log is read as row by row: the same clicks in the same order, the same refusals."""
    path = tmp_path / name
    path.write_bytes(content)
    said = read_shop_mapping(mapping.encode(), SHOP.definition)
    expected, cleaning = row_by_row(name, content, SHOP, said)
    found = opened(tmp_path, path, mapping=mapping)
    refused = [(one.line, one.reason, one.detail) for one in found.refused.examples]
    assert refused == [(one.line, one.reason, one.detail) for one in cleaning.refused]
    assert found.refused.reasons == cleaning.reasons
    assert (found.rows, found.kept, found.left_out) == (cleaning.rows, cleaning.kept, cleaning.skipped)
    sessions: dict[str, list[Any]] = {}
    for row in rows_of(found):
        fields = [row[one.name] for one in SHOP.definition.fields]
        sessions.setdefault(row["session_id"], []).append(
            (row["event_time"], row["order"], *fields, row["end"])
        )
    assert sessions == {
        session: [
            (one.event_time, one.order, *(getattr(one, f.name) for f in SHOP.definition.fields), one.end)
            for one in clicks
        ]
        for session, clicks in expected.items()
    }
    log, of_whole = map_log(content, SHOP.definition, said, name)
    assert replace(of_whole, notes=()) == cleaning
    assert log.sessions == expected


def quoted(field: str, quotes: bool) -> str:
    return '"' + field.replace('"', '""') + '"' if quotes or '"' in field or "," in field else field


BROKEN_LINES = [
    "",
    " ",
    "a,b",
    ",,,,,,",
    'v,"a" b,c,d,e,f,g',
    "x" * 70_000,
    '"x\ny",1,look,3,2,true,view',
    "v,1\xff,a",
]
BROKEN_OBJECTS = ["", " ", "[1]", "{", '"x"', "null", '{"visit": "a", "visit": "b"}', '{"visit": "\\ud800"}']


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_csv_is_read_as_row_by_row(tmp_path: Path, kind: str) -> None:
    mapping, time, times = KINDS[kind]
    lines = [",".join(COLUMNS)]
    for number, row in enumerate(hostile_rows(time, times, 400)):
        lines.append(",".join(quoted(one, number % 2 == 0) for one in row))
        if number % 20 == 0:
            lines.append(BROKEN_LINES[number // 20 % len(BROKEN_LINES)])
            lines.append(lines[-2] + ",,")
    both(tmp_path, "\n".join(lines).encode(), "log.csv", mapping)


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_json_lines_are_read_as_row_by_row(tmp_path: Path, kind: str) -> None:
    mapping, time, times = KINDS[kind]
    lines = []
    for number, row in enumerate(hostile_rows(time, times, 400)):
        values = (as_json(one, number % 2 == 0) for one in row)
        pairs = (f'"{name}": {one}' for name, one in zip(COLUMNS, values, strict=True))
        lines.append("{" + ", ".join(pairs) + "}")
        if number % 20 == 0:
            lines.append(BROKEN_OBJECTS[number // 20 % len(BROKEN_OBJECTS)])
            lines.append(f"  {lines[-2]} ")
            lines.append(lines[-3] + "\x01")
    both(tmp_path, "\n".join(lines).encode(), "log.jsonl", mapping)


def as_json(text: str, bare: bool) -> str:
    """A value of JSON: the text, or what it is as a number, true or null."""
    is_value = re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|null", text)
    return text if bare and is_value else json.dumps(text, ensure_ascii=False)


def text_of(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    return "\n".join([delimiter.join(rows[0]), *(delimiter.join(map(str, r.values())) for r in rows)]) + "\n"


@pytest.mark.parametrize(
    ("encoding", "what"), [("utf-16", "é"), ("utf-16-le", "e"), ("windows-1252", "é"), ("utf-8-sig", "é")]
)
def test_a_text_in_another_encoding_is_read(tmp_path: Path, encoding: str, what: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(text_of([click("v", n, what) for n in range(3)]).encode(encoding))
    assert [row["event"] for row in rows_of(opened(tmp_path, path))] == [what] * 3


def test_what_a_spreadsheet_writes_and_a_zip_holds_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    content = "sep=;\n" + text_of([click("v"), click("w")], ";").replace("\n", ";;\n")
    path.write_bytes(zipped({"clicks.csv": content.encode(), "__MACOSX/._clicks.csv": b"x"}))
    assert opened(tmp_path, path).kept == 2


def test_files_of_several_layouts_in_a_folder_are_one_log(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "2026"
    folder.mkdir(parents=True)
    (folder / "_SUCCESS").touch()
    written(folder, "b.csv", [dict(reversed(row.items())) for row in ROWS[:5]])
    for name, rows in (("a.csv", ROWS[5:9]), ("c.jsonl.gz", ROWS[9:12]), ("d.parquet", ROWS[12:])):
        written(folder, name, rows)
    assert opened(tmp_path, tmp_path / "logs").kept == len(ROWS)
    assert opened(tmp_path, f"{tmp_path}/logs/**/*.csv").kept == 9


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.csv.gz", gzip.compress(text_of(ROWS).encode() * 50)[:-40], "damaged|truncated|cannot be read"),
        ("log.csv.zst", zstandard.compress(text_of(ROWS).encode())[:-9], "damaged|truncated|cannot be read"),
        ("log.parquet", b"PAR1" + bytes(40), "cannot be read"),
        ("log.csv", b"", "is empty"),
        ("log.csv", b"\x00\x01\x02\x00\x07", "binary"),
        ("log.csv", b"visit,at\n1,2\n", "lacks the columns what"),
        ("log.jsonl", b'[{"visit": "v"}]', "one JSON array"),
        ("log.csv", b"visit,at,what,page,price,member\n", "no rows"),
        ("log.jsonl", b'{"visit": "v"}\n', "none of 1 row can be used"),
        ("log.zip", zipped({"../out.csv": b"x"}), "a path outside"),
        ("log.zip", zipped({"a.txt.zip": b"x"}), "must hold one"),
    ],
)
def test_a_damaged_or_foreign_file_is_named_with_what_it_is(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        opened(tmp_path, tmp_path / name)
    assert error.value.exit_code == 65


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_packed_log_that_ends_too_soon_is_not_taken_for_a_shorter_one(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, f"log.csv.{ending}", [click(f"v{random.random()}") for _ in range(40_000)])
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match="is damaged or truncated"):
        opened(tmp_path, path)


def test_what_can_be_read_once_is_no_log_of_any_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for given, name in ((tmp_path / "pipe", str(tmp_path / "pipe")), ("-", "standard input")):
        with pytest.raises(UsageError, match=f"{name} can be read once") as error:
            opened(tmp_path, given)
        assert "Write it to a file" in error.value.remedy


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none.csv", tmp_path / "empty", f"{tmp_path}/*.parquet", "s3://bucket/clicks/"):
        with pytest.raises(MissingFileError, match=re.escape(str(path))):
            opened(tmp_path, path)


def test_parquet_says_times_and_numbers_by_its_types(tmp_path: Path) -> None:
    at = datetime(2026, 7, 2, 10, tzinfo=UTC)
    row = {"visit": 2**63 - 1, "at": at, "what": b"look", "page": 3.0, "price": float("nan"), "member": True}
    table = pa.Table.from_pylist([row, row | {"at": None}, row | {"page": 3.5}])
    pq.write_table(table, tmp_path / "log.parquet")
    found = opened(tmp_path, tmp_path / "log.parquet")
    (only,) = rows_of(found)
    assert (only["session_id"], only["event_time"]) == (str(2**63 - 1), 1_782_986_400_000)
    assert (only["event"], only["page"], only["price"], only["member"]) == ("look", 3, None, True)
    assert {(one.line, one.reason) for one in found.refused.examples} == {(2, "at"), (3, "page")}
    nested = pa.table(
        {"visit": [["a"]], "at": [at], "what": ["x"], "page": [1], "price": [1.0], "member": [True]}
    )
    pq.write_table(nested, tmp_path / "nested.parquet")
    with pytest.raises(InputError, match=r"the column visit is a VARCHAR\[\]"):
        opened(tmp_path, tmp_path / "nested.parquet")


def test_a_field_that_no_click_has_is_noted_with_its_column(tmp_path: Path) -> None:
    path = written(tmp_path, "log.jsonl", ROWS)
    found = opened(tmp_path, path, mapping=MAPPING.replace('"price"', '"prize"'))
    assert found.notes == ("no click has a price: is the column 'prize' that the mapping names empty?",)
