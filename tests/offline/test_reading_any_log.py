"""The clicks of a log in memory: whichever reader takes it, they are the same."""

from __future__ import annotations

import gzip
import io
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import zstandard
from row_by_row import row_by_row
from typer.testing import CliRunner

from clickstream.cli.main import command_line
from clickstream.features.shop import UCI553, Shop, shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.cleaning import CleaningReport, RefusedRow
from clickstream.files.mapping import choices_of, read_sample, read_shop_mapping
from clickstream.files.reading import read_any_mapping, read_clicks
from clickstream.files.shop_log import ShopLog
from clickstream.files.source import MAX_BYTES
from clickstream.infra.errors import InputError, UsageError

EXAMPLES = Path(__file__).parents[2] / "examples"
STORE = EXAMPLES / "online-store"
SHOPS: dict[str, tuple[Shop, Path, Path]] = {
    "online-store": (shop_of(built_in("online-store")), STORE / "events.csv.gz", STORE / "mapping.toml"),
    "uci553": (UCI553, EXAMPLES / "own-clicks/clicks.csv", EXAMPLES / "own-clicks/mapping.toml"),
}


def described(log: Any) -> list[Any]:
    """Sessions, times, orders and what each click shows."""
    shown = [log.records[view] for view in log.view_of.tolist()]
    return [log.session_ids, log.days, log.starts.tolist(), log.times.tolist(), log.orders.tolist(), shown]


def in_another_format(log: Path, kind: str, folder: Path) -> Path:
    """The same rows as Parquet, packed by zst, or as a folder of two files."""
    rows = f"read_csv('{log}', all_varchar = true)"
    target = folder / f"log.{kind}"
    if kind == "zst":
        text = io.BytesIO()
        with duckdb.connect() as engine:
            engine.execute(f"COPY (FROM {rows}) TO '{folder}/log.csv'")
        text.write((folder / "log.csv").read_bytes())
        target.write_bytes(zstandard.compress(text.getvalue()))
    elif kind == "parquet":
        with duckdb.connect() as engine:
            engine.execute(f"COPY (FROM {rows}) TO '{target}'")
    else:
        target.mkdir()
        with duckdb.connect() as engine:
            numbered = f"SELECT *, row_number() OVER () % 2 AS half FROM {rows}"
            for half, ending in ((0, "csv"), (1, "parquet")):
                of_half = f"SELECT * EXCLUDE half FROM ({numbered}) WHERE half = {half}"
                engine.execute(f"COPY ({of_half}) TO '{target}/{half}.{ending}'")
    return target


@pytest.mark.parametrize("shop", SHOPS)
@pytest.mark.parametrize("kind", ["parquet", "zst", "folder"])
def test_a_log_in_another_format_gives_the_same_clicks(tmp_path: Path, shop: str, kind: str) -> None:
    of_shop, path, said = SHOPS[shop]
    mapping = read_any_mapping(said, of_shop.definition)
    log, cleaning = read_clicks(path, of_shop, mapping)
    other, found = read_clicks(in_another_format(path, kind, tmp_path), of_shop, mapping)
    assert described(other) == described(log)
    assert (found.rows, found.kept, found.skipped) == (cleaning.rows, cleaning.kept, cleaning.skipped)
    assert found.reasons == cleaning.reasons
    assert list(other.steps()) == list(log.steps())


def test_a_pipe_is_read_by_a_mapping_in_sql(tmp_path: Path) -> None:
    shop, path, said = SHOPS["online-store"]
    sql = tmp_path / "mapping.sql"
    sql.write_text(run("shop", "mapping", str(said), "--shop", "online-store"))
    log, cleaning = read_clicks(path, shop, read_any_mapping(said, shop.definition))
    piped, found = read_clicks(
        io.BytesIO(path.read_bytes()), shop, read_any_mapping(sql, shop.definition), "pipe"
    )
    assert described(piped) == described(log)
    assert (found.name, found.encoding, found.kept) == ("pipe", "utf-8", cleaning.kept)


def test_more_clicks_than_are_held_at_once_are_refused_with_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, path, said = SHOPS["online-store"]
    monkeypatch.setattr("clickstream.files.history.whole.MAX_ROWS", 100)
    parquet = in_another_format(path, "parquet", tmp_path)
    with pytest.raises(InputError, match=r"log\.parquet has more than 100 rows, as many as are held"):
        read_clicks(parquet, shop, read_any_mapping(said, shop.definition))


