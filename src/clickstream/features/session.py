"""Session: the O(1) fold of clicks, in event-time order, for any shop.

A session keeps two things apart: its `body`, an Aggregate over all clicks but the last, and the `last`
click. Where a rule over the last click decides the outcome, what a model may honestly see is the body alone;
what the published models see is the body with the last click added. Both are one step away at any moment.
Where an event does, the session has a GoalState besides.

Step and Aggregate are written for each shop by fold.py. `Session[step, aggregate]` names the session of one
shop where stored state is read; whatever does not touch the fields of a shop works on any.

Clicks must be added in (event time, order) order; `add_late` takes the exception.
"""

from __future__ import annotations

from bisect import bisect_right
from copy import copy
from typing import Annotated, Any, Generic, Protocol, Self

from msgspec import Meta, Struct
from typing_extensions import TypeVar

from clickstream.features.goal import is_drawn

FOLD_VERSION = 1
"""Raised when the same clicks would give another Session: open state is then refused, not misread."""


class SessionStep(Protocol):
    """What the fold needs of one click; the fields of its shop are attributes, too."""

    @property
    def event_time(self) -> int:
        """Milliseconds since the epoch."""
        ...

    @property
    def order(self) -> int | None:
        """Position in the session, from 1."""
        ...

    @property
    def end(self) -> bool:
        """Whether the shop says that the visit is over."""
        ...

    @property
    def time_source(self) -> str | None:
        """What made up the event time; None where nothing did."""
        ...

    @property
    def identity(self) -> Any:
        """What makes two clicks of a session the same one (T5)."""
        ...

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """Settling order; begins with event time and order, and is total where there is no order."""
        ...

    @property
    def content(self) -> tuple[Any, ...]:
        """All that it says: of copies of one time that differ, the smallest counts."""
        ...

    @property
    def meets_goal(self) -> bool:
        """Whether it meets the condition of its shop's goal."""
        ...

    @property
    def worth(self) -> float | None:
        """What it is worth where it does; None where the shop does not say."""
        ...

    def __getattr__(self, name: str) -> Any: ...


class CompiledAggregate(Protocol):
    """Counts, sums and extremes over a run of clicks."""

    clicks: int

    def add(self, click: Any) -> None:
        """Count a click that comes after all counted so far."""

    def count(self, click: Any) -> None:
        """Count what does not depend on the order of clicks: a late one."""

    def copied(self) -> Any:
        """A state of its own, equal to this one."""

    def features(self) -> dict[str, Any]:
        """Feature -> value, in the order of the definition."""
        ...

    def __getattr__(self, name: str) -> Any: ...


S = TypeVar("S", bound=SessionStep, default=Any)
A = TypeVar("A", bound=CompiledAggregate, default=Any)


class GoalState(Struct, Generic[A], array_like=True, gc=False):
    """What is known of a goal that is an event: whether a click has met it, and what had been seen before.

    Each click in order before the first that meets the goal is a decision point: a moment at which the models
    could have been asked. They could have looked at what had been counted when the next click settled: one
    that comes late after that changes nothing of it.

    One point is drawn by weight to learn from, as `goal.is_drawn` says: what is drawn depends on the log
    alone, not on who reads it, in which steps, or how often it had to be read again.

    Attributes:
        session_id, opened_at: what the draw hangs on.
        points: decision points so far.
        drawn: the aggregate at the point that is drawn; None while that is the last click.
        reached_at: event time of the first click that met the goal.
        revenue: what the clicks that met it are worth together.
        evidence: the aggregate before the first of them.
    """

    session_id: str
    opened_at: int
    # One that is stored is believed, and counted through.
    points: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    drawn: A | None = None
    reached_at: int | None = None
    revenue: float = 0.0
    evidence: A | None = None

    @property
    def draws_last(self) -> bool:
        """Whether the latest decision point is the one that is drawn."""
        return self.points > 0 and is_drawn(self.session_id, self.opened_at, self.points)

    def settle(self, body: A, click: SessionStep) -> None:
        """Note the next click in order; `body` has counted all before it."""
        if self.reached_at is None and self.draws_last:
            self.drawn = body.copied()
        if click.meets_goal:
            if self.reached_at is None:
                self.reached_at = click.event_time
                self.evidence = body.copied()
            self.revenue += click.worth or 0.0
        elif self.reached_at is None:
            self.points += 1


