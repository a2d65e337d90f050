"""Sessions of a log of any size in a folder: by day, each once, and never beside those of something else."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from arrow_clicks import click_table, doubled
from typer.testing import CliRunner

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.score import score
from clickstream.cli.sessions import sessions
from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.history import open_clicks
from clickstream.files.history.engine import LEAST_MIB_OF_AN_ENGINE
from clickstream.files.history.stored import find_log
from clickstream.history import run as module
from clickstream.history.bucket import BucketFolder
from clickstream.history.fold import fold_clicks
from clickstream.history.run import (
    MIB_OF_A_WORKER,
    MIB_OF_THE_PARENT,
    HistoryReport,
    make_sessions,
    workers_within,
)
from clickstream.infra.errors import InputError, MissingFileError, RefusedError, UsageError
from clickstream.infra.files import replacing
from clickstream.infra.settings import Settings
from clickstream.producer.synthetic_shop import SHOP, known_log
from clickstream.windows.rules import Rules

SESSIONS = 200

app = typer.Typer()
app.command("score")(score)
app.command("sessions")(sessions)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files; a session may lie in both."""
    folder = tmp_path_factory.mktemp("logs")
    table = click_table(doubled(known_log(SESSIONS, seed=3), every=5)).sort_by("event_time")
    pq.write_table(table.slice(0, 500), folder / "one.parquet")
    pq.write_table(table.slice(500), folder / "two.parquet")
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("day=*/*.parquet")) for row in pq.read_table(path).to_pylist()]


def expected(bundle: Path | None) -> dict[str, dict[str, Any]]:
    """The fold of all clicks at once, by score id."""
    shop = shop_of(built_in(SHOP))
    models = None
    if bundle is not None:
        models = load_bundle(bundle.parent.parent.parent, bundle.name, shop.definition)
    clicks = click_table(doubled(known_log(SESSIONS, seed=3), every=5)).to_batches()
    found = fold_clicks(clicks, shop, Rules(shop=shop), models)
    return {row["score_id"]: row for one in found for row in one.to_pylist()}


