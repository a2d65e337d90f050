"""What is open of a session at this moment: clicks that have settled and clicks that still wait, in order."""

from __future__ import annotations

from typing import NamedTuple

from clickstream.features.session import Session
from clickstream.windows.open_session import FOREVER, OpenSession
from clickstream.windows.rules import Rules


class SessionSoFar(NamedTuple):
    """The visit that is under way.

    Attributes:
        session: as it would be if all that waits had settled.
        waiting: clicks of the session that have not settled; one that comes may still go before them.
        closes_at: the event time at which it closes, if no click of it comes: when the newest click of the
            partition is that late. ms since the epoch.
        earlier: visits of the same session id that have ended and wait for the watermark to close them.
    """

    session: Session
    waiting: int
    closes_at: int
    earlier: int


def so_far(session_id: str, state: OpenSession, rules: Rules) -> SessionSoFar:
    """The latest visit in the state of a session, which is used up by it.

    Clicks settle by the same code as in the stream, so what a click adds here is what it will add there,
    unless one that is earlier comes within the lateness.

    Raises:
        ValueError: nothing is open in it.
    """
    waiting, visits, latest = len(state.pending), 0, None
    while state.pending or state.window is not None:
        if state.settle(session_id, FOREVER, rules) is None:
            raise AssertionError("a session did not settle")
        visits, latest, state.window = visits + 1, state.window, None
    if latest is None:
        raise ValueError(f"nothing is open of session {session_id!r}")
    closes_at = latest.last.event_time + rules.gap + rules.allowed_lateness + 1
    return SessionSoFar(latest, waiting, closes_at, visits - 1)