def run(*words: str) -> str:
    result = CliRunner().invoke(command_line(words[:2]), list(words))
    if isinstance(result.exception, Exception):
        raise result.exception
    return result.output


def test_a_mapping_is_shown_as_sql_and_that_is_taken_by_the_commands(tmp_path: Path) -> None:
    log = in_another_format(STORE / "events.csv.gz", "parquet", tmp_path)
    sql = tmp_path / "mapping.sql"
    sql.write_text(run("shop", "mapping", str(STORE / "mapping.toml"), "--shop", "online-store"))
    shown = run("shop", "check", "online-store", "--data", str(log), "--mapping", str(sql))
    assert "3,667 kept" in shown
    with pytest.raises(UsageError, match="is SQL already"):
        run("shop", "mapping", str(sql))


def folders(inside: Path) -> dict[str, int]:
    """What lies in a folder, with its mode."""
    return {one.name: one.stat().st_mode & 0o777 for one in inside.iterdir()}


@pytest.mark.parametrize("content", [b"visit,at\n1,2\n", b"PAR1" + bytes(40), b"{", b"v" * 70_000])
def test_bytes_are_read_from_a_private_folder_that_is_gone_also_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shop, path, said = SHOPS["online-store"]
    mapping = read_any_mapping(said, shop.definition)
    seen: list[dict[str, int]] = []
    read_clicks(path.read_bytes(), shop, mapping, "log", lambda _: seen.append(folders(tmp_path)))
    assert [list(one.values()) for one in seen] == [[0o700], [0o700], []]
    with pytest.raises(InputError) as refused:
        read_clicks(content, shop, mapping, "given")
    assert "given" in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
    assert folders(tmp_path) == {}


def test_bytes_of_parquet_and_zst_are_read_and_shown_as_files_are(tmp_path: Path) -> None:
    shop, path, said = SHOPS["online-store"]
    mapping = read_any_mapping(said, shop.definition)
    log, _ = read_clicks(path, shop, mapping)
    for kind in ("parquet", "zst"):
        content = in_another_format(path, kind, tmp_path).read_bytes()
        found, _ = read_clicks(content, shop, mapping, f"log.{kind}")
        assert described(found) == described(log)
        sample = read_sample(content, f"log.{kind}", shop.definition)
        assert sample.columns == read_sample(path, path.name, shop.definition).columns
        assert set(choices_of(sample, shop.definition)) >= {"session_id", "event_time"}


def test_a_zst_of_bytes_is_bounded_and_whole() -> None:
    shop, path, said = SHOPS["online-store"]
    mapping = read_any_mapping(said, shop.definition)
    with pytest.raises(InputError, match="larger than 128 MiB"):
        read_clicks(zstandard.compress(bytes(MAX_BYTES + 10)), shop, mapping, "log.zst")
    with pytest.raises(InputError, match="truncated zst"):
        read_clicks(zstandard.compress(gzip.decompress(path.read_bytes()))[:-9], shop, mapping, "log.zst")


def test_rows_beyond_the_bound_are_refused_before_they_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clickstream.files.history.whole.MAX_ROWS", 100)
    shop, path, said = SHOPS["online-store"]
    with pytest.raises(InputError, match="more than 100 rows"):
        read_clicks(path, shop, read_any_mapping(said, shop.definition))


def test_lines_that_end_in_several_ways_are_one_log() -> None:
    shop, path, said = SHOPS["online-store"]
    mapping = read_any_mapping(said, shop.definition)
    text = gzip.decompress(path.read_bytes())
    head, _, rest = text.partition(b"\n")
    log, _ = read_clicks(text, shop, mapping)
    for mixed in (head + b"\r\n" + rest, text.replace(b"\n", b"\r\n"), text.replace(b"\n", b"\r")):
        assert described(read_clicks(mixed, shop, mapping)[0]) == described(log)


def test_a_parquet_file_cannot_make_another_be_opened(tmp_path: Path) -> None:
    shop, _, said = SHOPS["online-store"]
    with duckdb.connect() as engine:
        engine.execute(f"COPY (SELECT '{said}' AS \"read_text('{said}')\") TO '{tmp_path}/log.parquet'")
    sample = read_sample((tmp_path / "log.parquet").read_bytes(), "log.parquet", shop.definition)
    assert [row(sample.columns[0]) for row in sample.rows] == [str(said)]


