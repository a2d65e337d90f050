"""Finishing: what of a click is known only when the clicks of its session stand before it in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from clickstream.files.mapping.derive import SessionDepth

END_ROW = "is_end_row"
"""The column, before clicks are finished, of rows that say that a visit is over."""


def with_ends(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Sorted clicks without the rows that end a visit: the last click before one carries `end`."""
    held: pa.RecordBatch | None = None
    for batch in batches:
        known = batch if held is None else pa.concat_batches([held, batch])
        # What comes after its last row is in the next batch.
        held = known.slice(known.num_rows - 1)
        yield from _ended(known)
    if held is not None:
        yield from _without_end_rows(held)


def _ended(known: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    rows, after = known.slice(0, known.num_rows - 1), known.slice(1)
    same = pc.equal(rows["session_id"], after["session_id"])
    end = pc.or_(rows["end"], pc.and_(same, after[END_ROW]))
    yield from _without_end_rows(rows.set_column(rows.schema.get_field_index("end"), "end", end))


def _without_end_rows(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    clicks = rows.filter(pc.invert(rows[END_ROW]))
    if clicks.num_rows:
        yield clicks


def with_depths(batches: Iterable[pa.RecordBatch], at_most: int) -> Iterator[pa.RecordBatch]:
    """Sorted clicks with their `page`: how many products of its category the session has shown up to it."""
    session, depth = None, SessionDepth(at_most)
    for batch in batches:
        pages = []
        columns = (batch[name].to_pylist() for name in ("session_id", "category", "product"))
        for session_id, category, product in zip(*columns, strict=True):
            if session_id != session:
                session, depth = session_id, SessionDepth(at_most)
            pages.append(depth.next(category, product))
        place = batch.schema.get_field_index("page")
        yield batch.set_column(place, "page", pa.array(pages, pa.int64()))
