"""Scores as they are shown: the records themselves, chosen fields as JSON or TSV, a table that grows."""

from __future__ import annotations

import select
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clickstream.features.condition import ValueKind
from clickstream.features.shop import UCI553, Shop
from clickstream.models.scorers import scorers_of
from clickstream.terminal.printable import printable
from clickstream.terminal.scores.fields import ScoreField, ScoreObject, value_at


class Writer(Protocol):
    """Takes scores, and shows them at each `flush`."""

    def write(self, value: bytes, score: ScoreObject | None, /) -> None:
        """Queue a record: its bytes, and the score in them, None where it is none."""

    def flush(self) -> None:
        """Show what is queued."""

    def is_read(self) -> bool:
        """False once nobody reads any more."""


class LineWriter:
    """Each record as it is on the topic, a line."""

    def write(self, value: bytes, _score: ScoreObject | None, /) -> None:
        """Queue a line."""
        self._put(value)

    def flush(self) -> None:
        """Hand the lines over."""
        sys.stdout.buffer.flush()

    def is_read(self) -> bool:
        """False once the reader of the pipe has gone, which a write would only show with the next score."""
        try:
            poll = select.poll()
            poll.register(sys.stdout.buffer.fileno(), 0)
            return not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
        except (OSError, ValueError):
            return True

    def _put(self, line: bytes) -> None:
        sys.stdout.buffer.write(line + b"\n")


class JsonFieldWriter(LineWriter):
    """The chosen fields of each score as an object, a line. What is no score has none, and is left out."""

    def __init__(self, fields: Sequence[ScoreField]) -> None:
        self._fields = fields

    def write(self, _value: bytes, score: ScoreObject | None, /) -> None:
        """Queue a line, if it is a score."""
        if score is not None:
            self._put(orjson.dumps({field.name: field.of(score) for field in self._fields}))


class TsvFieldWriter(LineWriter):
    """The chosen fields of each score, tabs between them, below a line with their names.

    Null is empty. A text keeps its line: tabs, line ends and what is not visible are written as escapes.
    """

    def __init__(self, fields: Sequence[ScoreField]) -> None:
        self._fields = fields
        self._begun = False

    def write(self, _value: bytes, score: ScoreObject | None, /) -> None:
        """Queue a line, if it is a score."""
        if not self._begun:
            self._begun = True
            self._put("\t".join(field.name for field in self._fields).encode())
        if score is not None:
            self._put("\t".join(_plain(field.of(score)) for field in self._fields).encode())


class TableWriter:
    """Each score as a row; the table grows with the screen. A score of another shop is named as such."""

    def __init__(self, console: Console, scorer: str, shop: Shop = UCI553) -> None:
        self._console = console
        self._scorer = scorer
        self._scorers = scorers_of(shop)
        self._shop = shop.definition
        self._has_revenue = shop.definition.goal.value is not None
        self._pending: list[ScoreObject | None] = []
        self._begun = False

    def write(self, _value: bytes, score: ScoreObject | None, /) -> None:
        """Queue a row."""
        self._pending.append(score)

    def flush(self) -> None:
        """Show the rows."""
        if not self._pending:
            return
        rows = self._table()
        if not self._begun:
            self._begun = True
            rows.add_row(*(Text(title, style="bold") for title in self._titles()))
        for score in self._pending:
            rows.add_row(*self._row(score))
        self._pending.clear()
        self._console.print(rows)

    def is_read(self) -> bool:
        """True: a terminal is always read."""
        return True

    def _titles(self) -> tuple[str, ...]:
        return ("session", "clicks", "closed", *self._scorers, *["revenue"] * self._has_revenue, "cluster")

    def _table(self) -> Table:
        table = _bare_table()
        table.add_column(width=16, no_wrap=True)
        table.add_column(width=6, no_wrap=True, justify="right")
        table.add_column(width=6, no_wrap=True)
        for width in (*(max(len(name), 6) for name in self._scorers), *[8] * self._has_revenue):
            table.add_column(width=width, no_wrap=True, justify="right")
        # Names that are made of what sets a centre apart are longer than those of the published work.
        table.add_column(width=14 if self._shop == UCI553.definition else 28, no_wrap=True)
        table.add_column(no_wrap=True)
        return table

    def _row(self, score: ScoreObject | None) -> tuple[Text, ...]:
        if score is not None:
            # A record of somebody else may hold anything.
            with suppress(LookupError, TypeError, ValueError, AttributeError):
                return self._cells(score)
        return (Text("not a score", style="red"),)

    def _cells(self, score: ScoreObject) -> tuple[Text, ...]:
        conversions = [value_at(score, ("predictions", name, "conversion")) for name in self._scorers]
        revenue = value_at(score, ("predictions", self._scorer, "revenue"))
        if value_at(score, ("predictions", self._scorer)) is None:
            cluster = Text(printable(score["error"] or "-"), style="red")
        else:
            cluster = Text(printable(score["predictions"][self._scorer]["cluster_name"]))
        name = value_at(score, ("shop", "name"))
        ours = value_at(score, ("shop", "hash")) == self._shop.hash
        return (
            Text(printable(score["session_id"])),
            Text(str(score["clicks"])),
            Text(printable(score["closed_by"])),
            *(Text("-" if value is None else f"{value:.2f}") for value in conversions),
            *[Text("-" if revenue is None else self._amount(revenue))] * self._has_revenue,
            cluster,
            Text("" if ours else f"shop {printable(str(name))}", style="yellow"),
        )

    def _amount(self, value: float) -> str:
        return f"${value:.2f}" if self._shop.currency == "USD" else f"{value:.2f}"


class FieldTableWriter(TableWriter):
    """The chosen fields of each score as a row."""

    def __init__(self, console: Console, fields: Sequence[ScoreField]) -> None:
        super().__init__(console, "batch")
        self._fields = fields

    def _titles(self) -> tuple[str, ...]:
        return tuple(field.name for field in self._fields)

    def _table(self) -> Table:
        table = _bare_table()
        for field in self._fields:
            width = max(len(field.name), 8 if field.kind in (ValueKind.number, ValueKind.truth) else 16)
            number = field.kind is ValueKind.number
            table.add_column(width=width, no_wrap=True, justify="right" if number else "left")
        return table

    def _cells(self, score: ScoreObject) -> tuple[Text, ...]:
        return tuple(Text(_short(field.of(score))) for field in self._fields)


def _bare_table() -> Table:
    return Table(box=None, show_header=False, padding=(0, 1, 0, 0))


def _plain(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return printable(text)


def _short(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else _plain(value)
