"""`clickstream top`: a running group at a glance."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from threading import Event
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.live import Live

from clickstream.infra.errors import UnavailableError
from clickstream.infra.settings import load_settings
from clickstream.local.servers import with_running_servers
from clickstream.operate.group import Watcher
from clickstream.operate.progress import GroupProgress
from clickstream.operate.scrape import address_of, ask_all
from clickstream.terminal.scores.writers import LineWriter
from clickstream.terminal.stopping import asked_to_stop
from clickstream.terminal.top import render_group

_EVERY_S = 1.0
_ONCE_MS = 2_000


def top(
    group: Annotated[str | None, typer.Option(help="Consumer group.")] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A consumer's --metrics-port, as http://host:9100; repeatable."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look for two seconds, print it, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON instead of a table; a line each second without --once.")
    ] = False,
) -> None:
    """Watch a running group: open sessions, rates, lag, dead letters, by partition; JSON lines in a pipe.

    It asks Kafka alone, joins no group and changes nothing; a broker that is away is waited for. With
    --metrics it also shows which consumers are ready, and their time from close to score. Ctrl-C ends it.

    Exit codes: 0 stopped, or printed once; 69 with --once, no broker or no such topic.
    """
    settings = with_running_servers(load_settings(group=group))
    addresses = [address_of(url) for url in metrics or ()]
    view = GroupProgress(settings.group, settings.gap + settings.allowed_lateness)
    stop = asked_to_stop()
    with closing(Watcher(settings)) as watcher:
        if once:
            for wait_ms in (0, _ONCE_MS):
                view.add(watcher.snapshot(wait_ms), ask_all(addresses))
            if as_json:
                _print_line(view.as_dict())
            else:
                Console(highlight=False).print(render_group(view, "", 10_000))
            return
        states = watched(watcher, view, addresses, stop)
        if as_json or not sys.stdout.isatty():
            _print_lines(view, states)
        else:
            _show(view, states)


def watched(
    watcher: Watcher, view: GroupProgress, addresses: Sequence[str], stop: Event, every_s: float = _EVERY_S
) -> Iterator[str]:
    """Take snapshots until `stop` is set; after each, what a person should know, or nothing."""
    while not stop.is_set():
        try:
            snapshot, state = watcher.snapshot(), ""
        except UnavailableError as error:
            # A consumer that answers is worth seeing all the same.
            snapshot, state = None, f"no answer, trying on: {error.what.splitlines()[0]}"
        view.add(snapshot, ask_all(addresses))
        yield state
        stop.wait(every_s)


def _show(view: GroupProgress, states: Iterator[str]) -> None:
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        for state in states:
            live.update(render_group(view, state, console.height), refresh=True)


def _print_lines(view: GroupProgress, states: Iterator[str]) -> None:
    pipe = LineWriter()
    for state in states:
        _print_line(view.as_dict(state))
        if not pipe.is_read():
            return


def _print_line(content: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(content) + b"\n")
    sys.stdout.buffer.flush()
