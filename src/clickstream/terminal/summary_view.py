"""A summary of scores on a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from clickstream.infra.words import counted
from clickstream.operate.summary import Summary
from clickstream.records.scorers import SCORERS


def predictions_table(summary: Summary, currency: str = "$") -> Table:
    """Averages and the most common cluster, the scorers side by side."""
    table = Table(title=f"{counted(summary.sessions, 'session')}", title_justify="left", title_style="bold")
    table.add_column("")
    for name in SCORERS:
        table.add_column(name, justify="right")
    table.add_row("average conversion probability", *(f"{summary.mean_conversion(n):.3f}" for n in SCORERS))
    table.add_row("average predicted revenue", *(f"{currency}{summary.mean_revenue(n):.2f}" for n in SCORERS))
    table.add_row("most common cluster", *((summary.shares(n) or [("-", 0.0)])[0][0] for n in SCORERS))
    return table


def clusters_table(summary: Summary) -> Table:
    """The shares of the clusters, batch beside online."""
    table = Table(title="clusters", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("batch")
    table.add_column("")
    table.add_column("online")
    table.add_column("")
    online = dict(summary.shares("online"))
    for name, share in summary.shares("batch"):
        other = online.get(name, 0.0)
        table.add_row(name, _bar(share, "cyan"), f"{share:.1%}", _bar(other, "magenta"), f"{other:.1%}")
    return table


def _bar(share: float, style: str) -> Text:
    return Text("█" * max(round(share * 40), 1 if share else 0), style=style)
