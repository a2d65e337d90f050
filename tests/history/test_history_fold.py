"""The fold over Arrow says what the stream says of the same clicks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from arrow_clicks import click_batches, doubled
from log_files import map_log

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.features.shop import UCI553, Shop, shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.click_log import ClickLog
from clickstream.files.dataset import Dataset
from clickstream.files.mapping import read_shop_mapping
from clickstream.files.shop_log import ShopLog
from clickstream.history import fold as module
from clickstream.history.fold import fold_clicks, session_schema
from clickstream.offline.windows import cut_windows
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.producer.synthetic_shop import SHOP, known_log
from clickstream.windows.rules import Rules

EXAMPLES = Path(__file__).parents[2] / "examples"
AT_ONCE = 37
"""Clicks in a batch: no session ends with one."""

Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def synthetic(synthetic_bundle: Path) -> Bundle:
    return load_bundle(synthetic_bundle.parent, synthetic_bundle.name)


@pytest.fixture(scope="module")
def known(known_shop_bundle: Path) -> Bundle:
    return load_bundle(known_shop_bundle.parent.parent.parent, known_shop_bundle.name, built_in(SHOP))


def folded(batches: Iterable[pa.RecordBatch], rules: Rules, bundle: Bundle | None) -> Rows:
    """Sessions by score id."""
    found = [row for one in fold_clicks(batches, rules.shop, rules, bundle) for row in one.to_pylist()]
    rows = {row["score_id"]: row for row in found}
    assert len(rows) == len(found)
    return rows


def streamed(log: ClickLog, rules: Rules, bundle: Bundle) -> Rows:
    """The scores of the consumer's logic, with the evidence that the models looked at."""
    online = bundle.online()
    cuts = list(cut_windows(log, rules))
    found = WindowScorer(bundle, "clicks", "", rules.shop).score(
        [UnscoredWindow(0, cut.closed, online) for cut in cuts]
    )
    scores = [orjson.loads(value or b"") for value in found]
    for cut, score in zip(cuts, scores, strict=True):
        score["evidence_features"] = rules.shop.evidence(cut.closed.session)
    return {score["score_id"]: score for score in scores}


def check_equal(rows: Rows, stream: Rows, shop: Shop, bundle: Bundle) -> None:
    assert rows.keys() == stream.keys()
    for score_id, ours in rows.items():
        theirs = stream[score_id]
        for name in session_schema(shop, bundle).names:
            said = theirs[name]
            if name == "predictions":
                said = {scorer: said[scorer] for scorer in bundle.fitted}
            elif name == "drawn" and said is not None:
                said = {**said, "predictions": {"batch": said["predictions"]["batch"]}}
            assert ours[name] == said, (score_id, name)


def test_a_shop_with_a_goal_and_doubled_clicks(known: Bundle) -> None:
    shop = shop_of(built_in(SHOP))
    rules = Rules(gap=400_000, max_clicks=6, shop=shop)
    log = doubled(known_log(300, seed=3), every=5)
    rows = folded(click_batches(log, AT_ONCE), rules, known)
    check_equal(rows, streamed(log, rules, known), shop, known)
    assert {row["closed_by"] for row in rows.values()} == {"gap", "limit"}
    assert sum(row["duplicates"] for row in rows.values()) > 100
    assert any(row["drawn"] for row in rows.values())
    assert any(row["evidence_features"] is None for row in rows.values())


def test_clicks_of_a_file_with_days_and_orders(synthetic: Bundle) -> None:
    log = dated(synthetic_dataset(300, seed=5))
    rules = Rules(max_clicks=20)
    rows = folded(click_batches(log, AT_ONCE), rules, synthetic)
    check_equal(rows, streamed(log, rules, synthetic), UCI553, synthetic)
    assert {row["closed_by"] for row in rows.values()} == {"gap", "limit"}


def dated(log: Dataset) -> Dataset:
    """A log without times with those that reading gives it: the day, and the order in ms."""
    times = [
        int(datetime.combine(day, time(), UTC).timestamp()) * 1_000 + (step.order or 0)
        for _, day, steps in log.steps()
        for step in steps
    ]
    return replace(log, times=np.array(times))


@pytest.fixture(scope="module")
def online_store() -> ShopLog:
    definition = built_in("online-store")
    mapping = read_shop_mapping(EXAMPLES / "online-store" / "mapping.toml", definition)
    log = map_log(EXAMPLES / "online-store" / "events.csv.gz", definition, mapping).log
    assert isinstance(log, ShopLog)
    return doubled(log, every=7)


def test_an_online_store_without_models(online_store: ShopLog) -> None:
    shop = shop_of(online_store.definition)
    rules = Rules(shop=shop)
    rows = folded(click_batches(online_store, 1_000), rules, None)
    closed = [cut.closed for cut in cut_windows(online_store, rules)]
    sessions = {f"{one.session_id}/{one.session.opened_at}": one.session for one in closed}
    assert rows.keys() == sessions.keys()
    for score_id, row in rows.items():
        session = sessions[score_id]
        assert row["features"] == shop.features(session)
        assert row["evidence_features"] == shop.evidence(session)
        assert row["outcome"] == shop.outcome(session)._asdict()
        assert row["duplicates"] == session.duplicates
        assert (row["opened_at"], row["last_click_at"]) == (session.opened_at, session.last.event_time)


def test_how_clicks_and_sessions_are_batched_leaves_no_trace(
    known: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules(shop=shop_of(built_in(SHOP)))
    log = known_log(60, seed=4)
    whole = folded(click_batches(log, 100_000), rules, known)
    monkeypatch.setattr(module, "AT_ONCE", 7)
    assert folded(click_batches(log, 1), rules, known) == whole


def test_a_session_that_the_models_cannot_take_keeps_its_features(
    known: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules(shop=shop_of(built_in(SHOP)))
    log = known_log(5, seed=4)
    predict = known.predict

    def refusing(cases: Any) -> Any:
        if any(case.whole["clicks"] == most for case in cases):
            raise ValueError("too long")
        return predict(cases)

    whole = folded(click_batches(log, 100), rules, known)
    most = max(row["clicks"] for row in whole.values())
    monkeypatch.setattr(known, "predict", refusing)
    for score_id, row in folded(click_batches(log, 100), rules, known).items():
        if row["clicks"] == most:
            assert (row["predictions"], row["error"]) == (None, "prediction failed: ValueError: too long")
            assert row["features"] == whole[score_id]["features"]
        else:
            assert row == whole[score_id]
