"""Ctrl-C and SIGTERM as a wish to end, for commands that go on until then, or that have parts to end.

Both work however such a command was started. A shell without job control starts a background job with SIGINT
ignored, and Python leaves it so: `clickstream up &` in a script would be deaf to what its help promises. A
hangup is never touched, so `nohup` holds. Commands that only compute and end keep what they were given.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

_WISHES = (signal.SIGINT, signal.SIGTERM)


class Stop(Event):
    """Set when the process is asked to end; `signal` is the number of the last that asked."""

    signal = 0


def asked_to_stop(also: Callable[[], None] = lambda: None) -> Stop:
    """An event that Ctrl-C and SIGTERM set; they call `also` as well.

    No exception: one from a handler could surface inside the client library, and be lost.
    """
    asked = Stop()

    def note(number: int, _frame: object) -> None:
        asked.signal = number
        asked.set()
        also()

    for sign in _WISHES:
        signal.signal(sign, note)
    return asked


def asked_once(also: Callable[[], object]) -> Stop:
    """As `asked_to_stop`, for the first wish; the next one raises KeyboardInterrupt."""

    def first() -> None:
        for sign in _WISHES:
            signal.signal(sign, signal.default_int_handler)
        also()

    return asked_to_stop(first)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt within the block, which ends its parts in order."""
    before = {sign: signal.signal(sign, signal.default_int_handler) for sign in _WISHES}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
