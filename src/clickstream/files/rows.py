"""The rows of a CSV in the layout of UCI 553, checked value by value.

Few values are distinct: a day, or what a click shows, is parsed once and then known by its number.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clickstream.files.source import WHERE
from clickstream.files.text import plain_integer, plain_number
from clickstream.infra.errors import InputError

CATEGORIES = {1: "trousers", 2: "skirts", 3: "blouses", 4: "sale"}

_SHOWN = 10
DAY = "year, month, day"
SESSION, ORDER, _PRICE, _PRODUCT = "session ID", "order", "price", "page 2 (clothing model)"
# The fields of View, by their columns, with the bounds of the numbers.
_BOUNDS = {
    "country": (0, 1_000_000),
    "page 1 (main category)": (1, 4),
    "colour": (0, 1_000_000),
    "location": (0, 1_000_000),
    "model photography": (0, 1_000_000),
    _PRICE: (0, 1_000_000_000),
    "price 2": (1, 2),
    "page": (1, 1_000_000),
}
_VIEW = (_PRODUCT, *_BOUNDS)
COLUMNS = (*DAY.split(", "), ORDER, SESSION, *_VIEW)


class PageView(NamedTuple):
    """What a click shows, and to whom; `price` in US dollars in UCI 553.

    A file of another layout may not say all of it, and may say that the visit is over.
    """

    country: int | None
    product: str
    category: str
    colour: int | None
    location: int | None
    photography: int | None
    price: float
    price_2: int
    page: int
    end: bool = False


class ValueProblem(NamedTuple):
    """A value that is wrong, in the row of this number; the header is row 1."""

    row: int
    column: str
    value: str
    expected: str

    def __str__(self) -> str:
        return f"  row {self.row}, {self.column}: {self.value!r}, {self.expected}"


@dataclass
class CodedRows:
    """Codes of the rows in file order, and the distinct values that they stand for.

    `numbers` are those by which messages name the rows.
    """

    days: dict[tuple[str, ...], int] = field(default_factory=dict)
    views: dict[tuple[str, ...], int] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    day_of: list[int] = field(default_factory=list)
    view_of: list[int] = field(default_factory=list)
    session_of: list[int] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    problems: list[ValueProblem] = field(default_factory=list)


class CheckedClicks(NamedTuple):
    """Checked rows, session by session: session s is rows `starts[s]` to `starts[s + 1]` of `view_of`."""

    views: tuple[PageView, ...]
    view_of: NDArray[np.int32]
    session_ids: tuple[str, ...]
    days: tuple[date, ...]
    starts: NDArray[np.int64]


def read_rows(name: str, content: bytes) -> CheckedClicks:
    """The clicks in `content`; `name` is for messages.

    Raises:
        InputError: it is no such CSV, or rows of it are wrong; names up to ten.
    """
    rows = _split(name, content)
    views, days = check_values(rows)
    _refuse(name, rows.problems)
    codes = np.array(rows.session_of)
    by_session = np.argsort(codes, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(codes)))).astype(np.int64)
    day_of = np.array(rows.day_of)[by_session]
    _check_sessions(rows, by_session, starts[codes[by_session]], [str(day) for day in days], day_of)
    _refuse(name, rows.problems)
    return CheckedClicks(
        tuple(view for view in views if view),
        np.array(rows.view_of, np.int32)[by_session],
        tuple(rows.sessions),
        tuple(day for code in day_of[starts[:-1]].tolist() if (day := days[code])),
        starts,
    )


def missing_columns(columns: Sequence[str]) -> list[str]:
    """The columns of UCI 553 that are not among `columns`."""
    return [column for column in COLUMNS if column not in columns]


def take(rows: CodedRows, numbered: Iterable[tuple[int, list[str]]], columns: Sequence[str]) -> None:
    """Add the fields of rows, each with its number; one of another width is a problem, and not added."""
    width = len(columns)
    day = itemgetter(*map(columns.index, DAY.split(", ")))
    view = itemgetter(*map(columns.index, _VIEW))
    session, order = columns.index(SESSION), columns.index(ORDER)
    days, views, sessions = rows.days, rows.views, rows.sessions
    for number, values in numbered:
        if len(values) != width:
            expected = f"{len(values)} fields where the header has {width}"
            rows.problems.append(ValueProblem(number, "all", ";".join(values)[:60], expected))
            continue
        rows.day_of.append(days.setdefault(day(values), len(days)))
        rows.view_of.append(views.setdefault(view(values), len(views)))
        rows.session_of.append(sessions.setdefault(values[session].strip(), len(sessions)))
        rows.orders.append(values[order].strip())
        rows.numbers.append(number)


def check_values(rows: CodedRows) -> tuple[list[PageView | None], list[date | None]]:
    """The distinct views and days that the rows stand for; None, and a problem of each row, where wrong."""
    of_views: dict[int, list[_Wrong]] = defaultdict(list)
    views = [_view(values, of_views[code]) for values, code in rows.views.items()]
    of_days: dict[int, list[_Wrong]] = defaultdict(list)
    days = [_day(values, of_days[code]) for values, code in rows.days.items()]
    of_sessions = {
        code: [_Wrong(SESSION, session, "not 1 to 256 characters")]
        for session, code in rows.sessions.items()
        if not 1 <= len(session) <= 256
    }
    for codes, wrong in ((rows.view_of, of_views), (rows.day_of, of_days), (rows.session_of, of_sessions)):
        # One pass over the rows, however many distinct values are wrong.
        if any(wrong.values()):
            rows.problems += [
                ValueProblem(number, *found)
                for number, code in zip(rows.numbers, codes, strict=True)
                for found in wrong.get(code, ())
            ]
    return views, days


class _Wrong(NamedTuple):
    column: str
    value: str
    expected: str


def _split(name: str, content: bytes) -> CodedRows:
    if b"\0" in content:
        raise InputError(f"{name} is binary, not a CSV file", WHERE)
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
    reader = csv.reader(text, delimiter=";", strict=True)
    rows = CodedRows()
    try:
        columns = [column.strip() for column in next(reader)]
        if missing := missing_columns(columns):
            raise InputError(
                f"{name} lacks the columns {', '.join(missing)}; it begins with {';'.join(columns)[:200]!r}",
                "Columns are separated by ';' and named as in UCI 553. " + WHERE,
            )
        take(rows, enumerate(reader, 2), columns)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text: {error}", WHERE) from error
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: {error}", WHERE) from error
    # Rows left out would shift the numbers of those after them, so nothing else is checked.
    _refuse(name, rows.problems)
    if not rows.orders:
        raise InputError(f"{name} has a header but no clicks", WHERE)
    return rows


def _day(values: tuple[str, ...], wrong: list[_Wrong]) -> date | None:
    try:
        return date(*map(plain_integer, values))
    except (ValueError, OverflowError):
        wrong.append(_Wrong(DAY, "-".join(values), "not a date"))
        return None


def _view(values: tuple[str, ...], wrong: list[_Wrong]) -> PageView | None:
    numbers: dict[str, float] = {}
    for column, text in zip(_VIEW[1:], values[1:], strict=True):
        low, high = _BOUNDS[column]
        try:
            number = plain_number(text) if column == _PRICE else plain_integer(text)
        except ValueError:
            number = -1
        if low <= number <= high:
            numbers[column] = number
        else:
            kind = "number" if column == _PRICE else "whole number"
            wrong.append(_Wrong(column, text, f"not a {kind} from {low} to {high:,}"))
    product = values[0].strip()
    if not 1 <= len(product) <= 256:
        wrong.append(_Wrong(_PRODUCT, product, "not 1 to 256 characters"))
    if len(numbers) < len(_BOUNDS):
        return None
    country, category, colour, location, photography, price, price_2, page = numbers.values()
    return PageView(
        int(country),
        product,
        CATEGORIES[int(category)],
        int(colour),
        int(location),
        int(photography),
        float(price),
        int(price_2),
        int(page),
    )


def _check_sessions(
    rows: CodedRows,
    by_session: NDArray[np.intp],
    first: NDArray[np.int64],
    days: Sequence[str],
    day_of: NDArray[np.intp],
) -> None:
    """Orders run 1..n on one day; `first` is the place of each click's session in `by_session`."""
    expected = (np.arange(len(first)) - first + 1).tolist()
    for row, wanted in zip(by_session.tolist(), expected, strict=True):
        found = rows.orders[row]
        if found != str(wanted):
            whose = f"not {wanted}: the orders of a session run 1..n"
            rows.problems.append(ValueProblem(rows.numbers[row], ORDER, found, whose))
    for place in np.flatnonzero(day_of != day_of[first]).tolist():
        began = days[day_of[first[place]]]
        whose = f"a session stays on one day, this one began on {began}"
        number = rows.numbers[int(by_session[place])]
        rows.problems.append(ValueProblem(number, DAY, days[day_of[place]], whose))


def _refuse(name: str, problems: list[ValueProblem]) -> None:
    if not problems:
        return
    count = len({problem.row for problem in problems})
    lines = [str(problem) for problem in sorted(problems)[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"  and {len(problems) - _SHOWN} more")
    raise InputError(
        "\n".join([f"{name}: {count} of its rows are wrong", *lines]),
        "Correct these rows (row 1 is the header), or leave their sessions out.",
    )
