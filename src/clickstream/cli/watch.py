"""`clickstream models watch`: how good the models are, from the scores as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from threading import Event
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.live import Live

from clickstream.cli.options import Shop
from clickstream.infra.errors import UnavailableError
from clickstream.infra.kafka import Reader
from clickstream.infra.settings import load_settings
from clickstream.local.servers import with_running_servers
from clickstream.operate.quality import RecordedScores, WatchedScores
from clickstream.operate.scrape import address_of, ask_all
from clickstream.operate.shadows import RidingShadow, shadows_of
from clickstream.records.shops import load_shop
from clickstream.terminal.scores.writers import LineWriter
from clickstream.terminal.stopping import asked_to_stop
from clickstream.terminal.watch_view import final_table, render_watched

_LINE_EVERY_S = 5.0
_PICTURE_EVERY_S = 0.5
_SILENCE_S = 5.0


def watch(
    shop: Shop = None,
    scores_topic: Annotated[str | None, typer.Option(help="Topic of the scores.")] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest score, not with the next one.")
    ] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Judge what is on the topic now, exactly, and stop.")
    ] = False,
    bundle: Annotated[str | None, typer.Option(help="Only scores of the bundle of this id.")] = None,
    window: Annotated[int, typer.Option(help="Sessions of the rolling figures.", min=2, max=100_000)] = 2_000,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="A consumer's --metrics-port, as http://host:9100, to show its shadow; repeatable.",
        ),
    ] = None,
) -> None:
    """How good the scorers of a shop are, and whether the stream drifts: a live table, JSON lines in a pipe.

    All are judged on the same sessions: those with evidence, of which each scorer said something. Scores of
    other shops are counted by their names. A candidate that rides with a consumer (`consume --shadow`)
    publishes nothing: its figures come from the metrics of that consumer, and are of its sessions alone.

    Subscribes without a group, so it disturbs nobody, and sees committed scores only. Ctrl-C ends it.

    Exit codes: 0 stopped, or at the end; 69 no broker or no such topic at the start.
    """
    settings = load_settings(shop=shop, scores_topic=scores_topic)
    ours = load_shop(settings.shop)
    settings = with_running_servers(settings)
    addresses = [address_of(url) for url in metrics or ()]
    where = f"{settings.scores_topic} at {settings.kafka_bootstrap}"
    try:
        with closing(Reader(settings, settings.scores_topic)) as reader:
            if until_end:
                _evaluate(reader, reader.decided_ends().offsets, RecordedScores(bundle, ours), addresses)
                return
            if not from_beginning:
                for partition, offset in reader.end_offsets().items():
                    reader.seek(partition, offset)
            watched = WatchedScores(window, bundle, ours)
            states = watching(reader, watched, where, asked_to_stop())
            if sys.stdout.isatty():
                _show(watched, states, addresses)
            else:
                _print_lines(watched, states, addresses)
    except KeyboardInterrupt:
        return


def _evaluate(
    reader: Reader, ends: dict[int, int], recording: RecordedScores, addresses: Sequence[str]
) -> None:
    for batch in reader.read_to(ends):
        recording.add([record for record in batch if record.offset < ends[record.partition]])
    summary = recording.summary()
    shadows = _shadows(addresses)
    if sys.stdout.isatty():
        Console(highlight=False).print(final_table(summary, shadows))
    else:
        _print_line(summary, shadows)


def _shadows(addresses: Sequence[str]) -> list[RidingShadow]:
    return list(shadows_of(ask_all(addresses)))


def _print_lines(watched: WatchedScores, states: Iterator[str], addresses: Sequence[str]) -> None:
    pipe = LineWriter()
    written, written_at, state = 0, time.monotonic(), ""
    for said in states:
        now = time.monotonic()
        if said != state:
            state = said
            if state:
                typer.echo(state, err=True)
        if watched.sessions != written and now - written_at >= _LINE_EVERY_S:
            written, written_at = watched.sessions, now
            _print_line(watched.summary(), _shadows(addresses))
        if not pipe.is_read():
            return
    if watched.sessions != written:
        _print_line(watched.summary(), _shadows(addresses))


def _show(watched: WatchedScores, states: Iterator[str], addresses: Sequence[str]) -> None:
    shown, shown_at, state = 0, 0.0, None
    with Live(
        render_watched(watched, "waiting for scores"), console=Console(highlight=False), auto_refresh=False
    ) as live:
        for said in states:
            now = time.monotonic()
            new = watched.sessions != shown and now - shown_at >= _PICTURE_EVERY_S
            if new or said != state:
                shown, shown_at, state = watched.sessions, now, said
                live.update(render_watched(watched, said, _shadows(addresses)), refresh=True)


def watching(
    reader: Reader, watched: WatchedScores, where: str, stop: Event, silence_s: float = _SILENCE_S
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


def _print_line(summary: dict[str, Any], shadows: Sequence[RidingShadow]) -> None:
    content = summary | {"shadows": [shadow._asdict() for shadow in shadows]}
    sys.stdout.buffer.write(orjson.dumps(content) + b"\n")
    sys.stdout.buffer.flush()
