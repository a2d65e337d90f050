"""The clicks of a log in memory: whichever reader takes it, they are the same."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import duckdb
import pytest
import zstandard
from typer.testing import CliRunner

from clickstream.cli.main import command_line
from clickstream.features.shop import UCI553, Shop, shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.reading import read_any_mapping, read_clicks
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


def test_a_pipe_cannot_be_read_by_a_mapping_in_sql(tmp_path: Path) -> None:
    sql = tmp_path / "mapping.sql"
    sql.write_text("SELECT 1")
    with pytest.raises(UsageError, match="needs a file by its name"):
        read_clicks(io.BytesIO(b"a"), UCI553, read_any_mapping(sql, UCI553.definition))


def test_more_clicks_than_are_held_at_once_are_refused_with_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, path, said = SHOPS["online-store"]
    monkeypatch.setattr("clickstream.files.history.whole.MAX_ROWS", 100)
    parquet = in_another_format(path, "parquet", tmp_path)
    with pytest.raises(InputError, match="has 3,667 clicks; at most 100 are held"):
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
