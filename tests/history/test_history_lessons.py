"""Sessions to train on, of logs and topics of any length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from arrow_clicks import click_table, doubled
from msgspec.structs import replace
from typer.testing import CliRunner

from clickstream.bundles.bundle import load_bundle
from clickstream.cli.sessions import sessions as write_sessions
from clickstream.cli.train import train
from clickstream.features.shop import shop_of
from clickstream.features.shop_file import UCI553_NAME, built_in
from clickstream.history.fold import fold_windows
from clickstream.history.lessons import read_folder, read_lessons
from clickstream.history.run import make_sessions
from clickstream.infra.errors import InputError, RefusedError, UsageError
from clickstream.infra.settings import Settings
from clickstream.models.shop.examples import ShopWindow
from clickstream.offline.sample import Sample, Taught, as_session, as_window, sha256_of
from clickstream.offline.shop_windows import shop_windows
from clickstream.producer.synthetic_shop import SHOP, known_log
from clickstream.windows.listing import ListedOpenSession
from clickstream.windows.partition import ClosedWindow
from clickstream.windows.rules import Rules

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-clicks"

LOG = doubled(known_log(200, seed=3), every=5)
RULES = Rules(shop=shop_of(built_in(SHOP)))


def closed_windows() -> list[ClosedWindow]:
    batches = click_table(LOG).to_batches()
    return list(fold_windows(batches, RULES.shop, RULES, ListedOpenSession))


def content(window: ShopWindow) -> tuple[str, list[Any]]:
    """What a window says; files of others have no word on what made up their times."""
    return window.session_id, [replace(click, time_source=None) for click in window.clicks]


def test_a_folder_gives_the_windows_of_its_whole_log(tmp_path: Path) -> None:
    table = click_table(LOG).sort_by("event_time")
    (tmp_path / "logs").mkdir()
    pq.write_table(table.slice(0, 500), tmp_path / "logs" / "one.parquet")
    pq.write_table(table.slice(500), tmp_path / "logs" / "two.parquet")
    found = read_lessons([tmp_path / "logs"], Settings(shop=SHOP, home=tmp_path), as_window)
    assert list(map(content, found.sessions)) == list(map(content, shop_windows(LOG.sessions, RULES)))
    assert found.log is not None
    assert (found.found, found.log.kept) == (len(found.sessions), len(LOG))
    assert sorted(tmp_path.iterdir()) == [tmp_path / "logs"]


@pytest.mark.parametrize("most", [1, 50, 10_000])
def test_a_sample_does_not_hang_on_the_order_in_which_sessions_close(most: int) -> None:
    closed = closed_windows()
    samples = []
    for ordered in (closed, closed[::-1], sorted(closed, key=lambda one: one.session.opened_at)):
        sample = Sample(as_window, most)
        for one in ordered:
            sample.add(one)
        assert sample.seen == len(closed)
        samples.append(sample.taken())
    assert samples[0] == samples[1] == samples[2]
    assert len(samples[0]) == min(most, len(closed))
    assert len({sha256_of(one) for one in samples}) == 1


def test_a_smaller_sample_lies_in_a_larger_one() -> None:
    larger, smaller = Sample(as_window, 60), Sample(as_window, 20)
    for one in closed_windows():
        larger.add(one)
        smaller.add(one)
    assert {one.session.session_id for one in smaller.taken()} < {
        one.session.session_id for one in larger.taken()
    }


def test_a_sample_is_spread_over_the_log_as_its_sessions_are() -> None:
    closed = sorted(closed_windows(), key=lambda one: one.session.opened_at)
    sample = Sample(as_window, len(closed) // 2)
    for one in closed:
        sample.add(one)
    middle = closed[len(closed) // 2].session.opened_at
    early = sum(one.session.opened_at < middle for one in sample.taken())
    assert 0.35 < early / len(sample.taken()) < 0.65


def log_of(shop: str, folder: Path) -> tuple[list[str], Path | None]:
    """A log of a shop, and its mapping."""
    if shop == UCI553_NAME:
        return [str(EXAMPLE / "clicks.csv")], EXAMPLE / "mapping.toml"
    table = click_table(LOG).sort_by("event_time")
    pq.write_table(table.slice(0, 300), folder / "one.parquet")
    pq.write_table(table.slice(300), folder / "two.parquet")
    return [str(folder / "*.parquet")], None


@pytest.mark.parametrize(("shop", "taught"), [(SHOP, as_window), (UCI553_NAME, as_session)])
@pytest.mark.parametrize("most", [20, 10_000])
def test_a_folder_of_sessions_gives_what_its_logs_give(
    shop: str, taught: Callable[[ClosedWindow], Taught[Any]], most: int, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Sample.__init__, "__defaults__", (most,))
    settings = Settings(shop=shop, home=tmp_path)
    logs, mapping = log_of(shop, tmp_path)
    make_sessions(logs, tmp_path / "out", settings, mapping=mapping, scored=False, with_clicks=True)

    there = read_lessons(logs, settings, taught, mapping)
    found = read_folder(tmp_path / "out", settings, taught)

    assert found.sessions == there.sessions
    assert len(found.sessions) == min(most, found.found)
    assert (found.sha256, found.found) == (there.sha256, there.found)


def test_a_folder_of_sessions_that_cannot_be_trained_on(tmp_path: Path) -> None:
    settings = Settings(shop=SHOP, home=tmp_path)
    logs, _ = log_of(SHOP, tmp_path)
    out = tmp_path / "out"

    def read(**changes: Any) -> None:
        read_folder(out, settings.model_copy(update=changes), as_window)

    make_sessions(logs, out, settings, scored=False, with_clicks=True)
    with pytest.raises(RefusedError, match=r"shop was synthetic/\w+ and is uci553/\w+ here"):
        read(shop=UCI553_NAME)
    with pytest.raises(RefusedError, match="gap was 1800000 and is 1200000 here"):
        read(gap=1_200_000)
    read()
    manifest = out / "_history.json"
    said = manifest.read_text()
    manifest.write_text(said.replace('"finished": true', '"finished": false'))
    with pytest.raises(RefusedError, match="not all sessions are written"):
        read()
    manifest.write_text(said)
    with pytest.raises(RefusedError, match="--clicks was given"):
        make_sessions(logs, out, settings, scored=False)

    path = min(out.glob("day=*/*.parquet"))
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns("clicks_in_order"), path)
    with pytest.raises(InputError, match=r"sessions\.parquet cannot be read"):
        read()
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"sessions\.parquet cannot be read"):
        read()

    out = tmp_path / "without"
    make_sessions(logs, out, settings, scored=False)
    with pytest.raises(RefusedError, match="without their clicks") as refused:
        read()
    assert "sessions --clicks" in refused.value.remedy


def test_the_commands_train_on_a_folder_of_sessions_what_its_logs_say(tmp_path: Path) -> None:
    """The sessions are the very same, and a training gives the same models of the same sessions."""
    log, settings = tmp_path / "logs", Settings(shop=SHOP, home=tmp_path / "home")
    log.mkdir()
    pq.write_table(click_table(known_log(500, seed=5)), log / "clicks.parquet")
    app = typer.Typer()
    app.command("sessions")(write_sessions)
    app.command("train")(train)

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--shop", SHOP], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    run("sessions", str(log), "--clicks", "--out", str(tmp_path / "out"))
    run("train", "--data", str(tmp_path / "out"), "--home", str(settings.home))

    manifest = load_bundle(settings).manifest
    of_log = read_lessons([log], settings, as_window, None)
    assert (manifest.data.sha256, of_log.found) == (of_log.sha256, 500)

    with pytest.raises(UsageError, match="holds sessions, and no log"):
        run("train", "--data", str(tmp_path / "out"), "--mapping", str(log), "--home", str(tmp_path))
