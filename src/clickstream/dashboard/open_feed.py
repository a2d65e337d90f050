"""Open feed: the sessions that are open now and their chances, asked for once for all tabs.

A thread asks as the look-up does, in Redis, while a page looks, and ends a minute after the last did. What
cannot be had is said, and asked for again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clickstream.bundles.reasons import MOST
from clickstream.features.shop import Shop
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.settings import Settings
from clickstream.lookup.service import CONSIDERED, ListedSessions, Lookup
from clickstream.models.case import Case

_EVERY_S = 2.0
_FORGOTTEN_AFTER_S = 60.0


@dataclass(frozen=True)
class OpenSnapshot:
    """What is open at one moment.

    Attributes:
        sessions: each the content of an OpenSessionView, the highest chance by batch first; None before the
            first answer; of more than `CONSIDERED` those that close last.
        count: sessions that are open in all.
        problem: why there is no newer answer.
    """

    sessions: Sequence[dict[str, Any]] | None = None
    count: int = 0
    problem: ClickstreamError | None = None


class OpenFeed:
    """The open sessions of one consumer group; may be asked from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        # A look-up is for one thread at a time.
        self._asking = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._asked_at = 0.0
        self._lookup: Lookup | None = None
        self._now = OpenSnapshot()

    def snapshot(self) -> OpenSnapshot:
        """What is known now. The first one starts the thread."""
        with self._lock:
            self._asked_at = time.monotonic()
            if self._thread is None or not self._thread.is_alive():
                self._now = OpenSnapshot()
                self._ended.clear()
                self._thread = threading.Thread(target=self._follow, name="open sessions", daemon=True)
                self._thread.start()
            return self._now

    def session(self, session_id: str) -> dict[str, Any] | None:
        """What is open of a session; None where nothing is. The content of an OpenSessionView.

        Raises:
            ClickstreamError: it cannot be looked up now.
        """
        with self._asking:
            return self._looking().session(session_id, reasons=MOST)

    def predict(self, partition: int, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """What the models of a partition say of each case, by scorer.

        Raises:
            ClickstreamError: they cannot be asked now.
        """
        with self._asking:
            return self._looking().predict(partition, cases)

    def close(self) -> None:
        """End the thread. A later `snapshot` starts another."""
        self._ended.set()

    def _looking(self) -> Lookup:
        if self._lookup is None:
            self._lookup = Lookup(self._settings)
        return self._lookup

    def _listed(self) -> ListedSessions:
        """All that are open, by chance; pages may ask between two pieces of the work."""
        with self._asking:
            pieces = self._looking().sessions("batch", 0.0, 1.0, CONSIDERED)
        listed = None
        while listed is None:
            with self._asking:
                listed = next(pieces)
        return listed

    def _follow(self) -> None:
        try:
            while not self._ended.is_set() and time.monotonic() - self._asked_at < _FORGOTTEN_AFTER_S:
                try:
                    listed = self._listed()
                    now = OpenSnapshot(listed.sessions, listed.open_sessions)
                except ClickstreamError as error:
                    # What was seen last stays, with the reason why it is old.
                    known = self._now
                    now = OpenSnapshot(known.sessions, known.count, error)
                with self._lock:
                    self._now = now
                self._ended.wait(_EVERY_S)
        finally:
            with self._asking:
                if self._lookup is not None:
                    self._lookup.close()
                self._lookup = None


def at_stake(view: dict[str, Any], scorer: str, shop: Shop) -> float | None:
    """What may still be won with an open session, in the shop's currency, by one scorer.

    Where an event is the goal, the revenue that is expected: the chance is in it. Where the last click
    decides, the chance times what that click is expected to be worth. None where a conversion has no value,
    nothing was predicted, or the goal is met.
    """
    answer = (view["predictions"] or {}).get(scorer)
    if answer is None or answer["revenue"] is None or view["converted_at"] is not None:
        return None
    revenue = float(answer["revenue"])
    return revenue if shop.is_event_goal else float(answer["conversion"]) * revenue
