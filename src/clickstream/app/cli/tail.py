"""`clickstream scores tail`: the scores as they come."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clickstream.app.printable import printable
from clickstream.app.servers import with_running_servers
from clickstream.infra.kafka import Reader, Record
from clickstream.infra.settings import load_settings

_PATIENCE_S = 5.0

Score = dict[str, Any]
Filter = Callable[[Score | None], bool]


class Scorer(StrEnum):
    """Whose prediction is looked at."""

    batch = "batch"
    online = "online"
    reference = "reference"


class Closing(StrEnum):
    """What closed a session."""

    end = "end"
    gap = "gap"
    limit = "limit"
    flush = "flush"


def tail(
    scores_topic: Annotated[str | None, typer.Option(help="Topic of the scores.")] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest score, not with the next one.")
    ] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Show what is on the topic now, oldest first, and stop.")
    ] = False,
    most: Annotated[int | None, typer.Option("--max", help="Stop after so many scores.", min=1)] = None,
    cluster: Annotated[str | None, typer.Option(help="Only sessions of the cluster of this name.")] = None,
    min_conversion: Annotated[
        float | None, typer.Option(help="Only sessions that convert with this probability or more.")
    ] = None,
    max_conversion: Annotated[
        float | None, typer.Option(help="Only sessions that convert with this probability or less.")
    ] = None,
    scorer: Annotated[
        Scorer, typer.Option(help="Whose conversion and cluster the filters look at.")
    ] = Scorer.batch,
    closed_by: Annotated[Closing | None, typer.Option(help="Only sessions that this closed.")] = None,
    session: Annotated[str | None, typer.Option(help="Only this session id.")] = None,
) -> None:
    """Follow the scores topic: a table on a terminal, JSON lines in a pipe.

    Subscribes without a group, so it disturbs nobody, and sees committed scores only. Ctrl-C ends it.
    """
    settings = with_running_servers(load_settings(scores_topic=scores_topic))
    passes = chosen(
        scorer.value, cluster, min_conversion, max_conversion, closed_by and closed_by.value, session
    )
    writer: Lines | Rows = Rows(Console(), scorer.value) if sys.stdout.isatty() else Lines()
    where = f"{settings.scores_topic} at {settings.kafka_bootstrap}"
    left = most
    try:
        with closing(Reader(settings, settings.scores_topic)) as reader:
            ends = reader.end_offsets()
            if not (from_beginning or until_end):
                for partition, offset in ends.items():
                    reader.seek(partition, offset)
            for batch in _until(reader, ends) if until_end else _for_ever(reader, writer, where):
                wanted = ((record, score) for record in batch if passes(score := _score(record)))
                for record, score in islice(wanted, left):
                    writer.write(record.value or b"", score)
                    if left is not None:
                        left -= 1
                writer.flush()
                if left == 0:
                    return
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # The reader has enough, as `head` does. What is still in the buffer must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def chosen(
    scorer: str = "batch",
    cluster: str | None = None,
    min_conversion: float | None = None,
    max_conversion: float | None = None,
    closed_by: str | None = None,
    session: str | None = None,
) -> Filter:
    """Whether a score passes the filters given; one without a prediction passes none that looks at it.

    What is no score (None) passes where there is no filter.
    """
    given = (cluster, min_conversion, max_conversion, closed_by, session)

    def passes(score: Score | None) -> bool:
        if score is None:
            return all(value is None for value in given)
        if session is not None and score["session_id"] != session:
            return False
        if closed_by is not None and score["closed_by"] != closed_by:
            return False
        if cluster is None and min_conversion is None and max_conversion is None:
            return True
        prediction = score["predictions"][scorer]
        if prediction is None:
            return False
        if cluster is not None and prediction["cluster_name"] != cluster:
            return False
        conversion = prediction["conversion"]
        return not (
            (min_conversion is not None and conversion < min_conversion)
            or (max_conversion is not None and conversion > max_conversion)
        )

    return passes


class Lines:
    """Each score as it is on the topic, a line."""

    def write(self, value: bytes, _score: Score | None) -> None:
        """Queue a line."""
        sys.stdout.buffer.write(value + b"\n")

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


class Rows:
    """Each score as a row; the table grows with the screen."""

    def __init__(self, console: Console, scorer: str) -> None:
        self._console = console
        self._scorer = scorer
        self._pending: list[Score | None] = []
        self._begun = False

    def write(self, _value: bytes, score: Score | None) -> None:
        """Queue a row."""
        self._pending.append(score)

    def flush(self) -> None:
        """Show the rows."""
        if not self._pending:
            return
        rows = _table()
        if not self._begun:
            self._begun = True
            rows.add_row(*(Text(title, style="bold") for title in self._titles()))
        for score in self._pending:
            rows.add_row(*_cells(score, self._scorer))
        self._pending.clear()
        self._console.print(rows)

    def is_read(self) -> bool:
        """A terminal is."""
        return True

    def _titles(self) -> tuple[str, ...]:
        names = ("session", "clicks", "closed", "batch", "online", "reference")
        return (*names, "revenue", "cluster")


def _until(reader: Reader, ends: dict[int, int]) -> Iterator[list[Record]]:
    for batch in reader.read_to(ends):
        yield [record for record in batch if record.offset < ends[record.partition]]


def _for_ever(reader: Reader, writer: Lines | Rows, where: str) -> Iterator[list[Record]]:
    """Batches as they come, until nobody reads; on a terminal, says what it waits for."""
    silent_since, told = time.monotonic(), not sys.stderr.isatty()
    while writer.is_read():
        batch = reader.poll()
        if batch:
            yield batch
            silent_since = time.monotonic()
        elif not told and time.monotonic() - silent_since > _PATIENCE_S:
            told = True
            message = (
                f"Waiting for scores on {where}. --from-beginning shows those that are there; Ctrl-C ends."
            )
            typer.echo(message, err=True)


def _score(record: Record) -> Score | None:
    """None for a record that is no score: somebody else writes to the topic."""
    try:
        score = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return None
    return score if isinstance(score, dict) and "score_id" in score else None


def _table() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(width=16, no_wrap=True)
    table.add_column(width=6, no_wrap=True, justify="right")
    table.add_column(width=6, no_wrap=True)
    for width in (6, 6, 9, 8):
        table.add_column(width=width, no_wrap=True, justify="right")
    table.add_column(width=14, no_wrap=True)
    return table


def _cells(score: Score | None, scorer: str) -> tuple[Text, ...]:
    if score is None:
        return (Text("not a score", style="red"),)
    conversions, asked = [], score["predictions"][scorer]
    for name in ("batch", "online", "reference"):
        prediction = score["predictions"][name]
        conversions.append(Text("-" if prediction is None else f"{prediction['conversion']:.2f}"))
    if asked is None:
        last = (Text("-"), Text(printable(score["error"] or "-"), style="red"))
    else:
        last = (Text(f"${asked['revenue']:.2f}"), Text(printable(asked["cluster_name"])))
    return (
        Text(printable(score["session_id"])),
        Text(str(score["clicks"])),
        Text(printable(score["closed_by"])),
        *conversions,
        *last,
    )
