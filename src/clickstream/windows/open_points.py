"""The moments at which something can be said of a session that is open: a click of it has just come.

They are collected while a partition advances, and depend on its records alone: on the clicks up to that
record, settled and waiting, in the order of event time.
"""

from __future__ import annotations

from typing import NamedTuple

from clickstream.features.session import Session, SessionStep
from clickstream.windows.open_session import OpenSession
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules
from clickstream.windows.so_far import so_far


class OpenPoint(NamedTuple):
    """A session at a click that has just come.

    Attributes:
        session: as it would be if all that waits had settled.
        event_time: of the click; an earlier one than the last where clicks come out of order.
        offset: of the click.
        partial: it may have clicks that were lost with Redis.
        time_source: of the click.
        state: what is kept of the session, whose `fired` is to be brought up to date.
    """

    session_id: str
    session: Session
    event_time: int
    time_source: str | None
    offset: int
    partial: bool
    state: OpenSession

    @property
    def open_score_id(self) -> str:
        """The name of its open score."""
        return f"{self.session_id}/{self.session.opened_at}/{self.offset}"


class OpenPoints:
    """Collects the points of a partition into `points`, until `clear`."""

    def __init__(self, partition: Partition) -> None:
        self.points: list[OpenPoint] = []
        self._partition = partition
        partition.accepted = self._accepted

    def clear(self) -> None:
        """Forget the points of the last step."""
        self.points.clear()

    def _accepted(self, session_id: str, state: OpenSession, click: SessionStep, offset: int) -> None:
        session = visit_with(session_id, state, click, self._partition.rules)
        if session is not None:
            partial = self._partition.doubt.covers(session_id, session.opened_at)
            when = click.event_time, click.time_source
            self.points.append(OpenPoint(session_id, session, *when, offset, partial, state))


def visit_with(session_id: str, state: OpenSession, click: SessionStep, rules: Rules) -> Session | None:
    """The visit under way, with a click that has just come and waits in `state`, which stays as it is.

    None where there is nothing to say: the click has the order of another one of the visit, so one of them
    is a copy; it belongs to a visit that has ended; or the goal was met, with this click or before.
    """
    window, pending = state.window, state.pending
    trial = type(state)(None if window is None else window.copied(), pending.copy())
    visit = so_far(session_id, trial, rules).session
    opened_at, order = visit.opened_at, click.order
    if click.event_time < opened_at or (visit.goal is not None and visit.goal.reached_at is not None):
        return None
    if window is not None and window.opened_at == opened_at and window.has(click):
        return None
    if order is not None and any(
        waiting.click.order == order and waiting.click is not click and waiting.click.event_time >= opened_at
        for waiting in pending
    ):
        return None
    return visit
