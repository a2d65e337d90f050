"""A log of any size that became sessions, on a terminal."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rich.console import Console

from clickstream.history.run import HistoryReport, RowCounts
from clickstream.infra.words import counted
from clickstream.terminal.cleaning_view import show_refused
from clickstream.terminal.printable import plain


def show_history(report: HistoryReport, out: Path, bundle: str, console: Console) -> None:
    """Print what became of the rows, and what was written."""
    show_rows(report, console)
    if report.errors:
        console.print(f"[yellow]{report.errors:,} sessions have no predictions[/]: see column error")
    share = report.converted / report.sessions
    expected = (
        "" if report.expected is None else f"; batch expected {report.expected:.1%}, bundle {plain(bundle)}"
    )
    console.print(
        f"{counted(report.sessions, 'session')} on {counted(report.days, 'day')} written to"
        f" {plain(str(out))}; {share:.1%} converted{expected}"
    )


def show_rows(log: RowCounts, console: Console) -> None:
    """Print how many rows of a log were kept, what was unusual, and which were refused and why."""
    # A line a fact, however wide the terminal.
    line = partial(console.print, soft_wrap=True)
    skipped = f", {log.left_out:,} left out by the mapping" if log.left_out else ""
    line(f"{counted(log.rows, 'row')}, {log.kept:,} kept{skipped}, {log.refused.count:,} refused")
    for note in log.notes:
        line(f"  {plain(note)}")
    show_refused(
        log.refused.reasons,
        (
            (row.file if row.line is None else f"{row.file}, line {row.line:,}", row.detail)
            for row in log.refused.examples
        ),
        line,
    )
