"""Windows of any shop: the sessions of a log cut by the rules of time, as the stream cuts them.

A file is read whole, so no click of it is late: what is left of the rules is the gap, `end`, `max_clicks`
and copies (T3, T5, T7 in docs/semantics.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from clickstream.models.shop.examples import ShopWindow
from clickstream.windows.rules import Rules


def shop_windows(sessions: dict[str, list[Any]], rules: Rules) -> list[ShopWindow]:
    """All windows of a log, by the time at which they open, then by session id.

    Args:
        sessions: session id -> its clicks in (event time, order) order.
    """
    windows = [
        ShopWindow(session_id, window)
        for session_id, clicks in sessions.items()
        for window in cut_visits(clicks, rules)
    ]
    windows.sort(key=lambda window: (window.opened_at, window.session_id))
    return windows


def cut_visits(clicks: Sequence[Any], rules: Rules) -> Iterator[list[Any]]:
    """The windows of one session, in order; copies are left out."""
    window: list[Any] = []
    seen: set[Any] = set()
    closing = False
    for click in clicks:
        if window:
            since = click.event_time - window[-1].event_time
            # A window closes with the whole millisecond of the click that closes it.
            if since > rules.gap or (closing and since > 0):
                yield window
                window, seen, closing = [], set(), False
        if click.identity in seen:
            continue
        seen.add(click.identity)
        window.append(click)
        closing = closing or click.end or len(window) >= rules.max_clicks
    if window:
        yield window
