"""Clicks of a log as Arrow batches, as the fold over history takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from clickstream.files.click_log import ClickLog
from clickstream.files.history.buckets import schema_of
from clickstream.files.shop_log import ShopLog


def click_table(log: ClickLog) -> pa.Table:
    """The clicks of a log, in the order of the contract."""
    records = log.records
    rows: list[tuple[Any, ...]] = []
    at = 0
    for session_id, _, steps in log.steps():
        for step in steps:
            row = {"session_id": session_id, "event_time": step.event_time, "order": step.order}
            rows.append(
                ((session_id, step.sort_key, step.content), row | {"end": False} | records[log.view_of[at]])
            )
            at += 1
    rows.sort(key=lambda row: row[0])
    return pa.Table.from_pylist([row for _, row in rows], schema=schema_of(log.definition))


def click_batches(log: ClickLog, at_once: int) -> Iterator[pa.RecordBatch]:
    """The same, so many clicks at once."""
    yield from click_table(log).to_batches(max_chunksize=at_once)


def doubled(log: ShopLog, every: int) -> ShopLog:
    """The log with every so manyth click twice."""
    copies = np.where(np.arange(len(log)) % every, 1, 2)
    counts = iter(copies.tolist())
    sessions = {name: [s for s in steps for _ in range(next(counts))] for name, steps in log.sessions.items()}
    return replace(
        log,
        sessions=sessions,
        view_of=np.repeat(log.view_of, copies),
        orders=np.repeat(log.orders, copies),
        times=np.repeat(log.times, copies),
        starts=np.cumsum([0, *(len(steps) for steps in sessions.values())]),
    )
