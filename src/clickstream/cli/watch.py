"""`clickstream models watch`: how good the models are, from the scores as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from threading import Event
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka import Reader
from clickstream.infra.settings import load_settings
from clickstream.infra.words import counted
from clickstream.local.servers import with_running_servers
from clickstream.models.drift import Alarm
from clickstream.models.quality import Merit, Quality
from clickstream.operate.judgement import Recording, Watched
from clickstream.records.scorers import SCORERS
from clickstream.terminal.printable import printable
from clickstream.terminal.scores.writers import Lines
from clickstream.terminal.stopping import asked_to_stop

_LINE_EVERY_S = 5.0
_PICTURE_EVERY_S = 0.5
_SILENCE_S = 5.0

# Title, name in the figures, places.
_COLUMNS = (
    ("log-loss", "log_loss", 4),
    ("AUC", "auc", 4),
    ("Brier", "brier", 4),
    ("ECE", "ece", 4),
    ("R²", "r2", 4),
    ("MAE", "mae", 2),
)


def watch(
    scores_topic: Annotated[str | None, typer.Option(help="Topic of the scores.")] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest score, not with the next one.")
    ] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Judge what is on the topic now, exactly, and stop.")
    ] = False,
    bundle: Annotated[str | None, typer.Option(help="Only scores of the bundle of this id.")] = None,
    window: Annotated[int, typer.Option(help="Sessions of the rolling figures.", min=2, max=100_000)] = 2_000,
) -> None:
    """How good the three scorers are, and whether the stream drifts: a live table, or JSON lines in a pipe.

    All are judged on the same sessions: those with evidence, of which each scorer said something. Subscribes
    without a group, so it disturbs nobody, and sees committed scores only. Ctrl-C ends it.

    Exit codes: 0 stopped, or at the end; 69 no broker or no such topic at the start.
    """
    settings = with_running_servers(load_settings(scores_topic=scores_topic))
    where = f"{settings.scores_topic} at {settings.kafka_bootstrap}"
    try:
        with closing(Reader(settings, settings.scores_topic)) as reader:
            if until_end:
                _judge(reader, reader.decided_ends().offsets, Recording(bundle))
                return
            if not from_beginning:
                for partition, offset in reader.end_offsets().items():
                    reader.seek(partition, offset)
            watched = Watched(window, bundle)
            states = followed(reader, watched, where, asked_to_stop())
            if sys.stdout.isatty():
                _show(watched, states)
            else:
                _print_lines(watched, states)
    except KeyboardInterrupt:
        return


def _judge(reader: Reader, ends: dict[int, int], recording: Recording) -> None:
    for batch in reader.read_to(ends):
        recording.add([record for record in batch if record.offset < ends[record.partition]])
    summary = recording.summary()
    if sys.stdout.isatty():
        Console(highlight=False).print(final_table(summary))
    else:
        _print_line(summary)


def _print_lines(watched: Watched, states: Iterator[str]) -> None:
    pipe = Lines()
    written, written_at, state = 0, time.monotonic(), ""
    for said in states:
        now = time.monotonic()
        if said != state:
            state = said
            if state:
                typer.echo(state, err=True)
        if watched.sessions != written and now - written_at >= _LINE_EVERY_S:
            written, written_at = watched.sessions, now
            _print_line(watched.summary())
        if not pipe.is_read():
            return
    if watched.sessions != written:
        _print_line(watched.summary())


def _show(watched: Watched, states: Iterator[str]) -> None:
    shown, shown_at, state = 0, 0.0, None
    with Live(
        picture(watched, "waiting for scores"), console=Console(highlight=False), auto_refresh=False
    ) as live:
        for said in states:
            now = time.monotonic()
            new = watched.sessions != shown and now - shown_at >= _PICTURE_EVERY_S
            if new or said != state:
                shown, shown_at, state = watched.sessions, now, said
                live.update(picture(watched, said), refresh=True)


def followed(
    reader: Reader, watched: Watched, where: str, stop: Event, silence_s: float = _SILENCE_S
) -> Iterator[str]:
    """Take in what comes until `stop` is set; after each poll what a person should know, or nothing."""
    silent_since, state = time.monotonic(), ""
    while not stop.is_set():
        batch = reader.poll()
        now = time.monotonic()
        if batch:
            watched.add(batch)
            silent_since, state = now, ""
        elif now - silent_since > silence_s:
            silent_since = now
            try:
                reader.end_offsets()
                state = "" if watched.sessions else f"waiting for scores on {where}"
            except UnavailableError:
                # The client goes on where it was when the broker is back.
                state = f"no answer for {where}; trying on"
        yield state


def picture(watched: Watched, state: str) -> Group:
    """What is known, for a terminal."""
    since, rolling = watched.since_start(), watched.rolling()
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for start in ("since start", f"last {rolling.sessions:,}" if rolling else "last"):
        for at, title in enumerate(("log-loss", "AUC", "MAE")):
            table.add_column(f"{start if at == 0 else ''}\n{title}", justify="right")
    for name in SCORERS:
        table.add_row(name, *_cells(since, name), *_cells(rolling, name))
    lines: list[RenderableType] = [
        table,
        Text(""),
        Text(_sessions(watched.sessions, since.sessions if since else 0)),
    ]
    lines.append(Text(_bundles(watched.bundles)))
    if since is not None and rolling is not None:
        lines.append(
            Text(
                f"online in the cluster of batch: {since.same_cluster:.1%},"
                f" of the last {rolling.same_cluster:.1%}"
            )
        )
    lines += [Text(_change(alarm), style="yellow") for alarm in watched.alarms]
    return Group(*lines, Text(state, style="bold"))


def final_table(summary: dict[str, Any]) -> Group:
    """What `Recording.summary` says, for a terminal."""
    figures = summary["figures"]
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for title, _, _ in _COLUMNS:
        table.add_column(title, justify="right")
    for name, found in figures.items():
        table.add_row(name, *(f"{found[key]:.{places}f}" for _, key, places in _COLUMNS))
    with_evidence = figures["batch"]["conversion_n"] if figures else 0
    lines: list[RenderableType] = [table, Text("")] if figures else []
    lines.append(Text(_sessions(summary["sessions"], with_evidence)))
    lines.append(Text(_bundles(summary["bundles"])))
    if figures:
        lines.append(Text(f"clusters of online against batch: ARI {figures['online']['ari']:.4f}"))
    lines += [Text(_change(Alarm(**alarm)), style="yellow") for alarm in summary["alarms"]]
    return Group(*lines)


def _cells(quality: Quality | None, name: Any) -> tuple[str, str, str]:
    if quality is None:
        return ("-", "-", "-")
    merit: Merit = quality.scorers[name]
    return (f"{merit.log_loss:.4f}", "-" if merit.auc is None else f"{merit.auc:.4f}", f"{merit.mae:.2f}")


def _sessions(seen: int, judged: int) -> str:
    return f"{counted(seen, 'session')}, {judged:,} of them with evidence and predictions"


def _bundles(bundles: dict[str, int]) -> str:
    return "bundle " + (", ".join(f"{printable(name)} ({n:,})" for name, n in bundles.items()) or "-")


def _change(alarm: Alarm) -> str:
    return (
        f"drift: {alarm.feature} was {alarm.before:.4g}, is {alarm.after:.4g}"
        f" (over {counted(alarm.sessions, 'session')} when it was found)"
    )


def _print_line(content: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(content) + b"\n")
    sys.stdout.buffer.flush()
