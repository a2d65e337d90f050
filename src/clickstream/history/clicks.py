"""Clicks in Arrow, and as what the fold takes: a column at a time, not a click at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
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
    steps = steps_of(batch, shop)
    changes = np.flatnonzero(np.diff(ids.indices.to_numpy())) + 1
    firsts = np.concatenate([[0], changes])
    names = ids.take(pa.array(firsts)).to_pylist()
    places = [*firsts.tolist(), batch.num_rows]
    for session_id, first, after in zip(names, places[:-1], places[1:], strict=True):
        yield Run(session_id, steps[first:after])


def steps_of(batch: pa.RecordBatch, shop: Shop) -> list[Any]:
    """The clicks of a batch, whatever session they are of."""
    *names, end = step_names(shop)
    columns = [*(batch.column(name) for name in names), batch.column(end).fill_null(False)]
    return list(map(shop.step, *map(values, columns)))


def step_names(shop: Shop) -> list[str]:
    """The columns of what the fold takes, in its order."""
    return ["event_time", "order", *(field.name for field in shop.definition.used_fields()), "end"]


def lists_of(clicks: Sequence[Sequence[Any]], kind: pa.ListType) -> pa.ListArray:
    """The clicks of each session, as the fold takes them, as one column of `kind`."""
    flat = list(chain.from_iterable(clicks))
    columns = [
        pa.array(map(attrgetter(field.name), flat), field.type, size=len(flat)) for field in kind.value_type
    ]
    structs = pa.StructArray.from_arrays(columns, fields=list(kind.value_type))
    ends = np.cumsum([0, *map(len, clicks)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), structs, kind)


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
