"""Partition: a log of any size as buckets of clicks, in one pass of DuckDB, within a bound of memory."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import UCI553
from clickstream.files.history.buckets import (
    ClickBuckets,
    Finishing,
    RefusedExample,
    RefusedRows,
    unsorted_schema,
)
from clickstream.files.history.engine import named, parquet, quoted
from clickstream.files.history.finishing import END_ROW
from clickstream.files.history.inputs import LogFile
from clickstream.files.history.kept import BucketRow, Example, KeptRows, Place, RowTarget
from clickstream.files.history.places import find_lines, lines_at
from clickstream.files.history.plain import DOUBTFUL, LEFT_OUT, Table, bucket_of, plain_clicks
from clickstream.files.history.select import LOG, LONGEST_LINE_IN_SQL, MAPPED, unread_of
from clickstream.files.history.spoiled import EXAMPLES, check_marks
from clickstream.files.history.tables import by_hand, object_of_line, open_table, rejected, typed_table
from clickstream.files.mapping.derive import MEAN_PRICES
from clickstream.files.mapping.judge import REFUSED, RowJudge, reason_of, refusal_of
from clickstream.files.mapping.spec import ColumnMapping, UciMapping, mapping_by_name
from clickstream.files.mapping.table import columns_of
from clickstream.files.sifting import sift_dataset
from clickstream.infra.days import midnight
from clickstream.infra.errors import InputError
from clickstream.infra.words import counted

if TYPE_CHECKING:
    import duckdb

_SHOWN = 5
_AT_ONCE = 8_192
_HALF = "not JSON that SQL reads: half a character, as \\ud800, or one that must be escaped"
_LONGEST_DETAIL = 1_000


class Partitioning:
    """One pass over a log.

    Methods that take files raise SpoiledError where rows of one must be taken out first.
    """

    def __init__(
        self,
        engine: duckdb.DuckDBPyConnection,
        definition: ShopDefinition,
        mapping: ColumnMapping,
        work: Path,
        buckets: int,
        examples: int = EXAMPLES,
    ) -> None:
        self._most_examples = examples
        self._engine = engine
        self._definition = definition
        self._mapping = mapping
        self._clicks = work / "clicks"
        self._buckets = buckets
        self._target = RowTarget(definition, mapping)
        # A log whose columns are named as the fields need not have those that a click may lack.
        self._by_name = definition is not UCI553.definition and mapping == mapping_by_name(definition)
        self._reasons: Counter[str] = Counter()
        self._examples: list[Example] = []
        self._left_out = 0
        self._unread: list[str] = []
        self._parts = 0

    def take(self, files: Sequence[LogFile]) -> None:
        """Put the rows of files of one layout into their buckets."""
        table = open_table(self._engine, files, self._mapping, self._by_name)
        first = len(self._examples)
        with self._judged() as kept:
            judge = self._sort_out(table, files[0].name, kept)
            self._refuse_spoiled(files)
            if files[0].format != "parquet":
                columns = columns_of(table.mapping)
                for file, start, text, problem in rejected(self._engine, files):
                    for line, row in by_hand(text, files[0], columns, problem):
                        self._take(judge, row, Place(file, line, start=start), kept)
        self._examples[first:] = self._placed(files, columns_of(table.mapping), self._examples[first:])

    def take_selected(self, log: Sequence[LogFile], name: str, places: str) -> None:
        """Put what a SELECT yields into the buckets; rows of the log that are none never come to it."""
        table = typed_table(self._engine, name, MAPPED, places, self._mapping, may_lack=False)
        first = len(self._examples)
        with self._judged() as kept:
            self._sort_out(table, name if len(log) > 1 else log[0].name, kept)
        names = {one.path: one.name for one in log}
        for number, one in enumerate(self._examples[first:], first):
            # A log may have a column of this name, which says nothing of where a row stands.
            file = names.get(one.place.file, name if len(log) > 1 else log[0].name)
            self._examples[number] = one._replace(place=one.place._replace(file=file))
        first = len(self._examples)
        self._refuse_spoiled(log)
        for place, wrong in self._unselected(LOG, log):
            self._refuse(place, reason_of(wrong), wrong)
        self._examples[first:] = self._placed(log, [], self._examples[first:])

    def note_unread(self, beside: Mapping[str, LogFile]) -> None:
        """Note how many rows of further files, by the names of their views, the SELECT has not seen."""
        check_marks(self._engine, list(beside.values()))
        for name, file in beside.items():
            spoiled = len(file.spoiled.shown) + sum(count for _, count in file.spoiled.others)
            if unread := spoiled + sum(1 for _ in self._unselected(name, [file])):
                self._unread.append(f"{counted(unread, 'row')} of {file.name} cannot be read: left out")

    def _sort_out(self, table: Table, name: str, kept: KeptRows) -> RowJudge[BucketRow]:
        """Put the plain rows of a table into their buckets, and let the judge have the others.

        Args:
            name: of the file, where the table does not say it.
        """
        judge = RowJudge(name, table.mapping, self._target, table.fetch)
        self._write(plain_clicks(table, self._definition, self._target, self._buckets), self._part())
        folder = self._clicks / f"bucket={DOUBTFUL}"
        for path in sorted(folder.glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(8_192, columns=["filename", "row", "judged"]):
                for one in batch.to_pylist():
                    row = table.row_of(one["judged"])
                    place = Place(one["filename"] or name, one["row"], tuple(one["judged"]))
                    self._take(judge, row, place, kept)
        shutil.rmtree(folder, ignore_errors=True)
        return judge

    def _refuse_spoiled(self, files: Sequence[LogFile]) -> None:
        check_marks(self._engine, files)
        for file in files:
            for row in file.spoiled.shown:
                self._refuse(Place(file.path, row.line), reason_of(row.problem), row.problem)
            self._reasons.update(dict(file.spoiled.others))

    def _unselected(self, name: str, files: Sequence[LogFile]) -> Iterator[tuple[Place, str]]:
        """The rows of the files of a view that are none of its rows, and what is wrong with them."""
        if any(file.format == "jsonl" for file in files):
            found = self._engine.execute(f"SELECT filename, line FROM {unread_of(name)}")
            while rows := found.fetchmany(_AT_ONCE):
                for path, line in rows:
                    row = object_of_line(line)
                    yield Place(path, None, (line,)), row if isinstance(row, str) else _HALF
        for file in files:
            if file.format == "parquet":
                continue
            longest = (f"{LONGEST_LINE_IN_SQL:,} characters",) if file.format == "jsonl" else ()
            for path, start, text, problem in rejected(self._engine, [file], *longest):
                for number, row in by_hand(text, file, [], problem):
                    wrong = row if isinstance(row, str) else "empty fields beyond the header"
                    yield Place(path, number, start=start), wrong

    def _placed(self, files: Sequence[LogFile], columns: list[str], examples: list[Example]) -> list[Example]:
        """These examples, of rows of these files, with the lines that they stand on."""
        found = []
        for file in files:
            of_file = [one for one in examples if one.place.file == file.path]
            searched = [one for one in of_file if one.place.line is None]
            lines: list[int | None] = [None] * len(searched)
            if searched and file.format != "parquet":
                lines = find_lines(file, [one.place.held for one in searched], columns)
            starts = [one.place.start for one in of_file if one.place.start is not None]
            firsts = lines_at(file, starts) if starts else {}
            of_rows = dict(zip(map(id, searched), lines, strict=True))
            placed = []
            for one in of_file:
                line = of_rows.get(id(one), one.place.line)
                if one.place.start is not None and line is not None:
                    line = file.line_of(line + firsts[one.place.start] - 1)
                placed.append(one._replace(place=Place(file.name, line)))
            found += sorted(placed, key=lambda one: one.place.line or 0)
        return found

    def take_layout_of_uci(self, files: Sequence[Path]) -> None:
        """Put the clicks of files in the layout of UCI 553, which the row-by-row reader bounds in size."""
        with self._judged() as kept:
            for path in files:
                dataset, cleaning = sift_dataset(path)
                for one in cleaning.refused:
                    self._refuse(Place(cleaning.name, one.line), one.reason, one.detail)
                for click in dataset.clicks:
                    fields = tuple(getattr(click, one.name) for one in self._definition.fields)
                    # The file has days and orders, and no times.
                    at = midnight(click.day) + click.order
                    kept.append(BucketRow(click.session_id, at, click.order, fields, click.end, False))

    def finish(self, memory_mib: int) -> ClickBuckets:
        """What is in the buckets.

        Raises:
            InputError: nothing is.
        """
        self._left_out += _rows_in(self._clicks / f"bucket={LEFT_OUT}")
        shutil.rmtree(self._clicks / f"bucket={LEFT_OUT}", ignore_errors=True)
        files = sorted(self._clicks.glob("*/*.parquet"))
        clicks = parquet(files)
        fields = [one.name for one in self._definition.fields]
        counts = ", ".join(
            ["count(*)", f"count_if({END_ROW})", *(f"count({named(name)})" for name in fields)]
        )
        found = self._engine.execute(f"SELECT {counts} FROM {clicks}").fetchone() if files else None
        kept, end_rows, *of_fields = found or (0, 0)
        kept, left_out = kept - end_rows, self._left_out + end_rows
        shown = (RefusedExample(one.place.file, one.place.line, *one[1:]) for one in self._examples)
        refused = RefusedRows(dict(self._reasons.most_common()), tuple(shown))
        rows = kept + left_out + refused.count
        _refuse_nothing(rows, kept, left_out, refused)
        absent = [name for name, count in zip(fields, of_fields, strict=True) if not count]
        levels, depth = None, None
        if isinstance(self._mapping, UciMapping):
            spec = self._mapping.clicks
            depth = None if spec.page.derive is None else spec.page.at_most
            if spec.price_2.derive is not None:
                levels = self._clicks.parent / "levels.parquet"
                means = MEAN_PRICES.replace("clicks", f"(SELECT * FROM {clicks} WHERE NOT {END_ROW})")
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
            (*self._unread, *self._notes(absent)),
        )

    def _notes(self, absent: Sequence[str]) -> Iterator[str]:
        """Of the fields that no click has, those that the mapping takes from a column."""
        if self._by_name:
            return
        for name, spec in self._mapping.clicks.targets.items():
            if name in absent and spec.column is not None:
                yield f"no click has a {name}: is the column {spec.column!r} that the mapping names empty?"

    def _part(self) -> str:
        self._parts += 1
        return f"part{self._parts}"

    def _write(self, selected: str, part: str) -> None:
        self._engine.execute(
            f"COPY ({selected}) TO {quoted(str(self._clicks))} (FORMAT parquet, PARTITION_BY (bucket),"
            f" FILENAME_PATTERN {quoted(part + '_{i}')}, OVERWRITE_OR_IGNORE)"
        )

    @contextmanager
    def _judged(self) -> Iterator[KeptRows]:
        kept = KeptRows(self._flush)
        yield kept
        self._flush(kept)

    def _take(self, judge: RowJudge[BucketRow], row: Any, place: Place, kept: KeptRows) -> None:
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
            kept.append(BucketRow(*judged.end, None, nothing, False, True))
        else:
            self._left_out += 1

    def _refuse(self, place: Place, reason: str, detail: str) -> None:
        self._reasons[reason] += 1
        if len(self._examples) < self._most_examples:
            self._examples.append(Example(place, reason, detail[:_LONGEST_DETAIL]))

    def _flush(self, kept: list[BucketRow]) -> None:
        if not kept:
            return
        schema = unsorted_schema(self._definition)
        rows = ((one[0], one[1], one[2], *one.fields, one.end, one.is_end_row) for one in kept)
        columns = [
            pa.array(column, field.type)
            for column, field in zip(zip(*rows, strict=True), schema, strict=True)
        ]
        path = self._clicks / f"{self._part()}.judged"
        pq.write_table(pa.table(columns, schema=schema), path)
        bucket = bucket_of("session_id", self._buckets)
        self._write(f"SELECT {bucket} AS bucket, * FROM {parquet([path])}", self._part())
        path.unlink()
        kept.clear()


class NoClicksError(InputError):
    """No row of the log can be used; `left_out` are so on purpose."""

    def __init__(self, what: str, remedy: str, rows: int, left_out: int, refused: RefusedRows) -> None:
        super().__init__(what, remedy)
        self.rows = rows
        self.left_out = left_out
        self.refused = refused

    def __reduce__(self) -> tuple[Any, ...]:
        # A process that reads apart sends it.
        return type(self), (self.what, self.remedy, self.rows, self.left_out, self.refused)


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
