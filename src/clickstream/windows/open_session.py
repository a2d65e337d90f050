"""What is open of one session id: its clicks settle here, and here it is decided when its window closes.

The rules T1 to T10 are described, with examples in numbers, in docs/semantics.md.

gc=False: what waits and what settles holds nothing that could hold it, so no search for cycles needs it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, ClassVar, Generic

from msgspec import Struct

from clickstream.features.session import A, S, Session
from clickstream.records.reasons import ClosedBy
from clickstream.windows.rules import Rules

FOREVER = 1 << 62
"""An event time beyond all others."""


class PendingClick(Struct, Generic[S], array_like=True, gc=False):
    """A click that the watermark has not passed, and how many copies of it came."""

    click: S
    offset: int
    copies: int = 0


def _order(pending: PendingClick) -> tuple[Any, ...]:
    key: tuple[Any, ...] = pending.click.sort_key
    return key


class OpenSession(Struct, Generic[S, A], array_like=True, gc=False):
    """All that is open of one session id: a window of settled clicks, and clicks that wait, in order.

    `fired`: conditions on open scores, and the event time of the click with which each held first.

    Stored state is decoded as `OpenSession[step, aggregate]` of a shop.
    """

    window: Session[S, A] | None = None
    pending: list[PendingClick[S]] = []
    fired: dict[str, int] = {}

    windows: ClassVar[type[Session]] = Session

    def settle(
        self, session_id: str, watermark: int, rules: Rules, last_word: ClosedBy = "gap"
    ) -> ClosedBy | None:
        """Settle clicks before `watermark`, up to the first that closes the window; say what closed it.

        A window closes with the whole millisecond of the click that closes it, so two windows of a session
        never open at the same time. `last_word` is the reason given when all is settled and the inactivity
        gap has passed.
        """
        pending = self.pending
        settled = 0
        window, gap, max_clicks = self.window, rules.gap, rules.max_clicks
        # A late click may have filled it.
        closed: ClosedBy | None = "limit" if window is not None and window.clicks >= max_clicks else None
        for waiting in pending:
            click = waiting.click
            if closed is None:
                if click.event_time >= watermark:
                    break
            elif window is not None and click.event_time > window.last.event_time:
                break
            if window is None:
                self.window = window = self.windows.open(
                    click, waiting.offset, *rules.shop.begin(session_id, click)
                )
            elif click.event_time > window.last.event_time + gap:
                closed = "gap"
                break
            elif not window.add(click, waiting.offset):
                window.duplicates += 1 + waiting.copies
                settled += 1
                continue
            window.duplicates += waiting.copies
            settled += 1
            if closed is None and click.end:
                closed = "end"
            elif closed is None and window.clicks >= max_clicks:
                closed = "limit"
        if settled:
            del pending[:settled]
        if closed is None and window is not None and watermark > window.last.event_time + gap:
            return last_word
        return closed

    def is_followed_by(self, click: S, rules: Rules) -> bool:
        """Whether a click comes after all others, in time, and neither ends the visit nor fills a bound.

        It moves nothing that is before it, and makes no window due sooner.
        """
        pending, window = self.pending, self.window
        waiting = len(pending)
        clicks = waiting if window is None else waiting + window.clicks
        if click.end or clicks + 1 >= rules.max_clicks or waiting >= rules.max_pending:
            return False
        last = pending[-1].click if pending else None if window is None else window.last
        return last is not None and click.event_time > last.event_time

    def due(self, rules: Rules) -> int:
        """The smallest watermark at which a window of this session closes (T3)."""
        window = self.window
        last, clicks = -1, 0
        if window is not None:
            last, clicks = window.last.event_time, window.clicks
            if clicks >= rules.max_clicks:
                return -FOREVER  # a late click filled it: it closes at once
        gap, max_clicks = rules.gap, rules.max_clicks
        counted = set()
        for waiting in self.pending:
            click = waiting.click
            order, event_time = click.order, click.event_time
            identity = click.identity if order is None else order
            if clicks:
                if event_time > last + gap:
                    break
                if identity in counted or (window is not None and window.has(click)):
                    continue
            counted.add(identity)
            last = event_time
            clicks += 1
            if click.end or clicks >= max_clicks:
                return last + 1
        return last + gap + 1

    def find(self, click: S) -> tuple[int, PendingClick[S] | None]:
        """The place of `click` among those that wait, and the one there if time and identity are the same."""
        order, pending = click.order, self.pending
        # An order alone makes two clicks the same: what begins with it is in its place.
        key = click.sort_key if order is None else (click.event_time, order)
        place = bisect_left(pending, key, key=_order)
        if place < len(pending):
            other = pending[place]
            if other.click.event_time == click.event_time and other.click.identity == click.identity:
                return place, other
        return place, None

    def copy_of(self, click: S, due: int, rules: Rules) -> PendingClick[S] | None:
        """The click that waits for the next window to close and has the identity of `click`, which came late.

        `due` is that of the session: the first window takes what lies before it, and nothing else.
        """
        pending = self.pending
        joins = click.event_time + rules.gap
        if not pending or (self.window is None and pending[0].click.event_time > joins):
            return None
        if click.order is None:
            same = self.find(click)[1]
            return same if click.event_time < due else None
        for waiting in pending:
            if waiting.click.event_time >= due:
                break
            if waiting.click.order == click.order:
                return waiting
        return None
