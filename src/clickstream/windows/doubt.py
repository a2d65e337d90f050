"""Which windows a rebuilt partition cannot vouch for: they may differ from those of a run that lost nothing.

State is rebuilt from the middle of the log, so what was open there is unknown. A session may have been open
there if a click of it lies within reach of that place, and then every click within reach of the one before:
what is a copy, where `max_clicks` cuts and which window a click belongs to may each depend on the unknown.
A pause beyond reach makes the session's next window certain again.
"""

from __future__ import annotations

from collections.abc import Mapping

CERTAIN = -1
"""The `before` of a partition that has lost nothing."""


class Doubt:
    """Windows opened at or before `before` are in doubt; of single sessions, up to a later event time.

    `reach` is the inactivity gap and the allowed lateness, ms: of clicks in order no more than a gap apart,
    each arrives within reach of one that arrived earlier.

    Attributes:
        last: nothing that opens after this event time is in doubt; CERTAIN where nothing is.
    """

    def __init__(self, reach: int, before: int = CERTAIN, sessions: Mapping[str, int] | None = None) -> None:
        self._reach = reach
        self.before = before
        self.sessions = dict(sessions or {})
        self.last = self._last()

    def arrived(self, session_id: str, event_time: int) -> None:
        """Note a click of a session, in order or late: doubt that it falls into goes on beyond it."""
        until = self._until(session_id)
        if event_time <= until:
            until = max(until, event_time + self._reach)
            self.sessions[session_id] = until
            self.last = max(self.last, until)

    def covers(self, session_id: str, opened_at: int) -> bool:
        """Whether the window that a session opened at this event time may not be what it would have been."""
        return opened_at <= self._until(session_id)

    def any_open(self, watermark: int) -> bool:
        """Whether a session in doubt may be open, here or in the run that lost nothing."""
        return self.last > CERTAIN and self.last >= watermark

    def spread(self, newest: int) -> None:
        """Doubt every session that is open: which one the bound on all closed depended on one in doubt."""
        self.before = max(self.before, newest + self._reach)
        self.last = max(self.last, self.before)

    def settled(self, session_id: str, last_click_at: int) -> None:
        """End the doubt of a session: a window of it is known to have closed with its click at this time."""
        if last_click_at >= self.before:
            self.dropped(session_id)

    def dropped(self, session_id: str) -> None:
        """End the doubt of a session of which nothing is open any more, here or there."""
        if self.sessions.pop(session_id, CERTAIN) == self.last:
            # The next step begins with what the others say, and so must this one go on.
            self.last = self._last()

    def clear(self) -> None:
        """End all doubt: nothing is open, here or in the run that lost nothing."""
        self.sessions.clear()
        self.before = self.last = CERTAIN

    def forget(self, watermark: int) -> None:
        """Drop sessions whose next window is certain: none can open in the doubtful time any more."""
        self.sessions = {s: until for s, until in self.sessions.items() if until >= watermark}

    def _until(self, session_id: str) -> int:
        return max(self.before, self.sessions.get(session_id, CERTAIN))

    def _last(self) -> int:
        return max((self.before, *self.sessions.values()))
