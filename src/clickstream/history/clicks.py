"""Arrow batches of clicks as what the fold takes: a column at a time, not a click at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from clickstream.features.shop import Shop


class Run(NamedTuple):
    """Clicks of one session id that follow each other in a batch, as the fold takes them."""

    session_id: str
    steps: list[Any]


def runs(batch: pa.RecordBatch, shop: Shop) -> Iterator[Run]:
    """The clicks of a batch, session id after session id."""
    ids = batch.column("session_id").dictionary_encode()
    steps = _steps(batch, shop)
    changes = np.flatnonzero(np.diff(ids.indices.to_numpy())) + 1
    firsts = np.concatenate([[0], changes])
    names = ids.take(pa.array(firsts)).to_pylist()
    places = [*firsts.tolist(), batch.num_rows]
    for session_id, first, after in zip(names, places[:-1], places[1:], strict=True):
        yield Run(session_id, steps[first:after])


def _steps(batch: pa.RecordBatch, shop: Shop) -> list[Any]:
    names = ["event_time", "order", *(field.name for field in shop.definition.used_fields())]
    columns = [*(batch.column(name) for name in names), batch.column("end").fill_null(False)]
    return list(map(shop.step, *map(values, columns)))


def values(column: pa.Array) -> list[Any]:
    """A column as Python values, None where there is none; several times as fast as `to_pylist`.

    A text that stands there often is one object.
    """
    if column.null_count == len(column):
        return [None] * len(column)
    if pa.types.is_string(column.type):
        coded = column.dictionary_encode()
        known = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
        # The last place, where there is none.
        return list(known[coded.indices.fill_null(-1).to_numpy()].tolist())
    if column.null_count and not pa.types.is_boolean(column.type):
        # Of whole numbers beside nulls numpy would make fractions.
        known = column.fill_null(0).to_numpy().astype(object)
        known[column.is_null().to_numpy(zero_copy_only=False)] = None
        return list(known.tolist())
    return list(column.to_numpy(zero_copy_only=False).tolist())
