"""`clickstream scores audit --follow`: rounds of the audit beside a system at work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing

from rich.console import Console
from rich.live import Live

from clickstream.audit import Follower
from clickstream.audit.spill import Spill
from clickstream.audit.verdict import Verdict
from clickstream.cli.boundary import discard_output
from clickstream.infra.errors import UnavailableError
from clickstream.infra.settings import Settings
from clickstream.terminal.follow_view import JsonLines, RoundsView, Screen
from clickstream.terminal.stopping import asked_to_stop

_LOOK_EVERY_S = 0.5


def follow_audit(
    settings: Settings,
    bundle: str | None,
    every_s: float,
    for_s: float | None,
    as_json: bool,
    independent: bool = False,
) -> Verdict:
    """Audit until Ctrl-C, SIGTERM or the end of `for_s`; the verdict on all of it.

    Raises:
        UnavailableError: there was no answer at the start. Later ones are reported, and tried again.
        RefusedError: records were deleted before they were audited.
    """
    stop = asked_to_stop()
    deadline = None if for_s is None else time.monotonic() + for_s

    def ended() -> bool:
        passed = deadline is not None and time.monotonic() >= deadline
        return passed or stop.is_set() or not view.is_read()

    def pause() -> None:
        until = time.monotonic() + every_s
        while not ended() and (left := until - time.monotonic()) > 0:
            stop.wait(min(_LOOK_EVERY_S, left))

    with Spill() as spill, closing(Follower(settings, bundle, spill, independent)) as follower:
        if as_json or not sys.stdout.isatty():
            view: RoundsView = JsonLines()
            try:
                return _go_on(follower, view, ended, pause)
            except BrokenPipeError:
                discard_output()
                return follower.report().verdict
        console = Console(highlight=False)
        with Live(console=console, auto_refresh=False) as live:
            view = screen = Screen(live, settings, every_s)
            verdict = _go_on(follower, view, ended, pause)
            screen.conclude(verdict)
        return verdict


def _go_on(
    follower: Follower, view: RoundsView, ended: Callable[[], bool], pause: Callable[[], None]
) -> Verdict:
    verdict: Verdict = "unchecked"
    while not ended():
        try:
            for reading in follower.round():
                view.reading(reading)
                if ended():
                    break
        except UnavailableError as error:
            view.away(error)
        else:
            report = follower.report()
            verdict = report.verdict
            view.report(report)
        pause()
    return verdict
