"""Sample: closed windows to train on, as many as memory holds, of a log of any length.

Which ones is a function of their names alone, so neither the order in which they close nor how the log was
read leaves a trace. They are spread over the log as all are: what is held out by time stays so.
"""

from __future__ import annotations

import datetime
import hashlib
import heapq
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from clickstream.features.goal import chance
from clickstream.models.examples import TrainingSession
from clickstream.models.shop.examples import ShopWindow
from clickstream.windows.listing import clicks_of, ordered_clicks_of, unlisted
from clickstream.windows.partition import ClosedWindow

T = TypeVar("T")

MOST_SESSIONS = 100_000
"""Sessions that training takes: some hundred MB, and as many as it has decision points of a session each."""


class Taught(NamedTuple, Generic[T]):
    """A closed window as training takes it, and what it is hashed by."""

    session: T
    content: tuple[Any, ...]


def as_session(closed: ClosedWindow) -> Taught[TrainingSession]:
    """A window of shop uci553 that lists its clicks; its day is in UTC."""
    session, steps = unlisted(closed.session), clicks_of(closed.session)
    day = datetime.datetime.fromtimestamp(session.opened_at / 1_000, datetime.UTC).date()
    return Taught(
        TrainingSession(closed.session_id, day, session, steps), (closed.session_id, session, list(steps))
    )


def as_window(closed: ClosedWindow) -> Taught[ShopWindow]:
    """A window of any shop that lists its clicks.

    Of each the clicks in order: one that came too late for its place was not known where it stands.
    """
    window = ShopWindow(closed.session_id, ordered_clicks_of(closed.session))
    return Taught(window, (window.session_id, list(window.clicks)))


class Sample(Generic[T]):
    """The windows with the smallest draws of all that were added.

    Attributes:
        seen: how many were added.
    """

    def __init__(self, taught: Callable[[ClosedWindow], Taught[T]], most: int = MOST_SESSIONS) -> None:
        self.seen = 0
        self._taught = taught
        self._most = most
        # The one with the largest draw first; of two that are equal the later.
        self._kept: list[tuple[float, int, int, str, Taught[T]]] = []

    def add(self, closed: ClosedWindow) -> None:
        """Take a window, or leave it out."""
        self.seen += 1
        opened_at = closed.session.opened_at
        # The draws of decision points begin with 1.
        draw = chance(closed.session_id, opened_at, 0)
        full = len(self._kept) == self._most
        if full and draw >= -self._kept[0][0]:
            return
        one = (-draw, -self.seen, opened_at, closed.session_id, self._taught(closed))
        if full:
            heapq.heapreplace(self._kept, one)
        else:
            heapq.heappush(self._kept, one)

    def taken(self) -> list[Taught[T]]:
        """Those that were taken, by the time of their first click."""
        return [one[-1] for one in sorted(self._kept, key=lambda one: one[2:4])]


def sha256_of(taught: list[Taught[T]]) -> str:
    """Of sessions, click by click."""
    digest = hashlib.sha256()
    encoder = msgspec.msgpack.Encoder(order="deterministic")
    for one in taught:
        digest.update(encoder.encode(one.content))
    return digest.hexdigest()
