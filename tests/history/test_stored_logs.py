"""Logs in a store, which is a real server that speaks S3: found by URL, fetched once, and gone afterwards."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
import typer
from arrow_clicks import click_table, doubled
from object_store import BUCKET, ObjectStore
from rich.console import Console
from typer.testing import CliRunner

from clickstream.cli.score import score
from clickstream.cli.sessions import sessions
from clickstream.cli.train_shop import read_windowed_log
from clickstream.features.shop_file import built_in
from clickstream.files.history.stored import LogSource, StoredFile, at_hand, find_log
from clickstream.history.run import HistoryReport, make_sessions
from clickstream.infra.errors import (
    ConfigurationError,
    InputError,
    MissingFileError,
    RefusedError,
    StorageError,
    UnavailableError,
    UsageError,
)
from clickstream.infra.objects import ListedObject, ObjectFolder
from clickstream.infra.settings import Settings
from clickstream.producer.synthetic_shop import SHOP, known_log

PATIENCE_S = 2.0

Put = Callable[[str, bytes], None]

app = typer.Typer()
app.command("score")(score)
app.command("sessions")(sessions)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    store = ObjectStore(tmp_path_factory.mktemp("objects") / "server.log")
    yield store
    store.stop()


@pytest.fixture
def prefix(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of this test's own, in a bucket that programs find by their environment."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"logs-{uuid4().hex}"


@pytest.fixture
def put(server: ObjectStore, prefix: str) -> Put:
    """Writes an object below the prefix, past our own code."""

    def written(key: str, content: bytes) -> None:
        server.client.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=content)

    return written


@pytest.fixture
def log(tmp_path: Path, put: Put) -> Path:
    """A folder with files of three formats, which are in the store, too."""
    folder = tmp_path / "logs"
    folder.mkdir()
    table = click_table(doubled(known_log(200, seed=3), every=5)).sort_by("event_time")
    pq.write_table(table.slice(0, 300), folder / "one.parquet")
    lines = [
        json.dumps({k: v for k, v in row.items() if v is not None}) for row in table[300:600].to_pylist()
    ]
    (folder / "two.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    pq.write_table(table.slice(600), folder / "three.parquet")
    for path in folder.iterdir():
        put(path.name, path.read_bytes())
    return folder


def url(prefix: str, path: str = "") -> str:
    return f"s3://{BUCKET}/{prefix}/{path}"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows = [row for path in folder.glob("day=*/*.parquet") for row in pq.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: str(row["score_id"]))


def make(out: Path, *logs: str) -> HistoryReport | None:
    return make_sessions(logs, out, Settings(shop=SHOP, patience=int(PATIENCE_S * 1_000)), scored=False)


def test_sessions_of_a_store_are_those_of_its_files(log: Path, prefix: str, put: Put, tmp_path: Path) -> None:
    words = ["sessions", url(prefix, "*.parquet"), url(prefix, "two.jsonl.gz"), "--shop", SHOP]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    make(tmp_path / "here", str(log))
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "here")

    manifest = json.loads((tmp_path / "out" / "_history.json").read_bytes())
    listed = {one["path"]: one for one in manifest["files"]}
    assert set(listed) == {url(prefix, path.name) for path in log.iterdir()}
    for path in log.iterdir():
        assert listed[url(prefix, path.name)]["bytes"] == path.stat().st_size
        assert listed[url(prefix, path.name)]["tag"]
    assert not list(tmp_path.rglob("stored"))

    again = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert "nothing was left to do" in again.output
    put("one.parquet", (log / "three.parquet").read_bytes())
    with pytest.raises(RefusedError, match=r"s3://.*/one\.parquet has changed"):
        CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")], catch_exceptions=False)


def test_what_to_train_on_of_a_store_is_what_its_files_hold(log: Path, prefix: str, tmp_path: Path) -> None:
    settings = Settings(shop=SHOP, home=tmp_path / "home")
    settings.home.mkdir()
    console = Console(quiet=True)
    # As --data has it.
    here, there = (
        read_windowed_log(settings, built_in(SHOP), path, None, None, False, 42, console)
        for path in (log, Path(url(prefix)))
    )
    assert there.sha256 == here.sha256
    assert len(there.windows) == len(here.windows) == 200
    assert not list(settings.home.iterdir())


def test_which_objects_are_meant(prefix: str, put: Put) -> None:
    for key in (
        "a.csv",
        "a.csv.gz",
        "_a.csv",
        ".b.csv",
        "day=1/a.csv",
        "day=2/x/a.parquet",
        "notes.md",
        "e/",
    ):
        put(key, b"content")
    put("day=1-old/a.csv", b"content")

    def found(path: str) -> list[str]:
        files = find_log([url(prefix, path)], PATIENCE_S)
        return [one.url.removeprefix(url(prefix)) for one in files if isinstance(one, StoredFile)]

    everything = ["a.csv", "a.csv.gz", "day=1-old/a.csv", "day=1/a.csv", "day=2/x/a.parquet"]
    assert found("") == everything
    assert found("day=1") == found("day=1/") == found("day=1/*") == ["day=1/a.csv"]
    assert found("*.csv") == ["_a.csv", "a.csv"]
    assert found("**/*.csv") == ["_a.csv", "a.csv", "day=1-old/a.csv", "day=1/a.csv"]
    assert found("day=[2-9]/**") == ["day=2/x/a.parquet"]
    assert found(".b*") == [".b.csv"]
    # What is named is taken, whatever its ending.
    assert found("notes.md") == ["notes.md"]
    assert find_log([url(prefix, "a.csv"), f"{url(prefix)}a.*"], PATIENCE_S) == find_log(
        [url(prefix, "a.csv*")], PATIENCE_S
    )
    for nothing in ("none/", "*.json", "a"):
        with pytest.raises(MissingFileError, match="holds no log"):
            found(nothing)


def ended(files: Sequence[LogSource], folder: Path) -> list[Path]:
    """What a run that was ended leaves of them."""
    with contextlib.suppress(KeyboardInterrupt), at_hand(files, folder, PATIENCE_S) as paths:
        raise KeyboardInterrupt
    return paths


def test_what_was_fetched_is_not_fetched_again(prefix: str, put: Put, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40_000
    for key in ("one.csv", "two.csv"):
        put(key, content)
    files = find_log([url(prefix)], PATIENCE_S)
    paths = ended(files, tmp_path)
    assert [path.read_bytes() for path in paths] == [content, content]
    # As a process leaves them that was killed amid the second.
    paths[0].write_bytes(b"kept")
    paths[1].rename(part := paths[1].with_name("two.csv.part"))
    part.write_bytes(b"-" * 1_000_000)
    with at_hand(files, tmp_path, PATIENCE_S) as again:
        assert again == paths
        assert again[0].read_bytes() == b"kept"
        assert again[1].read_bytes() == b"-" * 1_000_000 + content[1_000_000:]
    assert not list(tmp_path.rglob("*.csv*"))


def test_a_run_that_was_ended_amid_the_log_goes_on_with_what_was_fetched(
    log: Path, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    fetch = ObjectFolder.fetch

    def ending(self: ObjectFolder, one: ListedObject, target: Path) -> None:
        if len(fetched) == 2:
            raise KeyboardInterrupt
        fetched.append(one.key)
        fetch(self, one, target)

    with monkeypatch.context() as patched:
        patched.setattr(ObjectFolder, "fetch", ending)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "out", url(prefix))

    def counted(self: ObjectFolder, one: ListedObject, target: Path) -> None:
        assert one.key not in fetched
        fetch(self, one, target)

    monkeypatch.setattr(ObjectFolder, "fetch", counted)
    make(tmp_path / "out", url(prefix))
    make(tmp_path / "here", str(log))
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "here")


def test_an_object_that_was_replaced_or_removed_since_it_was_listed(
    server: ObjectStore, prefix: str, put: Put, tmp_path: Path
) -> None:
    put("one.csv", b"before")
    files = find_log([url(prefix)], PATIENCE_S)
    put("one.csv", b"after!")
    with pytest.raises(InputError, match=r"one\.csv was replaced or removed"), at_hand(files, tmp_path, 2.0):
        pytest.fail("it is another one")
    server.client.delete_object(Bucket=BUCKET, Key=f"{prefix}/one.csv")
    with pytest.raises(InputError, match=r"one\.csv was replaced or removed"), at_hand(files, tmp_path, 2.0):
        pytest.fail("it is gone")


def test_a_bad_row_is_shown_by_the_name_of_its_object(prefix: str, put: Put, tmp_path: Path) -> None:
    put("a:b.csv", b"session_id,event_time,page\n1,yesterday,/\n")
    with pytest.raises(InputError, match=r"a_b\.csv"):
        make(tmp_path / "out", url(prefix))


def test_a_store_that_refuses_or_does_not_answer(
    server: ObjectStore, prefix: str, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="NoSuchBucket") as refused:
        make(tmp_path / "none", "s3://no-such-bucket/logs/")
    assert "Check the name of the bucket" in refused.value.remedy
    assert not (tmp_path / "none").exists()
    put("one.csv", b"content")
    files = find_log([url(prefix)], PATIENCE_S)
    with server.frozen():
        with pytest.raises(UnavailableError, match=f"cannot list {prefix}"):
            find_log([url(prefix)], 0.5)
        with pytest.raises(UnavailableError, match=r"cannot read .*one\.csv"), at_hand(files, tmp_path, 0.5):
            pytest.fail("it is not here")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "boto3" else found(name))
    with pytest.raises(ConfigurationError, match=r"s3://.* needs boto3") as missing:
        find_log([url(prefix)], PATIENCE_S)
    assert "clickstream-scoring[s3]" in missing.value.remedy


def test_credentials_that_may_not(server: ObjectStore, prefix: str, put: Put, tmp_path: Path) -> None:
    put("one.csv", b"content")
    files = find_log([url(prefix)], PATIENCE_S)
    with server.denying():
        with pytest.raises(ConfigurationError, match="InvalidAccessKeyId") as refused:
            find_log([url(prefix)], PATIENCE_S)
        assert "s3:ListBucket" in refused.value.remedy
        with pytest.raises(ConfigurationError, match="cannot read"), at_hand(files, tmp_path, PATIENCE_S):
            pytest.fail("nobody may")


def test_a_log_that_is_larger_than_the_disk_is_not_begun(tmp_path: Path) -> None:
    huge = StoredFile("s3://bucket/logs/huge.parquet", 1 << 60, '"tag"')
    with pytest.raises(StorageError, match="has room for"), at_hand([huge], tmp_path, PATIENCE_S):
        pytest.fail("there is no room")


def test_what_reads_one_file_says_who_reads_stores() -> None:
    with pytest.raises(UsageError, match=r"s3://bucket/one\.csv lies in a store") as refused:
        CliRunner().invoke(app, ["score", "s3://bucket/one.csv"], catch_exceptions=False)
    assert "--out FOLDER" in refused.value.remedy
