"""Arrow batches of clicks as what the fold takes: a column at a time, not a click at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import compute

from clickstream.features.shop import Shop


class Run(NamedTuple):
    """Clicks of one session id that follow each other in a batch.

    `dated` False: the clicks have no event time, and that of a step is its order.
    """

    session_id: str
    steps: list[Any]
    dated: bool


def runs(batch: pa.RecordBatch, shop: Shop) -> Iterator[Run]:
    """The clicks of a batch, session id after session id.

    Raises:
        ValueError: a click has neither time nor order.
    """
    ids = batch.column("session_id").dictionary_encode()
    steps = _steps(batch, shop)
    changes = np.flatnonzero(np.diff(ids.indices.to_numpy())) + 1
    firsts = np.concatenate([[0], changes]).astype(np.int64)
    names = ids.take(pa.array(firsts)).to_pylist()
    dated = batch.column("event_time").is_valid().take(pa.array(firsts)).to_pylist()
    after = [*firsts[1:].tolist(), batch.num_rows]
    for session_id, first, last, has_time in zip(names, firsts.tolist(), after, dated, strict=True):
        yield Run(session_id, steps[first:last], has_time)


def _steps(batch: pa.RecordBatch, shop: Shop) -> list[Any]:
    times, orders = batch.column("event_time"), batch.column("order")
    if times.null_count:
        # Without times a session id is a session, and its clicks stand in their order, as in offline/.
        times = compute.coalesce(times, orders.cast(pa.int64()))
        if times.null_count:
            raise ValueError("a click has neither event_time nor order")
    fields = (values(batch.column(field.name)) for field in shop.definition.used_fields())
    ends = batch.column("end").fill_null(False)
    return list(map(shop.step, values(times), values(orders), *fields, values(ends), repeat(None)))


def values(column: pa.Array) -> list[Any]:
    """A column as Python values, None where there is none; several times as fast as `to_pylist`.

    A text that stands there often is one object.
    """
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        coded = column.dictionary_encode()
        known = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
        # The last place, where there is none.
        return list(known[coded.indices.fill_null(-1).to_numpy()].tolist())
    if not column.null_count:
        return list(column.to_numpy(zero_copy_only=False).tolist())
    known = column.fill_null(0).to_numpy(zero_copy_only=False).astype(object)
    known[column.is_null().to_numpy(zero_copy_only=False)] = None
    return list(known.tolist())
