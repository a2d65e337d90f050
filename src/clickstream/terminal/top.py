"""A view of a group for a terminal: fits 80 columns, and as many lines as there are."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clickstream.operate.group import GroupSnapshot, PartitionProgress
from clickstream.operate.progress import GroupProgress
from clickstream.operate.scrape import Scrape
from clickstream.terminal.printable import printable

_OWNER_WIDTH = 12
# Lines above the rows of partitions, and one below for the state.
_HEAD, _FOOT = 5, 1


def render_group(view: GroupProgress, state: str, height: int) -> Group:
    """All that is known of the group, in at most `height` lines; `state` is what a person should know."""
    parts: list[RenderableType] = [_first_line(view)]
    if (snapshot := view.now) is not None:
        consumers = view.consumers
        models = _models(consumers)
        room = height - _HEAD - _FOOT - (2 + len(consumers) if consumers else 0) - bool(models)
        parts += [_sums(view, snapshot), _clock(view), Text(""), _partitions(view, snapshot, max(room, 2))]
        if consumers:
            parts += [Text(""), _consumers(view, consumers)]
        if models:
            parts.append(models)
    if state:
        parts.append(Text(state, style="bold yellow", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _first_line(view: GroupProgress) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(printable(view.group), style="bold")
    if (snapshot := view.now) is not None:
        members = len(snapshot.group.members)
        line.append(f" · {snapshot.group.state}, {members} {'member' if members == 1 else 'members'}")
    return line.append(time.strftime(" · %H:%M:%S"), style="dim")


def _sums(view: GroupProgress, snapshot: GroupSnapshot) -> Text:
    rates = view.rates()
    behind = max((partition.behind_ms for partition in snapshot.partitions), default=0)
    dead = view.dead_letters_a_second()
    line = Text(no_wrap=True, overflow="ellipsis")
    for name, value in (
        ("in", f"{rates.arriving:,.0f}/s"),
        ("done", f"{rates.done:,.0f}/s"),
        ("scores", f"{rates.scores:,.0f}/s"),
        ("open", f"{sum(partition.open_sessions for partition in snapshot.partitions):,}"),
        ("lag", f"{sum(partition.lag for partition in snapshot.partitions):,} ({_length(behind)})"),
        ("dead", f"{snapshot.dead_letters:,}" + (f" ({dead:,.1f}/s)" if dead else "")),
    ):
        line.append(f"{name} ", style="dim").append(f"{value}  ")
    return line


def _clock(view: GroupProgress) -> Text:
    line = Text(style="dim", no_wrap=True, overflow="ellipsis")
    event_time, speed, closes = view.event_time(), view.speed(), view.closes_within_s()
    if event_time is None:
        return line.append("nothing is committed yet")
    line.append(f"event time {_date(event_time)}")
    if speed is not None:
        line.append(f", {speed:,.0f}× the clock" if speed >= 10 else f", {speed:.1f}× the clock")
    if closes is not None:
        line.append(f": silent sessions close in {_length(round(closes * 1000))}")
    return line


def _partitions(view: GroupProgress, snapshot: GroupSnapshot, room: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("part", justify="right")
    table.add_column("owner", max_width=_OWNER_WIDTH, no_wrap=True)
    for title in ("open", "in/s", "done/s", "scores/s", "lag", "behind", "at"):
        table.add_column(title, justify="right", no_wrap=True)
    shown: list[PartitionProgress] = list(snapshot.partitions)
    if len(shown) > room:
        shown = sorted(shown, key=_most_in_need)[: room - 1]
    for partition in shown:
        rates = view.rates(partition.partition)
        table.add_row(
            str(partition.partition),
            _owner(partition.owner),
            f"{partition.open_sessions:,}",
            f"{rates.arriving:,.0f}",
            f"{rates.done:,.0f}",
            f"{rates.scores:,.0f}",
            f"{partition.lag:,}",
            _length(partition.behind_ms) if partition.lag else "-",
            "-" if partition.newest is None else _time(partition.newest),
            style=None if partition.owner else "yellow",
        )
    if len(shown) < len(snapshot.partitions):
        table.add_row("…", f"{len(snapshot.partitions) - len(shown)} more", style="dim")
    return table


def _most_in_need(partition: PartitionProgress) -> tuple[bool, int, int, int]:
    return bool(partition.owner), -partition.behind_ms, -partition.lag, partition.partition


def _consumers(view: GroupProgress, consumers: list[Scrape]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("consumer", no_wrap=True)
    table.add_column("ready", no_wrap=True, overflow="ellipsis", max_width=34)
    for title in ("p50", "p99", "recov.", "MB"):
        table.add_column(title, justify="right", no_wrap=True)
    for number, scrape in enumerate(consumers):
        latency = view.latency(number)
        table.add_row(
            scrape.address.removeprefix("http://"),
            _readiness(scrape),
            _milliseconds(latency.p50),
            _milliseconds(latency.p99),
            _count(scrape, "clickstream_recoveries_total"),
            _count(scrape, "process_resident_memory_bytes", 1e6),
        )
    return table


def _models(consumers: list[Scrape]) -> Text:
    """What these consumers say of models and goals since their start, summed up."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for name, metric in (
        ("drift", "clickstream_drift_total"),
        ("goals without a visit", "clickstream_goals_without_visit_total"),
        ("failures of shadows", "clickstream_shadow_failures_total"),
    ):
        known = [scrape.values[metric] for scrape in consumers if metric in scrape.values]
        if known:
            line.append(f"{name} ", style="dim").append(f"{sum(known):,.0f}  ")
    return line


def _readiness(scrape: Scrape) -> Text:
    if scrape.away:
        return Text(f"no answer: {printable(scrape.away)}", style="red")
    if not scrape.ready:
        return Text(printable("; ".join(scrape.reasons)) or "not ready", style="yellow")
    return Text(f"yes, {len(scrape.partitions)} partitions", style="green")


def _owner(name: str) -> str:
    """The stable name; of an id that the broker made up, its end."""
    if not name:
        return "nobody"
    name = printable(name)
    return name if len(name) <= _OWNER_WIDTH else f"…{name[1 - _OWNER_WIDTH :]}"


def _count(scrape: Scrape, name: str, unit: float = 1) -> str:
    return f"{scrape.values[name] / unit:,.0f}" if name in scrape.values else "-"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.0f} ms"


def _date(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S")


def _length(ms: int) -> str:
    """A length of time in its largest unit: "3 s", "31 min"."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if ms >= 2 * size:
            return f"{ms // size:,} {unit}"
    return f"{ms / 1000:,.0f} s"
