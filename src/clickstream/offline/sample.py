"""Sample: closed windows to train on, as many as memory holds, of a log of any length.

Which ones is a function of their names alone, so neither the order in which they close nor how the log was
read leaves a trace. They are spread over the log as all are: what is held out by time stays so.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from itertools import filterfalse
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from clickstream.features.goal import chance
from clickstream.infra.days import day_of
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
    day = day_of(session.opened_at)
    return Taught(
        TrainingSession(closed.session_id, day, session, steps), (closed.session_id, session, list(steps))
    )


def as_window(closed: ClosedWindow) -> Taught[ShopWindow]:
    """A window of any shop that lists its clicks.

    Of each the clicks in order: one that came too late for its place was not known where it stands.
    """
    window = ShopWindow(closed.session_id, ordered_clicks_of(closed.session))
    return Taught(window, (window.session_id, list(window.clicks)))


_Drawn = tuple[float, int, int, str, int, Taught[T]]
"""Draw and number, both negative, opening, session id, partition."""


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
        self._kept: list[_Drawn[T]] = []
        # By session id and partition: how many were seen before it was to be forgotten.
        self._forgotten: dict[tuple[str, int], int] = {}

    def add(self, closed: ClosedWindow, partition: int = 0) -> None:
        """Take a window of a partition of a topic, or leave it out."""
        self.seen += 1
        opened_at = closed.session.opened_at
        if not self.wants(closed.session_id, opened_at):
            return
        draw, full = _draw(closed.session_id, opened_at), len(self._kept) == self._most
        one = (-draw, -self.seen, opened_at, closed.session_id, partition, self._taught(closed))
        if full:
            heapq.heapreplace(self._kept, one)
        else:
            heapq.heappush(self._kept, one)

    def wants(self, session_id: str, opened_at: int) -> bool:
        """Whether a window would be taken now; one that is not wanted never will be."""
        return len(self._kept) < self._most or _draw(session_id, opened_at) < -self._kept[0][0]

    def forget(self, session_id: str, partition: int) -> None:
        """Leave out what was added of a session up to now."""
        self._forgotten[session_id, partition] = self.seen

    @property
    def forgotten(self) -> int:
        """How many of those with the smallest draws are left out."""
        return sum(map(self._is_forgotten, self._kept))

    def taken(self) -> list[Taught[T]]:
        """Those that were taken and not forgotten, by the time of their first click."""
        known = filterfalse(self._is_forgotten, self._kept)
        return [one[-1] for one in sorted(known, key=lambda one: one[2:4])]

    def _is_forgotten(self, one: _Drawn[T]) -> bool:
        return -one[1] <= self._forgotten.get(one[3:5], 0)


def _draw(session_id: str, opened_at: int) -> float:
    # The draws of decision points begin with 1.
    return chance(session_id, opened_at, 0)


def sha256_of(taught: list[Taught[T]]) -> str:
    """Of sessions, click by click."""
    digest = hashlib.sha256()
    encoder = msgspec.msgpack.Encoder(order="deterministic")
    for one in taught:
        digest.update(encoder.encode(one.content))
    return digest.hexdigest()
