"""`clickstream score`: what it writes, what it says and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from pathlib import Path

import pyarrow.parquet
import pytest
import typer
from shop_files import csv_bytes, row, visits, zipped
from typer.testing import CliRunner

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.score import score
from clickstream.infra.errors import ClickstreamError
from clickstream.records.scorers import SCORERS

app = typer.Typer()
app.command()(score)

SESSIONS = 25
EXAMPLE = Path(__file__).parents[2] / "examples" / "own-clicks"
MAPPING = str(EXAMPLE / "mapping.toml")


@pytest.fixture(autouse=True)
def _bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, synthetic_bundle: Path) -> None:
    """In a folder of its own, with the bundle of the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")  # no label is broken, however many scorers stand beside it
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLICKSTREAM_BUNDLE", str(synthetic_bundle))
    (tmp_path / "shop.csv").write_bytes(csv_bytes(*visits(SESSIONS)))


def run(*words: str, input: bytes | None = None) -> tuple[str, str]:
    """Standard output and error of a command that ends well."""
    result = CliRunner().invoke(app, list(words), input=input, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def error_of(*words: str) -> ClickstreamError:
    result = CliRunner().invoke(app, list(words))
    assert isinstance(result.exception, ClickstreamError), result.output
    return result.exception


def test_it_writes_a_row_a_session_and_says_what_they_are(tmp_path: Path) -> None:
    out, err = run("shop.csv", "--out", "found.csv")
    assert out == ""
    with (tmp_path / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [line["session_id"] for line in rows] == [f"s{n}" for n in range(SESSIONS)]
    assert "shop.csv: 100 rows, 100 kept, 0 refused" in err
    for words in ("25 sessions", "average conversion probability", "average predicted revenue"):
        assert words in err
    for words in ("most common cluster", "clusters", *SCORERS):
        assert words in err
    assert "25 sessions written to found.csv" in err


def test_reasons_are_a_column_where_they_are_asked_for(tmp_path: Path) -> None:
    run("shop.csv", "--out", "why.csv", "--reasons", "2")
    run("shop.csv", "--out", "plain.csv")
    with (tmp_path / "why.csv").open() as why, (tmp_path / "plain.csv").open() as plain:
        for given, same in zip(csv.DictReader(why), csv.DictReader(plain), strict=True):
            found = given.pop("batch_reasons")
            assert given == same
            effects = [float(one.rsplit(" ", 1)[1]) for one in found.split(", ")] if found else []
            assert bool(effects) == (int(given["clicks"]) > 1)
            assert len(effects) <= 2
            assert effects == sorted(effects, key=abs, reverse=True)


def test_all_formats_hold_the_same_sessions(tmp_path: Path) -> None:
    run("shop.csv", "--out", "a.jsonl")
    run("shop.csv", "--out", "a.parquet")
    run("shop.csv", "--out", "a.txt", "--format", "jsonl")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [line["batch_conversion"] for line in lines] == [line["batch_conversion"] for line in table]
    assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "a.jsonl").read_bytes()


def test_it_stands_in_a_pipe(tmp_path: Path) -> None:
    content = zipped({"shop.csv": (tmp_path / "shop.csv").read_bytes()})
    out, err = run("-", "--out", "-", "--format", "jsonl", input=content)
    assert len(out.splitlines()) == SESSIONS
    assert json.loads(out.splitlines()[0])["session_id"] == "s0"
    assert "shop.csv: 100 rows" in err
    piped, _ = run("shop.csv")
    assert len(list(csv.DictReader(io.StringIO(piped)))) == SESSIONS


def test_a_pipe_and_a_link_are_written_and_stay_what_they_are(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe.csv", tmp_path / "link.csv"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "sessions.csv")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    run("shop.csv", "--out", "pipe.csv")
    reader.join(30)
    run("shop.csv", "--out", "link.csv")
    assert read == [(tmp_path / "sessions.csv").read_text()]
    assert pipe.is_fifo()
    assert link.is_symlink()


def test_refused_rows_are_counted_shown_and_written(tmp_path: Path) -> None:
    rows = [row("1", 1), row("1", 2, price="[red]x"), row("1", 3, product="<i>A</i>"), row("1", 4, page=0)]
    (tmp_path / "bad.csv").write_bytes(csv_bytes(*rows))
    _, err = run("bad.csv", "--out", "o.csv", "--refused", "bad-rows.csv")
    assert "4 rows, 2 kept, 2 refused" in err
    assert "1 refused: price" in err
    assert "line 3: price: '[red]x', not a number" in err
    with (tmp_path / "bad-rows.csv").open() as file:
        found = [(line["line"], line["reason"]) for line in csv.DictReader(file)]
    assert found == [("3", "price"), ("5", "page")]


def test_what_the_bundle_does_not_know_is_told(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_bytes(csv_bytes(row("1", 1, product="new"), row("1", 2, product="new")))
    _, err = run("new.csv", "--out", "o.csv")
    assert "2 of 2 clicks show what bundle" in err
    assert "clickstream train" in err


def test_a_mapped_file_is_scored_and_can_be_checked_first(tmp_path: Path) -> None:
    out, err = run(str(EXAMPLE / "clicks.csv"), "--mapping", MAPPING, "--check")
    shown = [json.loads(line) for line in out.splitlines()]
    assert len(shown) == 5
    assert shown[0].keys() >= {"session_id", "event_time", "product", "category", "price", "price_2", "page"}
    assert "refused: price" in err
    run(str(EXAMPLE / "clicks.csv"), "--mapping", MAPPING, "--out", "own.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "own.jsonl").read_text().splitlines()]
    assert lines
    assert all(line["opened_at"] for line in lines)


def test_what_is_there_already_stands_until_all_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "o.csv").write_text("before")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clickstream.cli.score.write_sessions", fail)
    error = error_of("shop.csv", "--out", "o.csv")
    assert "No space left" in str(error)
    assert (tmp_path / "o.csv").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.csv", "shop.csv"]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["nowhere.csv"], 66, "nowhere.csv is not there"),
        (["empty.csv"], 65, "empty.csv is empty"),
        (["binary.csv"], 65, "binary.csv is binary"),
        (["other.csv"], 65, "lacks the columns"),
        (["outside.zip"], 65, "path outside"),
        (["shop.csv", "--out", "o.xlsx"], 64, "says no format"),
        (["shop.csv", "--out", "no/where.csv"], 64, "no file can be written there"),
        (["shop.csv", "--refused", "no/where.csv", "--out", "o.csv"], 64, "--refused no/where.csv"),
        (["shop.csv", "--out", "shop.csv"], 64, "is the file that is read"),
        (["shop.csv", "--check"], 64, "--check needs --mapping"),
        (["shop.csv", "--mapping", "none.toml"], 66, "none.toml cannot be read"),
        (["shop.csv", "--mapping", "shop.csv"], 65, "shop.csv is not TOML"),
        (["shop.csv", "--mapping", MAPPING], 65, "lacks the columns user_session"),
        (["shop.csv", "--bundle", "none"], 65, "none"),
    ],
)
def test_wrong_input_ends_with_a_reason_and_a_code(
    tmp_path: Path, words: list[str], code: int, expected: str
) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "outside.zip").write_bytes(zipped({"../shop.csv": b"x"}))
    error = error_of(*words)
    assert expected in str(error)
    assert error.exit_code == code


def test_the_bundle_of_the_option_is_used(synthetic_bundle: Path) -> None:
    _, err = run("shop.csv", "--out", "o.csv", "--bundle", str(synthetic_bundle))
    assert load_bundle(synthetic_bundle.parent, synthetic_bundle.name).id in err