def test_logs_are_scored_to_a_folder_by_day(
    logs: Path, tmp_path: Path, known_shop_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES_OF_A_BUCKET", 10_000)
    assert module.buckets_for(find_log([logs], 1.0)) > 1  # so that processes fold them
    out = tmp_path / "out"
    home = known_shop_bundle.parent.parent.parent.parent
    words = ["score", str(logs / "one.parquet"), str(logs / "t*.parquet"), "--out", str(out), "--shop", SHOP]
    words += ["--bundle", str(known_shop_bundle), "--home", str(home)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    rows = rows_of(out)
    assert {row["score_id"]: row for row in rows} == expected(known_shop_bundle)
    assert f"{len(rows)} sessions on" in done.output
    assert "batch expected" in done.output
    for path in out.glob("day=*/*.parquet"):
        opened = pq.read_table(path).column("opened_at").to_pylist()
        days = {datetime.fromtimestamp(at / 1_000, UTC).date().isoformat() for at in opened}
        assert path.parent.name == f"day={days.pop()}"
        assert not days
    first = min(path.name for path in out.glob("day=*"))
    counted = duckdb.sql(f"SELECT count(DISTINCT score_id), min(day) FROM '{out}/**/*.parquet'").fetchall()
    assert [(found, f"day={day}") for found, day in counted] == [(len(rows), first)]
    again = CliRunner().invoke(app, words, catch_exceptions=False)
    assert again.exit_code == 0
    assert "nothing was left to do" in again.output


@pytest.fixture(scope="module")
def halfway(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run ended when some days were written, and one was half."""
    out = tmp_path_factory.mktemp("halfway") / "out"
    written: list[Path] = []

    def ending(path: Path) -> Any:
        if len(written) == 3:
            (path.parent / ".sessions.parquet-draft").write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(path)
        return replacing(path)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "replacing", ending)
        # Of a small log all is done sooner here.
        patched.setattr(module, "_processes", lambda *_: pytest.fail("a process was started"))
        with pytest.raises(KeyboardInterrupt):
            make(logs, out)
    assert len(list(out.glob("day=*/*.parquet"))) == 3
    return out


@pytest.fixture
def interrupted(halfway: Path, tmp_path: Path) -> Path:
    """The same, for a test that goes on with it."""
    return Path(shutil.copytree(halfway, tmp_path / "interrupted"))


def make(logs: Path, out: Path, **settings: Any) -> HistoryReport | None:
    return make_sessions([logs], out, Settings(shop=SHOP, **settings), scored=False)


def test_what_is_made_of_something_else_is_refused(logs: Path, interrupted: Path) -> None:
    with pytest.raises(RefusedError, match="gap was 1800000 and is 1200000"):
        make(logs, interrupted, gap="20min")
    with pytest.raises(RefusedError, match=r"two\.parquet is gone"):
        make(logs / "one.parquet", interrupted)
    at = (logs / "one.parquet").stat()
    os.utime(logs / "one.parquet", ns=(at.st_atime_ns, at.st_mtime_ns + 1))
    with pytest.raises(RefusedError, match=r"one\.parquet has changed") as error:
        make(logs, interrupted)
    assert "as it was run before" not in error.value.remedy
    os.utime(logs / "one.parquet", ns=(at.st_atime_ns, at.st_mtime_ns))


def test_a_log_that_changes_while_it_is_read_makes_no_sessions(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown, reading = tmp_path / "one.parquet", open_clicks
    shutil.copy(logs / "one.parquet", grown)

    def growing(*given: Any, **named: Any) -> Any:
        shutil.copy(logs / "two.parquet", grown)
        return reading(*given, **named)

    monkeypatch.setattr(module, "open_clicks", growing)
    with pytest.raises(InputError, match=r"one\.parquet changed while it was read"):
        make(grown, tmp_path / "out")
    assert not list((tmp_path / "out").glob("day=*"))
    # Nothing was made of what it was before.
    monkeypatch.setattr(module, "open_clicks", reading)
    report = make(grown, tmp_path / "out")
    assert report is not None
    assert report.rows == pq.read_metadata(logs / "two.parquet").num_rows


def test_sessions_written_among_the_log_are_none_of_it(logs: Path, tmp_path: Path) -> None:
    among = tmp_path / "logs"
    shutil.copytree(logs, among)
    (among / "README.md").touch()
    report = make(among, among / "out")
    assert report is not None
    assert report.notes == ("1 file in folders not read, being named like no log: README.md",)
    assert make(among, among / "out") is None


def test_what_is_left_of_a_run_that_nobody_knows_is_not_gone_on_with(
    logs: Path, interrupted: Path, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    left.mkdir()
    shutil.copytree(interrupted / "_work", left / "_work")
    part = tmp_path / "part"
    part.mkdir()
    shutil.copy(logs / "two.parquet", part)
    report = make(part, left)
    assert report is not None
    assert report.rows == pq.read_metadata(part / "two.parquet").num_rows


@pytest.mark.parametrize("memory_mib", [1_024, 2_048, 8_192, 65_536])
def test_all_workers_together_stay_within_the_memory(memory_mib: int) -> None:
    workers = workers_within(memory_mib)
    each = MIB_OF_A_WORKER + LEAST_MIB_OF_AN_ENGINE
    assert MIB_OF_THE_PARENT + workers * each <= memory_mib < MIB_OF_THE_PARENT + (workers + 1) * each


def test_where_refused_rows_go_is_looked_at_before_the_log_is_read(logs: Path, tmp_path: Path) -> None:
    words = [
        "sessions",
        str(logs),
        "--out",
        str(tmp_path / "out"),
        "--refused",
        str(tmp_path / "no" / "r.csv"),
    ]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, MissingFileError)
    assert not (tmp_path / "out").exists()


def test_two_runs_do_not_share_a_folder(logs: Path, interrupted: Path) -> None:
    with (interrupted / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another run works on it"):
            make(logs, interrupted)


def test_a_run_that_was_ended_goes_on_where_it_was(
    logs: Path, interrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folded(*_: object) -> Any:
        raise AssertionError("the buckets were folded before")

    monkeypatch.setattr(BucketFolder, "fold", folded)
    before = {path: path.stat().st_mtime_ns for path in interrupted.glob("day=*/*.parquet")}
    report = make(logs, interrupted)
    assert report is not None
    rows = rows_of(interrupted)
    assert report.sessions == len(rows)
    assert {row["score_id"]: row for row in rows} == expected(None)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(interrupted.glob("day=*/.*"))
    assert make(logs, interrupted) is None


@pytest.mark.parametrize(
    ("damaged", "left", "removed"),
    [
        ("_work/partitioned.json", 0, "_work"),
        ("_work/clicks/bucket=0/part1_0.parquet", 400, "_work"),
        ("_work/clicks/bucket=0/part1_0.parquet", None, "_work"),
        ("_work/sessions/0000/0000.arrow", 0, "_work/sessions/0000"),
        ("_work/sessions/0000/0000.arrow", 400, "_work/sessions/0000"),
        ("_work/sessions/0000/0000.arrow", None, "_work/sessions/0000"),
        ("_work/sessions/0000/parts", 0, "_work/sessions/0000"),
        ("_work/sessions/0000/parts", None, "_work/sessions/0000"),
        ("day=*/sessions.parquet", 400, "day=*/sessions.parquet"),
    ],
)
def test_what_is_damaged_of_a_run_is_named_and_made_again(
    logs: Path, halfway: Path, tmp_path: Path, damaged: str, left: int | None, removed: str
) -> None:
    """`left`: of its bytes; None where it is gone."""
    out = tmp_path / "out"
    shutil.copytree(halfway, out)
    path, made_again = min(out.glob(damaged)), min(out.glob(removed))
    if "clicks" in damaged:
        shutil.rmtree(out / "_work" / "sessions")
    named = path
    if left is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:left])
    if path.parent.parent.name == "sessions" and (left is None or path.name == "parts"):
        named = path.parent
    with pytest.raises(InputError, match=re.escape(str(named))) as error:
        make(logs, out)
    assert error.value.exit_code == 65
    assert f"Remove {made_again} and run" in error.value.remedy
    if made_again.is_dir():
        shutil.rmtree(made_again)
    else:
        made_again.unlink()
    make(logs, out)
    assert {row["score_id"]: row for row in rows_of(out)} == expected(None)


def test_a_folder_of_something_else_is_left_alone(logs: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UsageError, match=r"holds photo\.jpg"):
        make(logs, tmp_path)


def test_what_was_unusual_is_shown(logs: Path, tmp_path: Path) -> None:
    definition = built_in(SHOP)
    columns = ["session_id", "event_time", *(one.name for one in definition.fields)]
    mapping = tmp_path / "mapping.toml"
    fields = "".join(f'{name} = "{name}"\n' for name in columns if name not in ("event_time", "price"))
    time = 'event_time = { column = "event_time", format = "ms" }\n'
    mapping.write_text(f'[clicks]\n{fields}{time}price = "prize"\n')
    table = pq.read_table(logs / "one.parquet", partitioning=None).select(columns)
    pq.write_table(table.append_column("prize", pa.nulls(len(table), pa.float64())), tmp_path / "log.parquet")
    words = ["sessions", str(tmp_path / "log.parquet"), "--mapping", str(mapping), "--shop", SHOP]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert "no click has a price: is the column 'prize' that the mapping names empty?" in done.output


def test_refused_rows_can_be_had_when_nothing_is_left_to_do(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"session_id": "one", "event_time": 1772445600000, "event": "home"}\nnone\n')
    words = ["sessions", str(log), "--shop", "online-store", "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    wanted = tmp_path / "refused.csv"
    done = CliRunner().invoke(app, [*words, "--refused", str(wanted)], catch_exceptions=False)
    assert "nothing was left to do" in done.output
    header, row = wanted.read_text().splitlines()
    assert (header, row.split(",")[:3]) == ("file,line,reason,detail", ["log.jsonl", "2", "text"])


def test_many_files_need_a_folder(logs: Path) -> None:
    with pytest.raises(UsageError, match="more than one file"):
        CliRunner().invoke(app, ["score", str(logs)], catch_exceptions=False)
