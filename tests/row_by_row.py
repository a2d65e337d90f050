"""What a log holds, one row after the other in Python: what DuckDB reads of it must be the same."""

from __future__ import annotations

from bisect import bisect_right
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from clickstream.features.shop import Shop
from clickstream.files.cleaning import CleaningReport, RefusedRow
from clickstream.files.history.kept import RowTarget
from clickstream.files.mapping.fields import in_list, in_object
from clickstream.files.mapping.judge import REFUSED, RowJudge, reason_of, refusal_of
from clickstream.files.mapping.spec import ColumnMapping
from clickstream.files.mapping.table import columns_of, format_of, header_of, object_of
from clickstream.files.text import below_head, encoding_of, lines_of, width_problem, without_empty_end
from clickstream.records.shop_click import parser_of


class Row(NamedTuple):
    """A row, its text for people, and what is wrong with it as one."""

    line: int
    fields: Any
    text: str
    problem: str | None


class _Steps(RowTarget):
    """Clicks as the fold takes them, each with its session id."""

    def __init__(self, shop: Shop, mapping: ColumnMapping) -> None:
        super().__init__(shop.definition, mapping)
        self._parse, self._step_of = parser_of(shop.definition).click_of, shop.step_of
        self._time_source = mapping.time_source

    def click(self, found: dict[str, Any], ends: bool) -> Any:
        end = ends or bool(found.get("end"))
        click = self._parse(found | {"end": end, "time_source": self._time_source})
        return click.session_id, self._step_of(click)


def rows_of_text(content: bytes, mapping: ColumnMapping) -> tuple[str, str, Any, list[Row]]:
    """Encoding, delimiter, how a column is fetched, and the rows."""
    encoding = encoding_of("log", content, mapping.file.encoding)
    if (mapping.file.format or format_of(content, encoding)) == "jsonl":
        rows = []
        for line in lines_of(content, encoding):
            text = line.text.strip()
            if text:
                found = line.problem or object_of(text)
                rows.append(Row(line.number, found, text, found if isinstance(found, str) else None))
        return encoding, "", in_object, rows
    delimiter, columns = header_of("log", content, encoding, mapping.file, columns_of(mapping))
    rows = []
    for row in below_head(content, encoding, delimiter):
        fields = without_empty_end(row.fields, len(columns))
        problem = row.problem or width_problem(row._replace(fields=fields), len(columns))
        rows.append(Row(row.line, fields, delimiter.join(row.fields), problem))
    return encoding, delimiter, lambda column: in_list(columns, column), rows


def row_by_row(
    name: str, content: bytes, shop: Shop, mapping: ColumnMapping
) -> tuple[dict[str, list[Any]], CleaningReport]:
    """The clicks of each session in order, and what became of the rows."""
    encoding, delimiter, fetch, rows = rows_of_text(content, mapping)
    judge = RowJudge(name, mapping, _Steps(shop, mapping), fetch)
    clicks: list[Any] = []
    ends: list[tuple[str, int]] = []
    refused: list[RefusedRow] = []
    skipped = 0

    def refuse(row: Row, reason: str, detail: str) -> None:
        refused.append(RefusedRow(row.line, reason, detail[:1_000], row.text[:1_000]))

    for row in rows:
        if row.problem is not None:
            refuse(row, reason_of(row.problem), row.problem)
            continue
        try:
            judged = judge.judge(row.fields)
        except REFUSED as error:
            refuse(row, *refusal_of(error))
            continue
        if judged.click is not None:
            clicks.append(judged.click)
            continue
        skipped += 1
        if judged.end is not None:
            ends.append(judged.end)
    clicks.sort(key=lambda one: (one[0], one[1].sort_key, one[1].content))
    keys = [(session_id, step.event_time) for session_id, step in clicks]
    for end in ends:
        at = bisect_right(keys, end) - 1
        if at >= 0 and keys[at][0] == end[0]:
            clicks[at] = clicks[at][0], msgspec.structs.replace(clicks[at][1], end=True)
    cleaning = CleaningReport(
        name,
        "utf-8" if encoding == "utf-8-sig" else encoding,
        delimiter,
        len(rows),
        len(clicks),
        skipped,
        tuple(sorted(refused)),
    )
    by_session = groupby(clicks, key=lambda one: one[0])
    return {session_id: [step for _, step in found] for session_id, found in by_session}, cleaning
