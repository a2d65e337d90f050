"""Ctrl-C and SIGTERM as a wish to end, for commands that go on until then."""

from __future__ import annotations

import signal
from threading import Event


def asked_to_stop() -> Event:
    """Set by Ctrl-C or SIGTERM: an exception from a handler could surface inside the client, and be lost."""
    asked = Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: asked.set())
    return asked
