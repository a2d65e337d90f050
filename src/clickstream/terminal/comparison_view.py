"""Two bundles side by side, on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from clickstream.infra.words import counted
from clickstream.terminal.printable import plain
from clickstream.training.comparison import DECIDES, HIGHER_IS_BETTER, BundleComparison, FigureComparison

_TITLES = {
    "auc": "AUC",
    "log_loss": "log-loss",
    "brier": "Brier",
    "ece": "ECE",
    "r2": "R²",
    "mae": "MAE $",
}


def show_comparison(found: BundleComparison, data_name: str, console: Console) -> None:
    """Print the figures of both bundles, and which is better."""
    console.print(
        f"\n{counted(found.sessions, 'session')} of {plain(data_name)} that neither has learned from"
        f"\n  A  {found.one}\n  B  {found.other}\n"
    )
    table = Table(header_style="dim", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("", "", "A", "B", "B − A, 95 %", ""):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for scorer, figures in found.figures.items():
        for name, one in figures.items():
            apart = one.difference
            table.add_row(
                f"[bold]{scorer}[/]",
                _TITLES[name],
                f"{one.one:.4f}",
                f"{one.other:.4f}",
                f"{apart.value:+.4f} ({apart.low:+.4f} to {apart.high:+.4f})",
                _better(name, one),
            )
            scorer = ""
    console.print(table)
    console.print()
    for line in verdict(found):
        console.print(line, soft_wrap=True)


def verdict(found: BundleComparison) -> Iterator[str]:
    """Lines that say which bundle is better, by what, and what is not sure."""
    by = f"by the log-loss of {DECIDES[0]}"
    if found.other_is_better:
        yield f"B is better {by}: {found.other}"
    elif found.one_is_better:
        yield f"A is better {by}: {found.one}"
    else:
        yield f"neither is better for certain, {by}"
    for note in found.notes:
        yield plain(note)


def comparison_as_dict(found: BundleComparison, data_name: str) -> dict[str, Any]:
    """The comparison, for JSON. `better` is `one`, `other`, or null where neither is for certain."""
    better = "other" if found.other_is_better else "one" if found.one_is_better else None
    return {
        "one": found.one,
        "other": found.other,
        "data": data_name,
        "sessions": found.sessions,
        "better": better,
        "decided_by": list(DECIDES),
        "notes": found.notes,
        "figures": {
            scorer: {
                name: {"one": one.one, "other": one.other, "difference": one.difference.model_dump()}
                for name, one in figures.items()
            }
            for scorer, figures in found.figures.items()
        },
    }


def _better(name: str, one: FigureComparison) -> str:
    if one.difference.low <= 0 <= one.difference.high:
        return ""
    better = (one.difference.value > 0) == (name in HIGHER_IS_BETTER)
    return "[green]better[/]" if better else "[red]worse[/]"