def test_a_parquet_file_whose_columns_have_no_names_in_utf_8_is_damaged(tmp_path: Path) -> None:
    shop, _, said = SHOPS["online-store"]
    path = in_another_format(STORE / "events.csv.gz", "parquet", tmp_path)
    column = read_sample(path.read_bytes(), "log", shop.definition).columns[0].encode()
    damaged = path.read_bytes().replace(column, b"\xea" * len(column))
    with pytest.raises(InputError, match=r"damaged|cannot be read|and is none"):
        read_sample(damaged, "log", shop.definition)
    with pytest.raises(InputError, match=r"damaged|cannot be read|and is none"):
        read_clicks(damaged, shop, read_any_mapping(said, shop.definition), "log")


THREE = read_shop_mapping(
    b"""[clicks]
session_id = "session_id"
event_time = { column = "event_time", format = "ms" }
event = "event"
""",
    built_in("online-store"),
)
HEADER = "session_id,event_time,event\n"
ROW = "v,1772445600000,{}\n"


def read(content: bytes, name: str = "log.csv") -> tuple[Any, CleaningReport]:
    return read_clicks(content, SHOPS["online-store"][0], THREE, name)


MADE_UP = '"x"y,1,"a"z"v",1772445600009,made up'
MISPLACED = ['"'] * 6 + [
    *('""', ' "', '"x"y', MADE_UP, f"\n{MADE_UP}\n"),
    *("\0", "\r", "\r\n", "\n", "\n\n", "\t", " ", ","),
]


def mutant(drawn: random.Random) -> str:
    """A CSV some of whose fields are in quotation marks, with characters where none should be."""
    delimiter = drawn.choice(",,;\t")
    rows = [HEADER]
    for n in range(drawn.randint(3, 12)):
        fields = [drawn.choice("vw"), str(1_772_445_600_000 + n), drawn.choice(["home", "cart", "a b"])]
        rows.append(",".join(f'"{one}"' if drawn.random() < 0.3 else one for one in fields) + "\n")
    text = "".join(rows).replace(",", delimiter)
    if drawn.random() < 0.3:
        text = text.replace("\n", "\r\n")
    for _ in range(drawn.randint(1, 4)):
        at = drawn.randrange(len(HEADER) + 1, len(text) + 1)
        text = text[:at] + drawn.choice(MISPLACED) + text[at:]
    return text


@pytest.mark.parametrize("seed", range(4))
def test_characters_where_none_should_be_spoil_the_rows_that_they_spoil_row_by_row(seed: int) -> None:
    drawn, shop = random.Random(seed), SHOPS["online-store"][0]
    for _ in range(25):
        text = mutant(drawn)
        # Where lines end in several ways, they end in one, also inside quotation marks.
        ends = set(re.findall("\r\n|\r|\n", text))
        content = (text if ends == {"\r\n"} else re.sub("\r\n?", "\n", text)).encode()
        sessions, expected = row_by_row("log.csv", content, shop, THREE)
        if not sessions:
            continue
        log, cleaning = read(text.encode())
        assert replace(cleaning, notes=()) == expected, text
        assert log.sessions == sessions, text


@pytest.mark.parametrize("seed", range(10, 13))
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_so_they_do_in_files_that_duckdb_reads_where_they_lie(seed: int, packed: str, tmp_path: Path) -> None:
    drawn, shop = random.Random(seed), SHOPS["online-store"][0]
    for number in range(15):
        text = mutant(drawn)
        content = re.sub("\r\n?", "\n", text).replace("\n", drawn.choice(["\n", "\r\n"])).encode()
        sessions, expected = row_by_row("log.csv", content, shop, THREE)
        if not sessions:
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / f"log.csv{packed}").write_bytes(gzip.compress(content) if packed else content)
        log, cleaning = read_clicks(folder, shop, THREE)
        assert isinstance(log, ShopLog)
        assert log.sessions == sessions, text
        refused = [(one.line, one.reason) for one in cleaning.refused]
        assert refused == [(one.line, one.reason) for one in expected.refused], text
        assert (cleaning.rows, cleaning.kept) == (expected.rows, expected.kept)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "both"])
