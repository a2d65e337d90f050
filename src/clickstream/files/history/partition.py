"""Partition: a log of any size as buckets of clicks, in one pass of DuckDB, within a bound of memory."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553, Shop
from clickstream.files.history.buckets import (
    ClickBuckets,
    Finishing,
    RefusedExample,
    RefusedRows,
    schema_of,
)
from clickstream.files.history.engine import open_engine, quoted
from clickstream.files.history.inputs import LogFile, describe, find_files
from clickstream.files.history.places import Held, find_lines, lines_at
from clickstream.files.history.plain import DOUBTFUL, LEFT_OUT, Table, bucket_of, plain_clicks
from clickstream.files.history.tables import open_table, rejected
from clickstream.files.mapping.derive import MEAN_PRICES
from clickstream.files.mapping.judge import REFUSED, RowJudge, reason_of, refusal_of
from clickstream.files.mapping.rows import UciClicks
from clickstream.files.mapping.shop import ShopClicks
from clickstream.files.mapping.spec import (
    ColumnMapping,
    UciMapping,
    mapping_by_name,
    read_mapping,
    read_shop_mapping,
)
from clickstream.files.mapping.table import columns_of
from clickstream.files.sifting import sift_dataset
from clickstream.infra.errors import InputError, UsageError
from clickstream.infra.words import counted
from clickstream.records.shop_click import parser_of

if TYPE_CHECKING:
    import duckdb

_EXAMPLES = 1_000
_AT_ONCE = 50_000
_SHOWN = 5
_LONGEST_DETAIL = 1_000


def open_clicks(
    paths: Sequence[str | Path],
    shop: Shop,
    mapping: Path | ColumnMapping | None,
    *,
    work: Path,
    memory_mib: int,
    buckets: int,
) -> ClickBuckets:
    """The clicks of a log, in buckets by session id.

    Args:
        paths: files, folders and patterns of CSV, JSON lines and Parquet, packed by gz, zst or zip.
        mapping: onto the clicks of `shop`; a file of one; None: columns are named as the fields.
        work: a folder for what is between; it takes about as much room as the log in Parquet, and what is in
            it of an earlier call is replaced.
        memory_mib: of the whole process.

    Raises:
        MissingFileError: a file is not there.
        InputError: one is no log, lacks a column that the mapping names, or no row can be used.
        ConfigurationError: the extra `history` is not installed.
    """
    if not 1 <= buckets <= 1_024:
        raise UsageError(f"{buckets} buckets", "Take 1 to 1,024.")
    definition = shop.definition
    chosen = mapping_of(mapping, definition)
    files = find_files(paths)
    for folder in ("clicks", "text", "spilled"):
        shutil.rmtree(work / folder, ignore_errors=True)
    (work / "clicks").mkdir(parents=True, exist_ok=True)
    if chosen is None:
        engine = open_engine(work, memory_mib)
        try:
            run = _Partitioning(engine, definition, mapping_by_name(definition), work, buckets)
            run.take_layout_of_uci(files)
            return run.finish(memory_mib)
        finally:
            engine.close()
    described = [describe(path, chosen.file, columns_of(chosen), work) for path in files]
    engine = open_engine(work, memory_mib, [file.path for file in described])
    try:
        run = _Partitioning(engine, definition, chosen, work, buckets)
        for _, group in groupby(sorted(described, key=lambda one: str(one.layout)), lambda one: one.layout):
            run.take(list(group))
        return run.finish(memory_mib)
    finally:
        engine.close()


def mapping_of(given: Path | ColumnMapping | None, definition: ShopDefinition) -> ColumnMapping | None:
    """The mapping that `open_clicks` takes; None: the files are in the layout of UCI 553."""
    if isinstance(given, ColumnMapping):
        return given
    if definition is UCI553.definition:
        return None if given is None else read_mapping(given)
    if given is None:
        return mapping_by_name(definition)
    return read_shop_mapping(given, definition)


class _Row(NamedTuple):
    """A click as it lies in a bucket, or a row that ends a visit."""

    session_id: str
    event_time: int
    order: int | None
    fields: tuple[Any, ...]
    end: bool
    is_end_row: bool


class _Place(NamedTuple):
    """Where a row stands: its line, counted from the byte `start` where that is known; or what it holds."""

    file: str
    line: int | None
    held: Held = ()
    start: int | None = None


class _Example(NamedTuple):
    """A row that is refused."""

    place: _Place
    reason: str
    detail: str


class _Rows:
    """The target of the judge: rows of buckets."""

    def __init__(self, definition: ShopDefinition, mapping: ColumnMapping) -> None:
        of_uci = isinstance(mapping, UciMapping)
        self.field = (UciClicks() if of_uci else ShopClicks(definition, mapping)).field
        self._click_of = parser_of(definition).click_of
        self._names = [one.name for one in definition.fields]
        self._declared = {"price_2": 2, "page": 1} if of_uci else {}

    def click(self, found: dict[str, Any], ends: bool) -> _Row:
        found = self._declared | found | {"end": ends or bool(found.get("end"))}
        click = self._click_of(found)
        fields = tuple(getattr(click, name) for name in self._names)
        return _Row(click.session_id, click.event_time, click.order, fields, click.end, False)


class _Partitioning:
    """One pass over a log."""

    def __init__(
        self,
        engine: duckdb.DuckDBPyConnection,
        definition: ShopDefinition,
        mapping: ColumnMapping,
        work: Path,
        buckets: int,
    ) -> None:
        self._engine = engine
        self._definition = definition
        self._mapping = mapping
        self._clicks = work / "clicks"
        self._buckets = buckets
        self._target = _Rows(definition, mapping)
        # A log whose columns are named as the fields need not have those that a click may lack.
        self._by_name = definition is not UCI553.definition and mapping == mapping_by_name(definition)
        self._reasons: Counter[str] = Counter()
        self._examples: list[_Example] = []
        self._left_out = 0
        self._parts = 0

    def take(self, files: Sequence[LogFile]) -> None:
        """Put the rows of files of one layout into their buckets."""
        table = open_table(self._engine, files, self._mapping, self._by_name)
        target = self._target
        judge = RowJudge(files[0].name, table.mapping, target, table.fetch)
        self._write(plain_clicks(table, self._definition, target, self._buckets), self._part())
        first = len(self._examples)
        with self._judged() as kept:
            folder = self._clicks / f"bucket={DOUBTFUL}"
            for path in sorted(folder.glob("*.parquet")):
                for batch in pq.ParquetFile(path).iter_batches(8_192, columns=["filename", "row", "judged"]):
                    for one in batch.to_pylist():
                        row = table.row_of(one["judged"])
                        place = _Place(one["filename"], one["row"], tuple(one["judged"]))
                        self._take(judge, row, place, kept)
            shutil.rmtree(folder, ignore_errors=True)
            if files[0].format != "parquet":
                for file, start, line, row in rejected(self._engine, files, table):
                    self._take(judge, row, _Place(file, line, start=start), kept)
        self._examples[first:] = self._placed(files, table, self._examples[first:])

    def _placed(self, files: Sequence[LogFile], table: Table, examples: list[_Example]) -> list[_Example]:
        """These examples, of rows of these files, with the lines that they stand on."""
        columns = columns_of(table.mapping)
        found = []
        for file in files:
            of_file = [one for one in examples if one.place.file == file.path]
            searched = [one for one in of_file if one.place.line is None]
            lines = find_lines(file, [one.place.held for one in searched], columns) if searched else []
            starts = [one.place.start for one in of_file if one.place.start is not None]
            firsts = lines_at(file, starts) if starts else {}
            of_rows = dict(zip(map(id, searched), lines, strict=True))
            placed = []
            for one in of_file:
                line = of_rows.get(id(one), one.place.line)
                if one.place.start is not None and line is not None:
                    line += firsts[one.place.start] - 1
                placed.append(one._replace(place=_Place(file.name, line)))
            found += sorted(placed, key=lambda one: one.place.line or 0)
        return found

    def take_layout_of_uci(self, files: Sequence[Path]) -> None:
        """Put the clicks of files in the layout of UCI 553, which the row-by-row reader bounds in size."""
        with self._judged() as kept:
            for path in files:
                dataset, cleaning = sift_dataset(path)
                for one in cleaning.refused:
                    self._refuse(_Place(cleaning.name, one.line), one.reason, one.detail)
                for click in dataset.clicks:
                    day = datetime.combine(click.day, time(), UTC).timestamp()
                    fields = tuple(getattr(click, one.name) for one in self._definition.fields)
                    # The file has days and orders, and no times.
                    at = int(day) * 1_000 + click.order
                    kept.append(_Row(click.session_id, at, click.order, fields, click.end, False))

    def finish(self, memory_mib: int) -> ClickBuckets:
        """What is in the buckets.

        Raises:
            InputError: nothing is.
        """
        self._left_out += _rows_in(self._clicks / f"bucket={LEFT_OUT}")
        shutil.rmtree(self._clicks / f"bucket={LEFT_OUT}", ignore_errors=True)
        clicks = f"read_parquet({quoted(str(self._clicks / '*' / '*.parquet'))})"
        found = (
            self._engine.execute(f"SELECT count(*), count_if(is_end_row) FROM {clicks}")
            if any(self._clicks.glob("*/*.parquet"))
            else None
        )
        kept, end_rows = (found.fetchone() if found else None) or (0, 0)
        kept, left_out = kept - end_rows, self._left_out + end_rows
        shown = (RefusedExample(one.place.file, one.place.line, *one[1:]) for one in self._examples)
        refused = RefusedRows(dict(self._reasons.most_common()), tuple(shown))
        rows = kept + left_out + refused.count
        _refuse_nothing(rows, kept, left_out, refused)
        levels, depth = None, None
        if isinstance(self._mapping, UciMapping):
            spec = self._mapping.clicks
            depth = None if spec.page.derive is None else spec.page.at_most
            if spec.price_2.derive is not None:
                levels = self._clicks.parent / "levels.parquet"
                means = MEAN_PRICES.replace("clicks", f"(SELECT * FROM {clicks} WHERE NOT is_end_row)")
                self._engine.execute(f"COPY ({means}) TO {quoted(str(levels))} (FORMAT parquet)")
        return ClickBuckets(
            self._definition,
            self._clicks.parent,
            memory_mib,
            self._buckets,
            rows,
            kept,
            left_out,
            refused,
            Finishing(end_rows > 0, levels, depth),
        )

    def _part(self) -> str:
        self._parts += 1
        return f"part{self._parts}"

    def _write(self, selected: str, part: str) -> None:
        import duckdb

        try:
            self._engine.execute(
                f"COPY ({selected}) TO {quoted(str(self._clicks))} (FORMAT parquet, PARTITION_BY (bucket),"
                f" FILENAME_PATTERN {quoted(part + '_{i}')}, OVERWRITE_OR_IGNORE)"
            )
        except duckdb.Error as error:
            raise InputError(f"the log cannot be read: {str(error).splitlines()[0][:500]}") from error

    @contextmanager
    def _judged(self) -> Iterator[_Kept]:
        kept = _Kept(self._flush)
        yield kept
        self._flush(kept)

    def _take(self, judge: RowJudge[_Row], row: Any, place: _Place, kept: _Kept) -> None:
        if isinstance(row, str):
            self._refuse(place, reason_of(row), row)
            return
        try:
            judged = judge.judge(row)
        except REFUSED as error:
            self._refuse(place, *refusal_of(error))
            return
        if judged.click is not None:
            kept.append(judged.click)
        elif judged.end is not None:
            nothing = (None,) * len(self._definition.fields)
            kept.append(_Row(*judged.end, None, nothing, False, True))
        else:
            self._left_out += 1

    def _refuse(self, place: _Place, reason: str, detail: str) -> None:
        self._reasons[reason] += 1
        if len(self._examples) < _EXAMPLES:
            self._examples.append(_Example(place, reason, detail[:_LONGEST_DETAIL]))

    def _flush(self, kept: list[_Row]) -> None:
        if not kept:
            return
        schema = schema_of(self._definition).append(pa.field("is_end_row", pa.bool_()))
        rows = ((one[0], one[1], one[2], *one.fields, one.end, one.is_end_row) for one in kept)
        columns = [
            pa.array(column, field.type)
            for column, field in zip(zip(*rows, strict=True), schema, strict=True)
        ]
        path = self._clicks / f"{self._part()}.judged"
        pq.write_table(pa.table(columns, schema=schema), path)
        bucket = bucket_of("session_id", self._buckets)
        self._write(f"SELECT {bucket} AS bucket, * FROM read_parquet({quoted(str(path))})", self._part())
        path.unlink()
        kept.clear()


class _Kept(list[_Row]):
    """Clicks of the judge, which go into their buckets when there are many."""

    def __init__(self, flush: Callable[[list[_Row]], None]) -> None:
        super().__init__()
        self._flush = flush

    def append(self, click: _Row) -> None:
        super().append(click)
        if len(self) >= _AT_ONCE:
            self._flush(self)


class NoClicksError(InputError):
    """No row of the log can be used; `left_out` are so on purpose."""

    def __init__(self, what: str, remedy: str, rows: int, left_out: int, refused: RefusedRows) -> None:
        super().__init__(what, remedy)
        self.rows = rows
        self.left_out = left_out
        self.refused = refused


def _refuse_nothing(rows: int, kept: int, left_out: int, refused: RefusedRows) -> None:
    if kept:
        return
    if not rows:
        raise NoClicksError("the log has no rows", "Give files with clicks.", rows, left_out, refused)
    lines = [
        f"  {one.file}{'' if one.line is None else f', line {one.line}'}, {one.reason}: {one.detail}"
        for one in refused.examples[:_SHOWN]
    ]
    if refused.count > _SHOWN:
        lines.append(f"  and {refused.count - _SHOWN:,} more")
    skipped = f", {left_out:,} are left out by [rows]" if left_out else ""
    raise NoClicksError(
        "\n".join([f"none of {counted(rows, 'row')} can be used{skipped}", *lines]),
        "Look at the first rows with a text editor.",
        rows,
        left_out,
        refused,
    )


def _rows_in(folder: Path) -> int:
    return sum(pq.ParquetFile(path).metadata.num_rows for path in folder.glob("*.parquet"))
