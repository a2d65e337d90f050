"""What `models watch` shows: the quality of the scorers, now and over all, and what drifts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clickstream.infra.words import counted
from clickstream.models.drift import Alarm
from clickstream.models.quality import Merit, Quality
from clickstream.models.scorers import scorers_of
from clickstream.operate.quality import WatchedScores
from clickstream.operate.shadows import WINDOWS, Figures, RidingShadow
from clickstream.records.scorers import SCORERS
from clickstream.terminal.printable import printable

# Title, name in the figures, places.
_COLUMNS = (
    ("log-loss", "log_loss", 4),
    ("AUC", "auc", 4),
    ("Brier", "brier", 4),
    ("ECE", "ece", 4),
    ("R²", "r2", 4),
    ("MAE", "mae", 2),
)


def render_watched(watched: WatchedScores, state: str, shadows: Sequence[RidingShadow] = ()) -> Group:
    """Quality, bundles, drift, shadows and `state`, which is what a person should know, for a terminal."""
    since, rolling = watched.since_start(), watched.rolling()
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for start in ("since start", f"last {rolling.sessions:,}" if rolling else "last"):
        for at, title in enumerate(("log-loss", "AUC", "MAE")):
            table.add_column(f"{start if at == 0 else ''}\n{title}", justify="right")
    for name in scorers_of(watched.shop):
        table.add_row(name, *_cells(since, name), *_cells(rolling, name))
    lines: list[RenderableType] = [
        table,
        Text(""),
        Text(_sessions(watched.sessions, since.sessions if since else 0)),
    ]
    lines += [Text(line) for line in _seen(watched.counts())]
    if since is not None and rolling is not None:
        lines.append(
            Text(
                f"online in the cluster of batch: {since.same_cluster:.1%},"
                f" of the last {rolling.same_cluster:.1%}"
            )
        )
    lines += [Text(_change(alarm), style="yellow") for alarm in watched.alarms]
    return Group(*lines, *map(_shadow, shadows), Text(state, style="bold"))


def final_table(summary: dict[str, Any], shadows: Sequence[RidingShadow] = ()) -> Group:
    """The summary of `RecordedScores`, and shadows, for a terminal."""
    figures = summary["figures"]
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for title, _, _ in _COLUMNS:
        table.add_column(title, justify="right")
    for name, found in figures.items():
        table.add_row(
            name, *(f"{found[key]:.{places}f}" if key in found else "-" for _, key, places in _COLUMNS)
        )
    with_evidence = figures["batch"]["conversion_n"] if figures else 0
    lines: list[RenderableType] = [table, Text("")] if figures else []
    lines.append(Text(_sessions(summary["sessions"], with_evidence)))
    lines += [Text(line) for line in _seen(summary)]
    if figures:
        lines.append(Text(f"clusters of online against batch: ARI {figures['online']['ari']:.4f}"))
    lines += [Text(_change(Alarm(**alarm)), style="yellow") for alarm in summary["alarms"]]
    return Group(*lines, *map(_shadow, shadows))


def _shadow(shadow: RidingShadow) -> Group:
    """A candidate and, line by line below it, the bundle in use, on the sessions of their consumer."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for start in ("since start", "last"):
        for at, title in enumerate(("sessions", "log-loss", "AUC", "MAE")):
            table.add_column(f"{start if at == 0 else ''}\n{title}", justify="right")
    names = [name for name in SCORERS if name in shadow.figures["since_start"]]
    for name in names:
        table.add_row(f"{name}, shadow", *_figures(shadow.figures, name))
        table.add_row(f"{name}, in use", *_figures(shadow.figures_in_use, name))
    words = f"shadow {printable(shadow.bundle)} beside {printable(shadow.in_use)} at {shadow.address}"
    if shadow.failures:
        words += f"; it could not score {counted(shadow.failures, 'session')}"
    lines: list[RenderableType] = [Text(""), Text(words)]
    if not shadow.rides:
        lines.append(Text("it has failed and rides no further: its consumer's log says why", style="red"))
    return Group(*lines, *[table] * bool(names))


def _figures(figures: Figures, scorer: str) -> Iterator[str]:
    for window in WINDOWS:
        found = figures[window].get(scorer, {})
        yield f"{figures[window]['sessions']:,}"
        for figure, places in (("log_loss", 4), ("auc", 4), ("mae", 2)):
            value = found.get(figure)
            yield "-" if value is None else f"{value:.{places}f}"


def _cells(quality: Quality | None, name: Any) -> tuple[str, str, str]:
    if quality is None:
        return ("-", "-", "-")
    merit: Merit = quality.scorers[name]
    return (
        f"{merit.log_loss:.4f}",
        "-" if merit.auc is None else f"{merit.auc:.4f}",
        "-" if merit.mae is None else f"{merit.mae:.2f}",
    )


def _sessions(seen: int, with_evidence: int) -> str:
    return f"{counted(seen, 'session')}, {with_evidence:,} of them with evidence and predictions"


def _seen(counts: Mapping[str, Any]) -> Iterator[str]:
    """What else came, by the counts of `operate.quality`."""
    yield f"bundle {_listed(counts['bundles']) or '-'}"
    if counts["goals_without_visit"]:
        yield f"goals without a visit: {counts['goals_without_visit']:,}, met by the first click of a session"
    if counts["other_shops"]:
        shop = counts["shop"]
        yield (
            f"not evaluated, as they are not of shop {shop['name']}/{shop['hash']}:"
            f" {_listed(counts['other_shops'])}"
        )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{printable(name)} ({n:,})" for name, n in counts.items())


def _change(alarm: Alarm) -> str:
    share = "" if alarm.value is None else f", share of {printable(alarm.value)},"
    return (
        f"drift: {alarm.feature}{share} was {alarm.before:.4g}, is {alarm.after:.4g}"
        f" (over {counted(alarm.sessions, 'session')} when it was found)"
    )
