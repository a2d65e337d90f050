"""Clicks of a log as Arrow batches, as the fold over history takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from clickstream.features.definition import FieldType
from clickstream.features.shop import Shop, shop_of
from clickstream.files.click_log import ClickLog
from clickstream.files.shop_log import ShopLog

_TYPES: dict[FieldType, Any] = {
    FieldType.TEXT: pa.string(),
    FieldType.NUMBER: pa.float64(),
    FieldType.INTEGER: pa.int64(),
    FieldType.BOOLEAN: pa.bool_(),
}


def click_schema(shop: Shop) -> pa.Schema:
    """session_id, event_time, order, the fields of the shop, end."""
    head = [("session_id", pa.string()), ("event_time", pa.int64()), ("order", pa.int32())]
    fields = [(field.name, _TYPES[field.type]) for field in shop.definition.fields]
    return pa.schema([*head, *fields, ("end", pa.bool_())])


def click_table(log: ClickLog) -> pa.Table:
    """The clicks of a log, in the order of the contract."""
    shop = shop_of(log.definition)
    records = log.records
    rows: list[tuple[Any, ...]] = []
    at = 0
    for session_id, _, steps in log.steps():
        for step in steps:
            time = None if log.times is None else step.event_time
            row = {"session_id": session_id, "event_time": time, "order": step.order, "end": step.end}
            rows.append(((session_id, step.sort_key, step.content), records[log.view_of[at]] | row))
            at += 1
    rows.sort(key=lambda row: row[0])
    return pa.Table.from_pylist([row for _, row in rows], schema=click_schema(shop))


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
