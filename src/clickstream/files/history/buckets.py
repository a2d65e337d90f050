"""Buckets: the clicks of a log, each session whole in one of them, sorted as the fold takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from clickstream.features.definition import FieldType, ShopDefinition
from clickstream.files.history.engine import named, open_engine, parquet
from clickstream.files.history.finishing import END_ROW, with_depths, with_ends
from clickstream.infra.errors import InputError

ROWS_OF_A_BATCH = 65_536

_ARROW = {
    FieldType.TEXT: pa.string(),
    FieldType.NUMBER: pa.float64(),
    FieldType.INTEGER: pa.int64(),
    FieldType.BOOLEAN: pa.bool_(),
}


class RefusedExample(NamedTuple):
    """A row that cannot be used. `line` counts from 1 in a text, rows in Parquet; None: not known."""

    file: str
    line: int | None
    reason: str
    detail: str


@dataclass(frozen=True)
class RefusedRows:
    """The rows that cannot be used: how many by reason, the most frequent first, and up to 1,000 of them."""

    reasons: Mapping[str, int]
    examples: tuple[RefusedExample, ...] = field(repr=False)

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.reasons.values())


class Finishing(NamedTuple):
    """What is done to the clicks of a bucket when they are sorted.

    Attributes:
        with_end_rows: rows among them say that a visit is over.
        levels: a table of mean prices that `price_2` is derived from.
        depth: the largest `page`, where that is derived.
    """

    with_end_rows: bool = False
    levels: Path | None = None
    depth: int | None = None


@dataclass(frozen=True)
class ClickBuckets:
    """The clicks of a log in so many buckets; can be sent to another process on this machine.

    A session lies whole in one bucket: which one is the same on every machine.

    Attributes:
        rows: of the log: each was kept, left out on purpose, or refused.
        notes: sentences about what was unusual and taken all the same.
    """

    definition: ShopDefinition
    work: Path
    memory_mib: int
    buckets: int
    rows: int
    kept: int
    left_out: int
    refused: RefusedRows
    finishing: Finishing
    notes: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Of the batches."""
        return schema_of(self.definition)

    def batches(self, bucket: int) -> Iterator[pa.RecordBatch]:
        """The clicks of a bucket, sorted by session id and then as the fold takes them.

        Raises:
            InputError: a file of them was damaged since.
            StorageError, ConfigurationError: as of `open_engine`.
        """
        files = self._files(bucket)
        if not files:
            return
        finishing = self.finishing
        clicks = parquet(files)
        if finishing.levels is not None:
            mean = f"(SELECT category, mean FROM {parquet([finishing.levels])})"
            level = "CASE WHEN price > mean THEN 1 ELSE 2 END AS price_2"
            clicks = f"(SELECT * REPLACE ({level}) FROM {clicks} LEFT JOIN {mean} USING (category))"
        order = ", ".join(f"{named(name)} NULLS FIRST" for name in sort_order(self.definition))
        columns = ", ".join(map(named, [*self.schema.names, END_ROW]))
        with open_engine(self.work, self.memory_mib, [], self._damaged) as engine:
            found = engine.execute(f"SELECT {columns} FROM {clicks} ORDER BY {order}")
            batches: Iterator[pa.RecordBatch] = iter(found.to_arrow_reader(ROWS_OF_A_BATCH))
            yield from finished(batches, self.schema, finishing)

    def all_batches(self) -> Iterator[pa.RecordBatch]:
        """The clicks of all buckets, session after session."""
        for bucket in range(self.buckets):
            yield from self.batches(bucket)

    def unsorted(self, bucket: int) -> Iterator[pa.RecordBatch]:
        """The clicks of a bucket as they came, with END_ROW, for who sorts them elsewhere: see `finished`."""
        schema = unsorted_schema(self.definition)
        for path in self._files(bucket):
            for batch in pq.ParquetFile(path).iter_batches(ROWS_OF_A_BATCH, columns=schema.names):
                yield batch.select(schema.names).cast(schema)

    def _damaged(self, _: Exception, said: str) -> InputError:
        return InputError(
            f"the clicks in {self.work} are damaged: {said}",
            f"Remove {self.work} and run the command again, which reads the log once more.",
        )

    def _files(self, bucket: int) -> list[Path]:
        return sorted((self.work / "clicks" / f"bucket={bucket}").glob("*.parquet"))


def finished(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, finishing: Finishing
) -> Iterator[pa.RecordBatch]:
    """Clicks in `sort_order` without what only led to them. Prices have their levels already."""
    if finishing.with_end_rows:
        batches = with_ends(batches)
    if finishing.depth is not None:
        batches = with_depths(batches, finishing.depth)
    for batch in batches:
        yield batch.select(schema.names).cast(schema)


def schema_of(definition: ShopDefinition) -> pa.Schema:
    """The clicks of a shop."""
    return pa.schema(
        [
            pa.field("session_id", pa.string()),
            pa.field("event_time", pa.int64()),
            pa.field("order", pa.int32()),
            *(pa.field(one.name, _ARROW[one.type]) for one in definition.fields),
            pa.field("end", pa.bool_()),
        ]
    )


def unsorted_schema(definition: ShopDefinition) -> pa.Schema:
    """The clicks of a shop before they are sorted and finished: with END_ROW."""
    return schema_of(definition).append(pa.field(END_ROW, pa.bool_()))


def sort_order(definition: ShopDefinition) -> list[str]:
    """The columns by which clicks are sorted, those without a value first: session by session, each as its
    fold sorts it, and then by all that is left, so that the order of rows in the log leaves no trace.
    """
    used = [one.name for one in definition.used_fields()]
    others = [name for name in used if name not in definition.identity]
    left = [
        one.name for one in definition.fields if one.name not in used and one.name not in definition.identity
    ]
    # Of one moment an end row stands after the clicks.
    return ["session_id", "event_time", END_ROW, "order", *definition.identity, *others, "end", *left]
