"""Rows: what a CSV in the layout of UCI 553 says, checked value by value.

Few values are distinct: a day, or what a click shows, is parsed once and then known by its number.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clickstream.infra.errors import InputError
from clickstream.producer.source import WHERE

CATEGORIES = {1: "trousers", 2: "skirts", 3: "blouses", 4: "sale"}

_SHOWN = 10
_DAY = "year, month, day"
_SESSION, _ORDER, _PRICE, _PRODUCT = "session ID", "order", "price", "page 2 (clothing model)"
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
_COLUMNS = (*_DAY.split(", "), _ORDER, _SESSION, *_VIEW)


class View(NamedTuple):
    """What a click shows, and to whom; `price` in US dollars."""

    country: int
    product: str
    category: str
    colour: int
    location: int
    photography: int
    price: float
    price_2: int
    page: int


class Problem(NamedTuple):
    """A value that is wrong; the header is row 1."""

    row: int
    column: str
    value: str
    expected: str

    def __str__(self) -> str:
        return f"  row {self.row}, {self.column}: {self.value!r}, {self.expected}"


@dataclass
class Rows:
    """Codes of the rows in file order, and the distinct values that they stand for."""

    days: dict[tuple[str, ...], int] = field(default_factory=dict)
    views: dict[tuple[str, ...], int] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    day_of: list[int] = field(default_factory=list)
    view_of: list[int] = field(default_factory=list)
    session_of: list[int] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class Clicks(NamedTuple):
    """Checked rows, session by session: session s is rows `starts[s]` to `starts[s + 1]` of `view_of`."""

    views: tuple[View, ...]
    view_of: NDArray[np.int32]
    session_ids: tuple[str, ...]
    days: tuple[date, ...]
    starts: NDArray[np.int64]


def read_rows(name: str, content: bytes) -> Clicks:
    """The clicks in `content`; `name` is for messages.

    Raises:
        InputError: it is no such CSV, or rows of it are wrong; names up to ten.
    """
    rows = _split(name, content)
    views = [_view(values, code, rows) for values, code in rows.views.items()]
    days = [_day(values, code, rows) for values, code in rows.days.items()]
    for session, code in rows.sessions.items():
        if not 1 <= len(session) <= 256:
            _wrong(rows, rows.session_of, code, _SESSION, session, "not 1 to 256 characters")
    _refuse(name, rows.problems)
    codes = np.array(rows.session_of)
    by_session = np.argsort(codes, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(codes)))).astype(np.int64)
    day_of = np.array(rows.day_of)[by_session]
    _check_sessions(rows, by_session, starts[codes[by_session]], [str(day) for day in days], day_of)
    _refuse(name, rows.problems)
    return Clicks(
        tuple(view for view in views if view),
        np.array(rows.view_of, np.int32)[by_session],
        tuple(rows.sessions),
        tuple(day for code in day_of[starts[:-1]].tolist() if (day := days[code])),
        starts,
    )


def _split(name: str, content: bytes) -> Rows:
    if b"\0" in content:
        raise InputError(f"{name} is binary, not a CSV file", WHERE)
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
    reader = csv.reader(text, delimiter=";")
    rows = Rows()
    try:
        columns = [column.strip() for column in next(reader)]
        missing = [column for column in _COLUMNS if column not in columns]
        if missing:
            raise InputError(
                f"{name} lacks the columns {', '.join(missing)}; it begins with {';'.join(columns)[:200]!r}",
                "Columns are separated by ';' and named as in UCI 553. " + WHERE,
            )
        _take(rows, reader, columns)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text: {error}", WHERE) from error
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: {error}", WHERE) from error
    # Rows left out would shift the numbers of those after them, so nothing else is looked at.
    _refuse(name, rows.problems)
    if not rows.orders:
        raise InputError(f"{name} has a header but no clicks", WHERE)
    return rows


def _take(rows: Rows, reader: Iterable[list[str]], columns: list[str]) -> None:
    width = len(columns)
    day = itemgetter(*map(columns.index, _DAY.split(", ")))
    view = itemgetter(*map(columns.index, _VIEW))
    session, order = columns.index(_SESSION), columns.index(_ORDER)
    days, views, sessions = rows.days, rows.views, rows.sessions
    for row, values in enumerate(reader, 2):
        if len(values) != width:
            expected = f"{len(values)} fields where the header has {width}"
            rows.problems.append(Problem(row, "all", ";".join(values)[:60], expected))
            continue
        rows.day_of.append(days.setdefault(day(values), len(days)))
        rows.view_of.append(views.setdefault(view(values), len(views)))
        rows.session_of.append(sessions.setdefault(values[session].strip(), len(sessions)))
        rows.orders.append(values[order].strip())


def _day(values: tuple[str, ...], code: int, rows: Rows) -> date | None:
    try:
        return date(*map(int, values))
    except (ValueError, OverflowError):
        _wrong(rows, rows.day_of, code, _DAY, "-".join(values), "not a date")
        return None


def _view(values: tuple[str, ...], code: int, rows: Rows) -> View | None:
    numbers: dict[str, float] = {}
    for column, text in zip(_VIEW[1:], values[1:], strict=True):
        low, high = _BOUNDS[column]
        try:
            number = float(text) if column == _PRICE else int(text)
        except ValueError:
            number = -1
        if low <= number <= high:
            numbers[column] = number
        else:
            kind = "number" if column == _PRICE else "whole number"
            _wrong(rows, rows.view_of, code, column, text, f"not a {kind} from {low} to {high:,}")
    product = values[0].strip()
    if not 1 <= len(product) <= 256:
        _wrong(rows, rows.view_of, code, _PRODUCT, product, "not 1 to 256 characters")
    if len(numbers) < len(_BOUNDS):
        return None
    country, category, colour, location, photography, price, price_2, page = numbers.values()
    return View(
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
    rows: Rows,
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
            rows.problems.append(Problem(row + 2, _ORDER, found, whose))
    for place in np.flatnonzero(day_of != day_of[first]).tolist():
        began = days[day_of[first[place]]]
        whose = f"a session stays on one day, this one began on {began}"
        rows.problems.append(Problem(int(by_session[place]) + 2, _DAY, days[day_of[place]], whose))


def _wrong(rows: Rows, codes: list[int], code: int, column: str, value: str, expected: str) -> None:
    found = np.flatnonzero(np.array(codes) == code).tolist()
    rows.problems += [Problem(row + 2, column, value, expected) for row in found]


def _refuse(name: str, problems: list[Problem]) -> None:
    if not problems:
        return
    count = len({problem.row for problem in problems})
    told = [str(problem) for problem in sorted(problems)[:_SHOWN]]
    if len(problems) > _SHOWN:
        told.append(f"  and {len(problems) - _SHOWN} more")
    raise InputError(
        "\n".join([f"{name}: {count} of its rows are wrong", *told]),
        "Correct these rows (row 1 is the header), or leave their sessions out.",
    )
