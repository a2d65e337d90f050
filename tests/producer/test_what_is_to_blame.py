"""What a log of any size could not be read for: the disk, the memory, the person, the mapping or the log."""

from __future__ import annotations

import pickle
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from history_logs import SHOP, click, opened, written

from clickstream.files.history import NoClicksError, open_clicks
from clickstream.files.history.engine import open_engine
from clickstream.infra.errors import ConfigurationError, InputError, StorageError

ROWS = [click(f"v{n}", n) for n in range(3_000)]
SELECT = """
SELECT visit AS session_id, CAST("at" AS BIGINT) * 1000 AS event_time, what AS event, page, price FROM log
"""
MANY = "SELECT md5(CAST(range AS VARCHAR)) AS one FROM range(600000) ORDER BY one"


@contextmanager
def disk_of(file_bytes: int) -> Iterator[None]:
    """A disk on which files cannot be larger, to which writes are refused as those to a full one are."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def in_sql(tmp_path: Path, log: Path, select: str = SELECT) -> Any:
    mapping = tmp_path / "mapping.sql"
    mapping.write_text(select)
    return open_clicks([log], SHOP, mapping, work=tmp_path / "work", memory_mib=512, buckets=1)


def unreadable(_: Exception, said: str) -> InputError:
    return InputError(said)


def test_a_disk_that_takes_no_more_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    log = written(tmp_path, "log.csv", ROWS)
    for read in (partial(opened, tmp_path, log), partial(in_sql, tmp_path, log)):
        with disk_of(4_096), pytest.raises(StorageError, match=r"work/clicks/.*: File too large") as error:
            read()
        assert error.value.exit_code == 74
        assert "TRY_CAST" not in str(error.value)
        assert read().kept == len(ROWS)


def test_a_copy_of_a_text_that_the_disk_does_not_take_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(written(tmp_path, "text.csv", ROWS).read_text(), encoding="utf-16")
    with disk_of(4_096), pytest.raises(OSError, match="File too large") as error:
        opened(tmp_path, log)
    assert str(error.value.filename) == str(tmp_path / "work")


def asked(work: Path, statement: str) -> None:
    with open_engine(work, 128, [], unreadable) as engine:
        engine.execute(statement).fetchone()


def test_no_room_to_spill_is_not_too_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, room = duckdb.connect, ["20GiB"]

    def small(config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
        engine = connect(config=config | {"memory_limit": "30MiB"})
        engine.execute(f"SET max_temp_directory_size = '{room[0]}'")
        return engine

    monkeypatch.setattr(duckdb, "connect", small)
    with disk_of(4_096), pytest.raises(StorageError, match=r"duckdb_temp_storage.*: File too large"):
        asked(tmp_path, MANY)
    # As DuckDB has it of itself by what the disk has left.
    room[0] = "1MiB"
    with pytest.raises(StorageError, match=f"{tmp_path} has no room for what does not fit into memory"):
        asked(tmp_path, MANY)


def test_too_little_memory_is_said_as_that(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="128 MiB of memory do not suffice") as error:
        asked(tmp_path, "SELECT list(range) FROM range(100000000)")
    assert "--memory" in error.value.remedy


def test_who_ends_a_statement_has_ended_the_command(tmp_path: Path) -> None:
    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, ended)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            asked(tmp_path, "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 3")
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("select", "said", "remedy"),
    [
        (SELECT.replace("visit", "CAST(what AS INTEGER)"), "Could not convert string 'look'", "TRY_CAST"),
        (SELECT.replace("visit", "error('no such visit')"), "no such visit", "A mapping in SQL"),
    ],
)
def test_what_a_select_cannot_do_is_its_own_fault(
    tmp_path: Path, select: str, said: str, remedy: str
) -> None:
    with pytest.raises(InputError, match=rf"mapping\.sql: .*{said}") as error:
        in_sql(tmp_path, written(tmp_path, "log.csv", ROWS[:3]), select)
    assert remedy in error.value.remedy


def test_a_damaged_log_is_named_and_not_the_mapping(tmp_path: Path) -> None:
    log = written(tmp_path, "log.parquet", ROWS)
    whole = log.read_bytes()
    first = pq.read_metadata(log).row_group(0).column(0)
    at = (first.dictionary_page_offset or first.data_page_offset) + 40
    log.write_bytes(whole[:at] + bytes(200) + whole[at + 200 :])
    for read in (partial(opened, tmp_path, log), partial(in_sql, tmp_path, log)):
        with pytest.raises(InputError, match=r"^log\.parquet cannot be read: ") as error:
            read()
        assert "TRY_CAST" not in str(error.value)
        assert str(tmp_path) not in str(error.value)


def test_a_time_of_no_calendar_is_no_fault_of_the_mapping(tmp_path: Path) -> None:
    log, times = tmp_path / "log.parquet", pa.array([1_772_445_600_000, 2**62], pa.timestamp("ms"))
    rows = [row | {"at": at} for row, at in zip(ROWS, times, strict=False)]
    pq.write_table(pa.Table.from_pylist(rows), log)
    for read in (partial(opened, tmp_path, log), partial(in_sql, tmp_path, log)):
        with pytest.raises(InputError, match=r"^log\.parquet cannot be read: ") as error:
            read()
        assert "write times in µs" in error.value.remedy


def test_a_log_without_clicks_is_said_by_a_process_that_read_it_apart(tmp_path: Path) -> None:
    with pytest.raises(NoClicksError) as error:
        opened(tmp_path, written(tmp_path, "log.csv", [click("", n) for n in range(3)]))
    sent = pickle.loads(pickle.dumps(error.value))
    assert (str(sent), sent.rows, sent.refused) == (str(error.value), 3, error.value.refused)
