"""What became of the rows of a file, on a terminal."""

from __future__ import annotations

from functools import partial

from rich.console import Console

from clickstream.files.cleaning import CleaningReport
from clickstream.infra.words import counted
from clickstream.terminal.printable import plain

_REASONS_SHOWN = 8
_ROWS_SHOWN = 3


def show_cleaning(cleaning: CleaningReport, console: Console) -> None:
    """Print how many rows were kept, which were refused and why, and what was unusual."""
    # A line a fact, however wide the terminal.
    line = partial(console.print, soft_wrap=True)
    skipped = f", {cleaning.skipped:,} skipped by the mapping" if cleaning.skipped else ""
    line(
        f"{plain(cleaning.name)}: {counted(cleaning.rows, 'row')}, {cleaning.kept:,} kept{skipped},"
        f" {sum(cleaning.reasons.values()):,} refused"
    )
    for note in cleaning.notes:
        line(f"  {plain(note)}")
    for reason, count in list(cleaning.reasons.items())[:_REASONS_SHOWN]:
        line(f"  [yellow]{count:,} refused:[/] {plain(reason)}")
    if len(cleaning.reasons) > _REASONS_SHOWN:
        line(f"  and {len(cleaning.reasons) - _REASONS_SHOWN} reasons more")
    for row in cleaning.refused[:_ROWS_SHOWN]:
        where = f"line {row.line}: " if row.line else ""
        line(f"[dim]  {where}{plain(row.detail[:200])}[/]")
