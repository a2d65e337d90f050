"""A log of any size that became sessions, on a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from clickstream.history.run import HistoryReport
from clickstream.infra.words import counted
from clickstream.terminal.printable import plain

_REASONS_SHOWN = 8
_ROWS_SHOWN = 3


def show_history(report: HistoryReport, out: Path, bundle: str, console: Console) -> None:
    """Print what became of the rows, and what was written."""
    refused = report.refused
    left_out = f", {report.left_out:,} left out by the mapping" if report.left_out else ""
    console.print(f"{counted(report.rows, 'row')}, {report.kept:,} kept{left_out}, {refused.count:,} refused")
    for reason, count in list(refused.reasons.items())[:_REASONS_SHOWN]:
        console.print(f"  [yellow]{count:,} refused:[/] {plain(reason)}")
    if len(refused.reasons) > _REASONS_SHOWN:
        console.print(f"  and {len(refused.reasons) - _REASONS_SHOWN} reasons more")
    for row in refused.examples[:_ROWS_SHOWN]:
        line = "" if row.line is None else f", line {row.line:,}"
        console.print(f"[dim]  {plain(row.file)}{line}: {plain(row.detail[:200])}[/]")
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