def test_lines_end_as_they_like(ends: str) -> None:
    rows = [HEADER, *(ROW.format(f"e{n}") for n in range(4)), "v,1772445600000\n"]
    of_rows = [("\n", "\r\n")[n % 2] if ends == "both" else ends for n in range(len(rows))]
    text = "".join(row.replace("\n", end) for row, end in zip(rows, of_rows, strict=True))
    log, cleaning = read(text.encode())
    assert [one.event for one in log.sessions["v"]] == ["e0", "e1", "e2", "e3"]
    assert cleaning.refused == (
        RefusedRow(6, "fields", "2 fields where the header has 3", "v,1772445600000"),
    )


@pytest.mark.parametrize("letters", [70_000, 40_000])
def test_a_line_is_bounded_by_its_characters_and_the_next_one_is_read(letters: int) -> None:
    rows = [ROW.format("\u00e9" * letters), ROW.format("a\0b"), ROW.format("home")]
    log, cleaning = read((HEADER + "".join(rows)).encode())
    assert [one.event for one in log.sessions["v"]] == ["home"]
    assert [(one.line, one.reason) for one in cleaning.refused] == [
        (2, "text" if letters > 65_536 else "event"),
        (3, "text"),
    ]


def test_marks_around_fields_between_tabulators_are_none_of_them() -> None:
    text = (HEADER + '"v",1772445600000,"say ""hi"""\n"v","x","y"\n \t\t\n').replace(",", "\t")
    log, cleaning = read(text.encode())
    assert [one.event for one in log.sessions["v"]] == ['say "hi"']
    assert [(one.line, one.reason) for one in cleaning.refused] == [(3, "event_time")]
    assert cleaning.rows == 2


def test_a_mark_where_none_can_be_spoils_its_row_and_makes_no_other() -> None:
    rows = ['"v","1772445600000","ho"me\nw,1772445600000,cart"\n', *(ROW.format(n) for n in "ab")]
    rows += ['"x"y,1,"a"z"v",1772445600000,made up\n', 'v,1772445600000,"open\n', ROW.format("taken")]
    log, cleaning = read((HEADER + "".join(rows)).encode())
    assert list(log.sessions) == ["v", "w"]
    assert [one.event for one in log.sessions["v"]] == ["a", "b"]
    assert [(one.line, one.reason) for one in cleaning.refused] == [(2, "text"), (6, "text"), (8, "text")]
    assert cleaning.rows == cleaning.kept + len(cleaning.refused)


def test_blanks_before_a_mark_are_none_of_the_field_and_the_line_is_known() -> None:
    log, cleaning = read((HEADER + ' "v", 1772445600000, "home"\n "v", "x", "home"\n').encode())
    assert [one.event for one in log.sessions["v"]] == ["home"]
    assert [(one.line, one.reason) for one in cleaning.refused] == [(3, "event_time")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "windows-1252"])
def test_what_is_said_of_an_upload_is_how_it_came(encoding: str) -> None:
    text = (HEADER + ROW.format("caf\u00e9") + ROW.format("")).replace(",", ";")
    log, cleaning = read(text.encode(encoding), "<b>log</b>.csv")
    assert [one.event for one in log.sessions["v"]] == ["caf\u00e9"]
    assert (cleaning.name, cleaning.delimiter) == ("<b>log</b>.csv", ";")
    assert cleaning.encoding == encoding.removesuffix("-sig")
    assert cleaning.refused == (RefusedRow(3, "event", "'', empty", "v;1772445600000;"),)


def test_a_blank_first_line_is_told_in_words() -> None:
    with pytest.raises(InputError, match="lacks the columns session_id, event_time, event"):
        read(b"\n" + (HEADER + ROW.format("home")).encode())


def test_a_mapping_in_sql_reads_no_row_that_a_mark_makes_up(tmp_path: Path) -> None:
    sql = tmp_path / "mapping.sql"
    sql.write_text("SELECT session_id, CAST(event_time AS BIGINT) AS event_time, event FROM log")
    shop = SHOPS["online-store"][0]
    log, cleaning = read_clicks(
        f"{HEADER}{ROW.format('home')}{MADE_UP}\n".encode(),
        shop,
        read_any_mapping(sql, shop.definition),
        "log.csv",
    )
    assert (list(log.session_ids), cleaning.rows) == (["v"], 2)
    assert [(one.line, one.reason, one.text) for one in cleaning.refused] == [(3, "text", MADE_UP)]
