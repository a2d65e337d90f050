"""A partition whose windows list their clicks: the very ones that the fold counted, and no others.

For those who learn from sessions or trace them; the consumer does not keep clicks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from msgspec import field

from clickstream.features.session import GoalState, Session, SessionStep
from clickstream.windows.open_session import OpenSession
from clickstream.windows.partition import Partition


class ListedSession(Session, array_like=True):
    """A session and its distinct clicks: `ordered`, and those that came `too_late` for their place."""

    ordered: list[SessionStep] = field(default_factory=list)
    too_late: list[SessionStep] = field(default_factory=list)

    @classmethod
    def open(cls, click: Any, offset: int, body: Any, goal: GoalState | None = None) -> ListedSession:
        """As a session begins."""
        session = super().open(click, offset, body, goal)
        session.ordered.append(click)
        return session

    def add(self, click: SessionStep, offset: int) -> bool:
        """As a session counts it."""
        counted = super().add(click, offset)
        if counted:
            self.ordered.append(click)
        return counted

    def add_late(self, click: SessionStep, offset: int) -> None:
        """As a session counts it."""
        super().add_late(click, offset)
        self.too_late.append(click)


class ListedOpenSession(OpenSession, array_like=True):
    """What is open of a session id, with windows that list their clicks."""

    windows: ClassVar[type[Session]] = ListedSession


class ListingPartition(Partition):
    """A partition whose closed windows are of type ListedSession."""

    opened = ListedOpenSession


def clicks_of(session: Session) -> Sequence[SessionStep]:
    """The clicks of a window that a ListingPartition closed, in order; late ones in the place they missed.

    The click that decides stays the last, also where one came too late to be it.
    """
    *before, last = ordered_clicks_of(session)
    late = session.too_late if isinstance(session, ListedSession) else []
    return [*sorted([*before, *late], key=lambda step: step.sort_key), last]


def ordered_clicks_of(session: Session) -> Sequence[SessionStep]:
    """The clicks of such a window without the late ones: what could be known at each of them."""
    if not isinstance(session, ListedSession):
        raise TypeError(f"a {type(session).__name__} does not list its clicks")
    return session.ordered


def unlisted(session: Session) -> Session:
    """The session of a ListedSession, without its list of clicks."""
    return Session(*(getattr(session, name) for name in Session.__struct_fields__))
