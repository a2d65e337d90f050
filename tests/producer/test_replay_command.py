"""`clickstream replay`: what it says and how it ends, without a server."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from factory import parse
from typer.testing import CliRunner

from clickstream.cli.replay import replay
from clickstream.features.shop_file import built_in
from clickstream.infra.errors import ClickstreamError, UnavailableError
from clickstream.records.click import InvalidRecordError
from clickstream.records.shop_click import parser_of

app = typer.Typer()
app.command()(replay)


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a dataset nor servers are found by themselves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path / "home"))
    for name in ("CLICKSTREAM_DATA", "CLICKSTREAM_KAFKA_BOOTSTRAP"):
        monkeypatch.delenv(name, raising=False)


def run(*words: str) -> tuple[str, str]:
    """Standard output and error of a replay that ends well."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def error_of(*words: str) -> ClickstreamError:
    result = CliRunner().invoke(app, list(words))
    assert isinstance(result.exception, ClickstreamError), result.output
    return result.exception


def test_a_dry_run_describes_and_shows_a_few_records() -> None:
    out, err = run("--synthetic", "500", "--dry-run", "--speed", "3600", "--partitions", "4")
    assert "synthetic" in err
    assert "of 500 sessions" in out
    assert "on 4 partitions" in out
    assert "2008-08-13" in out
    assert "at speed 3600" in out
    samples = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert [sample["time_source"] for sample in samples] == ["synthetic"] * 3


def test_a_dry_run_counts_faults() -> None:
    out, _ = run("--synthetic", "500", "--dry-run", "--faults", "drop=0.05")
    assert "with faults" in out
    assert "drop" in out


def test_the_file_of_uci_is_recognised(uci_file: Path) -> None:
    out, err = run("--data", str(uci_file), "--dry-run", "--from", "2008-05-01", "--to", "2008-05-02")
    assert "165474 clicks, 24026 sessions; the file of UCI 553" in err
    assert "open sessions" in out


def test_another_file_is_taken_and_said_to_be_another(
    csv_file: Callable[..., Path], row: Callable[..., str]
) -> None:
    _, err = run("--data", str(csv_file(row())), "--dry-run", "--calendar", "dated")
    assert "1 clicks, 1 sessions; not the file of UCI 553" in err


def test_records_are_written_as_json_lines_in_event_time_order() -> None:
    out, err = run("--synthetic", "200", "--sink", "stdout", "--speed", "max")
    times = [json.loads(line)["event_time"] for line in out.splitlines()]
    assert times == sorted(times)
    assert "200 sessions" in err


def test_the_ledger_names_every_fault(tmp_path: Path) -> None:
    words = ["--synthetic", "200", "--sink", "stdout", "--speed", "max", "--ledger", "faults.jsonl"]
    out, _ = run(*words, "--faults", "malformed=0.2", "--fault-seed", "3")
    ledger = [json.loads(line) for line in (tmp_path / "faults.jsonl").read_text().splitlines()]
    assert ledger
    assert {entry["shows_in"] for entry in ledger} == {"dead-letter"}
    unreadable = 0
    for line in out.encode().splitlines():
        try:
            parse(line, b"?")
        except InvalidRecordError as error:
            unreadable += error.reason in ("not-json", "invalid")
    assert 0 < unreadable <= len(ledger)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ([], 66, "UCI Machine Learning Repository: dataset 553"),
        (["--data", "nowhere.zip"], 66, "nowhere.zip is not there"),
        (["--data", "empty.csv"], 65, "is empty"),
        (["--data", "cut.zip"], 65, "damaged, truncated"),
        (["--data", "binary"], 65, "is binary"),
        (["--data", "other.csv"], 65, "lacks the columns"),
        (["--synthetic", "5", "--speed", "0.5"], 64, "--speed 0.5"),
        (["--synthetic", "5", "--speed", "fast"], 64, "--speed fast"),
        (["--synthetic", "5", "--append", "--resume"], 64, "exclude each other"),
        (["--synthetic", "5", "--resume", "--sink", "stdout"], 64, "need --sink kafka"),
        (["--synthetic", "5", "--data", "empty.csv"], 64, "exclude each other"),
        (["--synthetic", "5", "--from", "2010-01-01"], 64, "no session of synthetic"),
        (["--synthetic", "5", "--faults", "lost=1"], 64, "--faults"),
        (["--synthetic", "5", "--sink", "stdout", "--speed", "max", "--ledger", "no/where"], 64, "--ledger"),
    ],
)
def test_wrong_input_ends_with_a_reason_and_a_code(
    tmp_path: Path, words: list[str], code: int, expected: str
) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04\x14\x00")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    error = error_of(*words)
    assert expected in str(error)
    assert error.exit_code == code


