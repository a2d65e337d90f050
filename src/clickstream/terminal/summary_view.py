"""A summary of scores on a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from clickstream.features.shop import UCI553, Shop
from clickstream.features.words import goal_in_words
from clickstream.infra.words import counted
from clickstream.models.scorers import scorers_of
from clickstream.operate.summary import Summary
from clickstream.terminal.printable import plain

_BAR = 24
"""Characters of a share of all: two bars and a name fit on 80 columns."""

_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}


def currency_of(shop: Shop) -> str:
    """What stands before an amount; nothing where nobody said in which currency the prices are."""
    code = shop.definition.currency
    return "" if not code else _SIGNS.get(code, f"{plain(code)} ")


def predictions_table(summary: Summary, shop: Shop, currency: str) -> Table:
    """Averages and the most common cluster, the scorers of the shop side by side."""
    names = scorers_of(shop)
    table = Table(title=counted(summary.sessions, "session"), title_justify="left", title_style="bold")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    table.add_row("average conversion probability", *(f"{summary.mean_conversion(n):.3f}" for n in names))
    if shop.is_event_goal:
        for words, converted in (("of those that converted", True), ("of the others", False)):
            means = (summary.mean_conversion_of(n, converted) for n in names)
            table.add_row(f"  {words}", *(f"{mean:.3f}" for mean in means))
        table.add_row("conversions foretold", *(f"{summary.conversion[n]:,.0f}" for n in names))
        table.add_row("conversions made", *(f"{summary.converted:,}" for _ in names))
    if shop.definition.goal.value is not None:
        means = (summary.mean_revenue(n) for n in names)
        table.add_row("average predicted revenue", *(f"{currency}{mean:.2f}" for mean in means))
    table.add_row("most common cluster", *((summary.shares(n) or [("-", 0.0)])[0][0] for n in names))
    return table


def clusters_table(summary: Summary) -> Table:
    """The shares of the clusters, batch beside online."""
    table = Table(title="clusters", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for heading in ("", "batch", "", "online", ""):
        table.add_column(heading, no_wrap=True)
    online = dict(summary.shares("online"))
    for name, share in summary.shares("batch"):
        other = online.get(name, 0.0)
        table.add_row(name, _bar(share, "cyan"), f"{share:.1%}", _bar(other, "magenta"), f"{other:.1%}")
    return table


def conversion_in_words(summary: Summary, shop: Shop) -> str:
    """What a conversion is in this shop, how many there were, and what the predictions looked at."""
    made = f"{summary.converted:,} of {counted(summary.sessions, 'session')}"
    if shop is UCI553:
        return (
            f"Conversion and revenue are proxies, by a rule over the last click: {made} meet it. batch and"
            " online never see that click; reference does, and so recovers the rule."
        )
    goal = plain(goal_in_words(shop.definition))
    seen = (
        "A prediction looks at the clicks before that one, of a session without one at all: a moment that"
        " its end chooses, so what is foretold need not add up to what was made."
        if shop.is_event_goal
        else "No prediction looks at the last click."
    )
    return f"{goal}: {made}. {seen}"


def _bar(share: float, style: str) -> Text:
    return Text("█" * max(round(share * _BAR), 1 if share else 0), style=style)
