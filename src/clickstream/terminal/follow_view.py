"""What `scores audit --follow` shows of its rounds: lines in a pipe, figures in place on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Protocol

import orjson
import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clickstream.audit import RoundReport
from clickstream.audit.follow import TopicProgress
from clickstream.audit.verdict import KINDS, Verdict
from clickstream.infra.errors import UnavailableError
from clickstream.infra.settings import Settings
from clickstream.infra.words import counted
from clickstream.terminal.audit_view import show_finding, unchecked_words
from clickstream.terminal.printable import plain
from clickstream.terminal.scores.writers import LineWriter


class RoundsView(Protocol):
    """What the rounds of an audit are shown on."""

    def reading(self, reading: TopicProgress) -> None:
        """A round is on its way."""

    def report(self, report: RoundReport) -> None:
        """A round is done, or the last one is left."""

    def away(self, error: UnavailableError) -> None:
        """The broker does not answer."""

    def is_read(self) -> bool:
        """False once nobody reads any more."""
        ...


class JsonLines:
    """A line a round; what hinders it goes to standard error, once."""

    def __init__(self) -> None:
        self._pipe = LineWriter()
        self._is_away = False

    def reading(self, _reading: TopicProgress) -> None:
        pass

    def report(self, report: RoundReport) -> None:
        if self._is_away:
            self._is_away = False
            typer.echo("the broker answers again", err=True)
        sys.stdout.buffer.write(orjson.dumps(report.as_dict(), default=str) + b"\n")
        sys.stdout.buffer.flush()

    def away(self, error: UnavailableError) -> None:
        if not self._is_away:
            self._is_away = True
            typer.echo(f"{error.what}; trying on", err=True)

    def is_read(self) -> bool:
        return self._pipe.is_read()


class Screen:
    """Findings, and below them figures that are renewed in place."""

    def __init__(self, live: Live, settings: Settings, every_s: float) -> None:
        self._live = live
        self._settings = settings
        self._every_s = every_s
        self._last: RoundReport | None = None
        self._notes: set[str] = set()

    def reading(self, reading: TopicProgress) -> None:
        self._draw(f"reading {reading.topic}: {reading.passed:,} of {reading.total:,}")

    def report(self, report: RoundReport) -> None:
        console = self._live.console
        for note in report.notes:
            if note not in self._notes:
                self._notes.add(note)
                console.print(f"[yellow]note:[/] {plain(note)}")
        for finding in report.findings:
            show_finding(finding, console)
        self._last = report
        at = time.strftime("%H:%M:%S", time.localtime(report.at / 1000))
        state = f"round {report.round:,} at {at}, the next in {self._every_s:g} s; Ctrl-C ends"
        if report.held:
            state = "an open transaction holds back what others published: waiting for it"
        elif not report.windows and not report.lag:
            state = f"no session has closed on {self._settings.clicks_topic}; {state}"
        self._draw(state)

    def away(self, error: UnavailableError) -> None:
        self._draw(f"{error.what}; trying on", style="bold yellow")

    def conclude(self, verdict: Verdict) -> None:
        """Leave a verdict where the state was."""
        if verdict == "not clean":
            self._draw("NOT CLEAN", style="bold red")
        elif self._last is None or not self._last.scored:
            self._draw("nothing was audited yet", style="bold yellow")
        elif verdict == "unchecked":
            self._draw(f"UNCHECKED: {unchecked_words(self._last)}", style="bold yellow")
        else:
            self._draw("exactly once so far", style="bold green")

    def is_read(self) -> bool:
        return True

    def _draw(self, state: str, style: str = "dim") -> None:
        lines: list[Table | Text] = []
        if self._last is not None:
            lines += [Text(""), _figures(self._last), Text(_sizes(self._last), style="dim")]
        self._live.update(Group(*lines, Text(state, style=style)), refresh=True)


def _figures(report: RoundReport) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    names = ("clicks", "scored", *KINDS, "lag", "behind")
    for _ in names:
        table.add_column(justify="right", no_wrap=True)
    table.add_row(*(Text(name, style="dim") for name in names))
    cells = []
    for name in names:
        count = getattr(report, name)
        if name in KINDS:
            others = (report.opened, *report.dead_letters.values())
            count += sum(getattr(one, name) for one in others)
        style = ("bold red" if count else "green") if name in KINDS else "bold"
        cells.append(Text(f"{count:,}", style=style))
    table.add_row(*cells)
    return table


def _sizes(report: RoundReport) -> str:
    return (
        f"{counted(report.open, 'session')} open, {counted(report.predictions_checked, 'prediction')}"
        f" checked,"
        f" {report.memory / 2**20:,.0f} MB memory, {report.disk / 2**20:,.0f} MB disk"
    )