def test_without_a_broker_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("CLICKSTREAM_KAFKA_BOOTSTRAP", f"127.0.0.1:{port}")
    monkeypatch.setenv("CLICKSTREAM_PATIENCE", "500ms")
    error = error_of("--synthetic", "5")
    assert isinstance(error, UnavailableError)
    assert f"127.0.0.1:{port}" in str(error)
    assert error.exit_code == 69


def test_without_any_server_named_it_says_how_to_start_one() -> None:
    error = error_of("--synthetic", "5")
    assert "clickstream up" in str(error)
    assert error.exit_code == 78


EXAMPLE = Path(__file__).parents[2] / "examples" / "own-clicks"
MAPPED = ["--data", str(EXAMPLE / "clicks.csv"), "--mapping", str(EXAMPLE / "mapping.toml")]


def test_a_mapped_file_is_replayed_with_its_own_times() -> None:
    out, err = run(*MAPPED, "--sink", "stdout", "--speed", "max")
    records = [json.loads(line) for line in out.splitlines()]
    clicks = [record for record in records if record["type"] == "click"]
    assert {click["time_source"] for click in clicks} == {"recorded"}
    assert [record["event_time"] for record in records] == sorted(record["event_time"] for record in records)
    assert any(click.get("end") for click in clicks)
    assert len(records) > len(clicks)
    assert "refused: price" in err


@pytest.mark.parametrize("words", [MAPPED[2:], [*MAPPED, "--synthetic", "5"]])
def test_a_mapping_describes_a_file_and_nothing_else(words: list[str]) -> None:
    error = error_of(*words)
    assert "needs --data, and it alone" in str(error)
    assert error.exit_code == 64


def test_a_mapped_file_can_be_laid_over_one_day_and_damaged_on_purpose() -> None:
    out, _ = run(*MAPPED, "--dry-run", "--calendar", "busy-day", "--faults", "drop=0.1,late=0.1")
    assert "with faults" in out
    assert "2008-08-13" in out
    assert '"time_source":"synthetic"' in out


def test_the_log_of_another_shop_is_replayed_as_the_clicks_of_that_shop() -> None:
    folder = EXAMPLE.parent / "online-store"
    words = ["--shop", "online-store", "--data", str(folder / "events.csv.gz")]
    out, err = run(*words, "--mapping", str(folder / "mapping.toml"), "--sink", "stdout", "--speed", "max")
    clicks = [json.loads(line) for line in out.splitlines() if '"heartbeat"' not in line]
    assert f"sent {len(clicks)} clicks" in err
    parse = parser_of(built_in("online-store")).parse
    assert all(parse(json.dumps(click).encode(), click["session_id"].encode()) for click in clicks)
    assert {click["event"] for click in clicks} > {"home", "purchase"}
    assert "of 900 sessions" in err


def test_sessions_of_another_shop_are_made_up_only_where_they_can_be() -> None:
    assert "of 30 sessions" in run("--shop", "synthetic", "--synthetic", "30", "--dry-run")[0]
    assert "of 30 sessions" in run("--shop", "synthetic", "--or-synthetic", "30", "--dry-run")[0]
    error = error_of("--shop", "online-store", "--synthetic", "30", "--dry-run")
    assert "of shop synthetic alone" in str(error)
    assert error.exit_code == 64
    assert error_of("--shop", "online-store").exit_code == 66
    assert error_of("--shop", "nowhere.toml").exit_code == 78


def test_made_up_sessions_stand_in_only_where_there_is_no_dataset(
    shop_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, where the variable names a folder that may be empty."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("CLICKSTREAM_DATA", str(folder))
    words = ("--or-synthetic", "500", "--sessions", "50", "--dry-run")
    assert "500 sessions; synthetic" in run(*words)[1]
    (folder / shop_file.name).symlink_to(shop_file)
    assert "the file of UCI 553" in run(*words)[1]
