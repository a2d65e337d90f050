"""Session: the O(1) fold of clicks, in event-time order.

A session keeps two things apart: its `body`, an Aggregate over all clicks but the last, and the `last`
click. The last click decides the outcome, so what a model may honestly see is the body alone; what the
published models see is the body with the last click added. Both are one step away at any moment.

Clicks must be added in (event time, order) order; `add_late` takes the exception.
"""

from __future__ import annotations

from bisect import bisect_right
from copy import copy

from msgspec import Struct

FOLD_VERSION = 1
"""Raised when the same clicks would give another Session: open state is then refused, not misread."""


class SessionStep(Struct, array_like=True, frozen=True, gc=False):
    """What the fold needs of one click."""

    event_time: int
    order: int | None
    product: str
    category: str
    price: float
    price_2: int
    page: int
    end: bool = False
    time_source: str | None = None

    @property
    def identity(self) -> int | tuple[int, str, int]:
        """What makes two clicks of a session the same one (T5)."""
        return self.order if self.order is not None else (self.event_time, self.product, self.page)

    @property
    def sort_key(self) -> tuple[int, int, str, int]:
        """Settling order. Product and page make it total where there is no `order`."""
        return (self.event_time, self.order or 0, self.product, self.page)


class Aggregate(Struct, array_like=True):
    """Counts, sums and extremes over a run of clicks, and its first and last click in order."""

    clicks: int = 0
    products: set[str] = set()
    categories: dict[str, int] = {}
    mean_price: float = 0.0
    squares: float = 0.0
    """Sum of squared deviations from the mean (Welford 1962)."""
    max_price: float = 0.0
    min_price: float = 0.0
    premium: int = 0
    depth: int = 0
    transitions: int = 0
    first: SessionStep | None = None
    last: SessionStep | None = None

    def add(self, click: SessionStep) -> None:
        """Count a click that comes after all counted so far."""
        self.count(click)
        if self.last is None:
            self.first = click
        elif click.category != self.last.category:
            self.transitions += 1
        self.last = click

    def count(self, click: SessionStep) -> None:
        """Count what does not depend on the order of clicks."""
        price = click.price
        self.clicks = clicks = self.clicks + 1
        self.products.add(click.product)
        categories = self.categories
        categories[click.category] = categories.get(click.category, 0) + 1
        deviation = price - self.mean_price
        self.mean_price += deviation / clicks
        self.squares += deviation * (price - self.mean_price)
        if clicks == 1:
            self.max_price = self.min_price = price
        elif price > self.max_price:
            self.max_price = price
        elif price < self.min_price:
            self.min_price = price
        if click.price_2 == 1:
            self.premium += 1
        if click.page > self.depth:
            self.depth = click.page

    def with_click(self, click: SessionStep) -> Aggregate:
        """A new aggregate with `click` added; this one stays as it is."""
        whole = copy(self)
        whole.products = set(self.products)
        whole.categories = dict(self.categories)
        whole.add(click)
        return whole


class Session(Struct, array_like=True):
    """One window of one session id, from its first settled click on.

    `seen` holds the orders counted, as a flat list of disjoint inclusive ranges [low, high, low, high…];
    `unordered` holds (event time, product, page) of clicks without an order. A partition adds the clicks, and
    gives the session with the window that it closes:

    >>> from clickstream import Click, Partition, Rules
    >>> partition, shown = Partition(Rules()), dict(category="sale", price=9.0, price_2=2, page=1)
    >>> for offset, (time, product) in enumerate([(0, "A1"), (40_000, "A2"), (9_000_000, "A1")]):
    ...     click = Click(session_id="alice", event_time=time, product=product, **shown)
    ...     partition.advance(offset, time, click)
    >>> session = partition.closed[0].session
    >>> session.clicks, session.evidence, session.opened_at, session.last.product
    (2, 1, 0, 'A2')
    """

    opened_at: int
    last: SessionStep
    first_offset: int
    last_offset: int
    body: Aggregate
    seen: list[int]
    unordered: set[tuple[int, str, int]]
    late: int = 0
    duplicates: int = 0

    @classmethod
    def open(cls, click: SessionStep, offset: int) -> Session:
        """A window that starts with `click`, read at `offset`."""
        session = cls(click.event_time, click, offset, offset, Aggregate(), [], set())
        session._remember(click)
        return session

    @property
    def clicks(self) -> int:
        """Distinct clicks counted, late ones included."""
        return self.body.clicks + 1

    @property
    def evidence(self) -> int:
        """Clicks in order before the deciding one."""
        return self.clicks - 1 - self.late

    @property
    def missing(self) -> int:
        """Orders not seen between the smallest and the largest."""
        seen = self.seen
        if len(seen) <= 2:
            return 0  # no order, or one unbroken range
        counted = sum(high - low + 1 for low, high in zip(seen[::2], seen[1::2], strict=True))
        return seen[-1] - seen[0] + 1 - counted

    def has(self, click: SessionStep) -> bool:
        """Whether a click of this identity was counted already."""
        if click.order is None:
            return (click.event_time, click.product, click.page) in self.unordered
        # An odd position is inside a range; an even one may still be a range's inclusive end.
        place = bisect_right(self.seen, click.order)
        return place % 2 == 1 or (place > 0 and self.seen[place - 1] == click.order)

    def add(self, click: SessionStep, offset: int) -> None:
        """Count the next click in order. The caller has asked `has` before."""
        self.body.add(self.last)
        self.last = click
        self._remember(click)
        self._span(offset)

    def add_late(self, click: SessionStep, offset: int) -> None:
        """Count a click that came too late to take its place in the order."""
        self.body.count(click)
        self.late += 1
        self._remember(click)
        self._span(offset)

    def whole(self) -> Aggregate:
        """The aggregate over all clicks, the last included."""
        return self.body.with_click(self.last)

    def _span(self, offset: int) -> None:
        if offset > self.last_offset:
            self.last_offset = offset
        elif offset < self.first_offset:
            self.first_offset = offset

    def _remember(self, click: SessionStep) -> None:
        order = click.order
        if order is None:
            self.unordered.add((click.event_time, click.product, click.page))
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
