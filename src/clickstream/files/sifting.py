"""A file in the layout of UCI 553, taken row by row: what can be used is kept, and the rest reported.

The rows are checked as those of `read_dataset`, which refuses the whole file for one of them. Encoding and
delimiter may be others; orders may have holes, as a stream may. By hand, not by DuckDB: which session is
first, on which day it is, and which of two clicks of one order counts, is said by where their rows stand; and
the dataset needs no extra.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from clickstream.files.cleaning import MAX_ROWS, CleanedFile, CleaningReport, RefusedRow, refuse_empty
from clickstream.files.dataset import Dataset
from clickstream.files.rows import (
    COLUMNS,
    DAY,
    ORDER,
    CodedRows,
    ValueProblem,
    check_values,
    missing_columns,
    take,
)
from clickstream.files.source import WHERE, FileSource, read_source
from clickstream.files.text import (
    advice,
    below_head,
    encoding_of,
    head_of,
    named_columns,
    rows_of,
    width_problem,
    without_empty_end,
)
from clickstream.infra.errors import InputError
from clickstream.infra.words import counted

SiftingProgress = Callable[[float], None]
"""A function called with the share done, from 0 to 1."""

DELIMITERS = (";", ",", "\t")
LARGEST_ORDER = 1_000_000

_EVERY = 8_192
_LONGEST_TEXT = 1_000
_NAMES = {";": "';'", ",": "','", "\t": "tabulators"}


def silent(_share: float) -> None:
    """Report to nobody."""


def sift_dataset(
    source: FileSource, name: str | None = None, progress: SiftingProgress = silent
) -> CleanedFile:
    """The usable clicks of `source`, a CSV or a zip that holds one.

    Raises:
        MissingFileError: the file is not there.
        InputError: it is no such file, or no row of it can be used.
    """
    name, content = read_source(source, name)
    encoding = encoding_of(name, content)
    delimiter, columns = _layout(name, content, encoding)
    rows, broken, count = CodedRows(), {}, 0

    def numbered() -> Iterator[tuple[int, list[str]]]:
        nonlocal count
        for count, row in enumerate(below_head(content, encoding, delimiter), 1):
            if count > MAX_ROWS:
                raise InputError(
                    f"{name} has more than {counted(MAX_ROWS, 'row')}", "Split it into several files."
                )
            if count % _EVERY == 0:
                progress(min(0.9 * row.line * _BYTES_OF_ROW / len(content), 0.9))
            problem = row.problem or width_problem(
                row._replace(fields=without_empty_end(row.fields, len(columns))), len(columns)
            )
            if problem is None:
                yield row.line, without_empty_end(row.fields, len(columns))
            elif row.problem is None:
                text = delimiter.join(row.fields)[:_LONGEST_TEXT]
                broken[row.line] = RefusedRow(row.line, "fields", problem, text)
            else:
                broken[row.line] = RefusedRow(row.line, "text", row.problem, row.fields[0])

    take(rows, numbered(), columns)
    dataset, problems = _dataset(name, content, rows)
    del rows  # The texts of the file are most of what is held.
    wrong: dict[int, list[ValueProblem]] = defaultdict(list)
    for problem in problems:
        wrong[problem.row].append(problem)
    refused = broken | {
        line: _refused(line, wrong[line], text)
        for line, text in _texts(content, encoding, delimiter, wrong.keys())
    }
    cleaning = CleaningReport(
        name,
        "utf-8" if encoding == "utf-8-sig" else encoding,
        delimiter,
        count,
        len(dataset),
        0,
        tuple(refused[line] for line in sorted(refused)),
        _notes(encoding, delimiter),
    )
    refuse_empty(cleaning)
    progress(1.0)
    return CleanedFile(dataset, cleaning)


# Of UCI 553; only how smoothly a bar moves depends on it.
_BYTES_OF_ROW = 40


def _layout(name: str, content: bytes, encoding: str) -> tuple[str, list[str]]:
    """The delimiter under which the most columns are there, and the columns."""
    first, announced = head_of(content, encoding)
    delimiters = DELIMITERS if announced is None else (announced,)
    if first.problem is not None:
        raise InputError(
            f"{name} begins with {first.problem}, not with the names of {len(COLUMNS)} columns", WHERE
        )
    found: dict[str, list[str]] = {}
    for delimiter in delimiters:
        header = next(rows_of(iter([first]), delimiter), None)
        found[delimiter] = named_columns(header.fields) if header else []
    delimiter = min(delimiters, key=lambda one: len(missing_columns(found[one])))
    columns = found[delimiter]
    if missing := missing_columns(columns):
        if len(missing) == len(COLUMNS):
            delimiter = max(delimiters, key=lambda one: len(found[one]))
            columns = found[delimiter]
        raise InputError(
            f"{name} lacks the columns {', '.join(missing)}; its first line has"
            f" {', '.join(map(repr, columns))[:300]}",
            advice(missing, columns)
            + "A file of UCI 553 has columns of these names, separated by ';', ',' or tabulators. For a file"
            " of your own say with --mapping which column is which.",
        )
    if len(set(columns)) < len(columns):
        twice = sorted({column for column in columns if columns.count(column) > 1})
        raise InputError(f"{name} has columns twice: {', '.join(twice)[:300]}", "Leave one of each.")
    return delimiter, columns


def _dataset(name: str, content: bytes, rows: CodedRows) -> tuple[Dataset, list[ValueProblem]]:
    """The rows without a problem as a dataset, and all problems."""
    views, days = check_values(rows)
    orders = _orders(rows)
    wrong = {problem.row for problem in rows.problems}
    kept = np.array([n for n, number in enumerate(rows.numbers) if number not in wrong], np.int64)
    kept = kept[_of_one_day_and_order(rows, kept.tolist(), orders, [str(day) for day in days])]
    session_of = np.array(rows.session_of, np.int64)[kept]
    # Sessions as they first appear in the file, clicks in order.
    distinct, first = np.unique(session_of, return_index=True)
    rank = np.empty(len(rows.sessions), np.int64)
    rank[distinct[np.argsort(first)]] = np.arange(len(distinct))
    place_of = rank[session_of] if len(kept) else session_of
    by_session = np.lexsort((np.array(orders, np.int64)[kept], place_of))
    kept, place_of = kept[by_session], place_of[by_session]
    starts = np.searchsorted(place_of, np.arange(len(distinct) + 1))
    ids = list(rows.sessions)
    known = {code: n for n, code in enumerate(code for code, view in enumerate(views) if view)}
    view_of = np.array([known[rows.view_of[row]] for row in kept.tolist()], np.int32)
    first_rows = kept[starts[:-1]].tolist()
    return (
        Dataset(
            name,
            None,
            hashlib.sha256(content).hexdigest(),
            tuple(view for view in views if view),
            view_of,
            tuple(ids[rows.session_of[row]] for row in first_rows),
            tuple(day for row in first_rows if (day := days[rows.day_of[row]])),
            starts.astype(np.int64),
            np.array(orders, np.int64)[kept],
        ),
        rows.problems,
    )


def _orders(rows: CodedRows) -> list[int]:
    """The order of each row, 0 and a problem where it is none."""
    known: dict[str, int] = {}
    orders = []
    for number, text in zip(rows.numbers, rows.orders, strict=True):
        order = known.get(text)
        if order is None:
            order = int(text) if text.isascii() and text.isdecimal() and len(text) <= 7 else 0
            known[text] = order = order if order <= LARGEST_ORDER else 0
        if not order:
            expected = f"not a whole number from 1 to {LARGEST_ORDER:,}"
            rows.problems.append(ValueProblem(number, ORDER, text, expected))
        orders.append(order)
    return orders


def _of_one_day_and_order(
    rows: CodedRows, kept: list[int], orders: list[int], days: Sequence[str]
) -> list[int]:
    """Places in `kept` of the rows that fit the first ones of their session; a problem of each other."""
    day_of_session: dict[int, int] = {}
    seen: set[tuple[int, int]] = set()
    fit = []
    for place, row in enumerate(kept):
        session, day = rows.session_of[row], rows.day_of[row]
        began = day_of_session.setdefault(session, day)
        if day != began:
            expected = f"a session stays on one day, this one began on {days[began]}"
            rows.problems.append(ValueProblem(rows.numbers[row], DAY, days[day], expected))
        elif (session, orders[row]) in seen:
            expected = "this session has a click of that order already"
            rows.problems.append(ValueProblem(rows.numbers[row], ORDER, rows.orders[row], expected))
        else:
            seen.add((session, orders[row]))
            fit.append(place)
    return fit


def _texts(
    content: bytes, encoding: str, delimiter: str, lines: Collection[int]
) -> Iterator[tuple[int, str]]:
    """The rows that end on these lines, as they are in the file."""
    if not lines:
        return
    for row in below_head(content, encoding, delimiter):
        if row.line in lines:
            yield row.line, delimiter.join(row.fields)[:_LONGEST_TEXT]


def _refused(line: int, problems: list[ValueProblem], text: str) -> RefusedRow:
    detail = "; ".join(f"{p.column}: {p.value[:60]!r}, {p.expected}" for p in problems)
    first = problems[0]
    if first.column == "all":
        return RefusedRow(line, "fields", first.expected, text)
    return RefusedRow(line, first.column, detail[:_LONGEST_TEXT], text)


def _notes(encoding: str, delimiter: str) -> tuple[str, ...]:
    notes = []
    if delimiter != ";":
        notes.append(f"columns are separated by {_NAMES[delimiter]} instead of ';'")
    if not encoding.startswith("utf-8"):
        notes.append(f"the text is in {encoding.upper()} instead of UTF-8")
    return tuple(notes)
