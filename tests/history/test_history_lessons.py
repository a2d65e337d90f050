"""Sessions to train on, of logs and topics of any length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from arrow_clicks import click_table, doubled
from msgspec.structs import replace

from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in
from clickstream.history.fold import fold_windows
from clickstream.history.lessons import read_lessons
from clickstream.infra.settings import Settings
from clickstream.models.shop.examples import ShopWindow
from clickstream.offline.sample import Sample, as_window, sha256_of
from clickstream.offline.shop_windows import shop_windows
from clickstream.producer.synthetic_shop import SHOP, known_log
from clickstream.windows.listing import ListedOpenSession
from clickstream.windows.partition import ClosedWindow
from clickstream.windows.rules import Rules

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
