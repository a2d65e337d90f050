"""Ctrl-C and SIGTERM as a wish to end, for commands that go on until then, or that have parts to end.

Both work however such a command was started. A shell without job control starts a background job with SIGINT
ignored, and Python leaves it so: `clickstream up &` in a script would be deaf to what its help promises. A
hangup is never touched, so `nohup` holds. Commands that only compute and end keep what they were given.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

_WISHES = (signal.SIGINT, signal.SIGTERM)


def asked_to_stop() -> Event:
    """Set by Ctrl-C or SIGTERM: an exception from a handler could surface inside the client, and be lost."""
    asked = Event()
    for sign in _WISHES:
        signal.signal(sign, lambda *_: asked.set())
    return asked


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt within the block, which ends its parts in order."""
    before = {sign: signal.signal(sign, signal.default_int_handler) for sign in _WISHES}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
