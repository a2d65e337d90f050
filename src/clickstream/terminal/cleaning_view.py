"""What became of the rows of a file, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import islice

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
    show_refused(
        cleaning.reasons,
        ((f"line {row.line}" if row.line else "", row.detail) for row in cleaning.refused),
        line,
    )


def show_refused(
    reasons: Mapping[str, int], rows: Iterable[tuple[str, str]], line: Callable[[str], object]
) -> None:
    """Print why rows were refused, and of some where each stands, if known, and what is wrong."""
    for reason, count in list(reasons.items())[:_REASONS_SHOWN]:
        line(f"  [yellow]{count:,} refused:[/] {plain(reason)}")
    if len(reasons) > _REASONS_SHOWN:
        line(f"  and {len(reasons) - _REASONS_SHOWN} reasons more")
    for where, detail in islice(rows, _ROWS_SHOWN):
        line(f"[dim]  {plain(where)}{': ' if where else ''}{plain(detail[:200])}[/]")