class Session(Struct, Generic[S, A], array_like=True, gc=False):
    """One window of one session id, from its first settled click on.

    `seen` holds the orders counted, as a flat list of disjoint inclusive ranges [low, high, low, high…];
    `unordered` holds the identities of clicks without an order. A partition adds the clicks, and
    gives the session with the window that it closes:

    >>> from clickstream import Partition, Rules, click_model, load_shop
    >>> Click = click_model(load_shop("uci553").definition)
    >>> partition, shown = Partition(Rules()), dict(category="sale", price=9.0, price_2=2, page=1)
    >>> for offset, (time, product) in enumerate([(0, "A1"), (40_000, "A2"), (9_000_000, "A1")]):
    ...     click = Click(session_id="alice", event_time=time, product=product, **shown)
    ...     partition.advance(offset, time, click)
    >>> session = partition.closed[0].session
    >>> session.clicks, session.evidence, session.opened_at, session.last.product
    (2, 1, 0, 'A2')
    """

    opened_at: int
    last: S
    first_offset: int
    last_offset: int
    body: A
    seen: list[int]
    unordered: set[tuple[bool | int | float | str | None, ...]]
    late: int = 0
    duplicates: int = 0
    goal: GoalState[A] | None = None

    @classmethod
    def open(cls, click: Any, offset: int, body: Any, goal: GoalState | None = None) -> Self:
        """A window that starts with `click`, read at `offset`; `body` has counted nothing yet.

        `goal`: of a shop whose goal is an event.
        """
        session = cls(click.event_time, click, offset, offset, body, [], set(), goal=goal)
        if goal is not None:
            goal.settle(body, click)
        session._remember(click)
        return session

    @property
    def clicks(self) -> int:
        """Distinct clicks counted, late ones included."""
        return self.body.clicks + 1

    @property
    def evidence(self) -> int:
        """Clicks in order before the deciding one; all of them where the goal is an event that never came."""
        return self.clicks - 1 - self.late if self.goal is None else self.goal.points

    @property
    def is_goal_without_visit(self) -> bool:
        """Whether its first click met a goal that is an event: an order that another system reported, say."""
        goal = self.goal
        return goal is not None and goal.reached_at is not None and not goal.points

    @property
    def drawn(self) -> A | None:
        """The aggregate at the decision point that is drawn; None where no later one came."""
        goal = self.goal
        if goal is None or goal.drawn is None:
            return None
        if goal.evidence is None:
            return None if goal.draws_last else goal.drawn
        return goal.drawn if goal.drawn.clicks < goal.evidence.clicks else None

    @property
    def missing(self) -> int:
        """Orders not seen between the smallest and the largest."""
        seen = self.seen
        if len(seen) <= 2:
            return 0  # no order, or one unbroken range
        counted = sum(high - low + 1 for low, high in zip(seen[::2], seen[1::2], strict=True))
        return seen[-1] - seen[0] + 1 - counted

    def has(self, click: S) -> bool:
        """Whether a click of this identity was counted already."""
        if click.order is None:
            return click.identity in self.unordered
        # An odd position is inside a range; an even one may still be a range's inclusive end.
        place = bisect_right(self.seen, click.order)
        return place % 2 == 1 or (place > 0 and self.seen[place - 1] == click.order)

    def add(self, click: S, offset: int) -> bool:
        """Count the next click in order; False where one of its identity was counted already."""
        seen = self.seen
        # Most clicks come with the order that follows, which was not counted.
        if seen and click.order == seen[-1] + 1:
            seen[-1] += 1
        elif self.has(click):
            return False
        else:
            self._remember(click)
        self.body.add(self.last)
        if self.goal is not None:
            self.goal.settle(self.body, click)
        self.last = click
        if offset > self.last_offset:
            self.last_offset = offset
        else:
            self._span(offset)
        return True

    def add_late(self, click: S, offset: int) -> None:
        """Count a click that came too late to take its place in the order."""
        self.body.count(click)
        self.late += 1
        self._remember(click)
        self._span(offset)

    def copied(self) -> Session[S, A]:
        """A window of its own, equal to this one."""
        return type(self)(
            self.opened_at,
            self.last,
            self.first_offset,
            self.last_offset,
            self.body.copied(),
            self.seen.copy(),
            self.unordered.copy(),
            self.late,
            self.duplicates,
            copy(self.goal),  # what it holds is replaced, never changed
        )

    def whole(self) -> A:
        """The aggregate over all clicks, the last included; the body stays as it is."""
        whole: A = self.body.copied()
        whole.add(self.last)
        return whole

    def _span(self, offset: int) -> None:
        if offset > self.last_offset:
            self.last_offset = offset
        elif offset < self.first_offset:
            self.first_offset = offset

    def _remember(self, click: S) -> None:
        order = click.order
        if order is None:
            self.unordered.add(click.identity)
            return
        seen = self.seen
        if not seen:
            seen += (order, order)
        elif order == seen[-1] + 1:
            seen[-1] = order
        else:
            place = bisect_right(seen, order)
            joins_left = place > 0 and seen[place - 1] == order - 1
            joins_right = place < len(seen) and seen[place] == order + 1
            if joins_left and joins_right:
                del seen[place - 1 : place + 1]
            elif joins_left:
                seen[place - 1] = order
            elif joins_right:
                seen[place] = order
            else:
                seen[place:place] = (order, order)
