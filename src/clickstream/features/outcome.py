"""The proxy outcome of a closed session: a rule over its last click.

The dataset holds no purchase. The published work calls a session converted when its last click shows a
product priced above its category's mean, or lies on page 4 or 5 of the shop; its revenue is that product's
price. We compute the same and never call it more than a proxy.
"""

from __future__ import annotations

from typing import NamedTuple

from clickstream.features.session import SessionStep

DEEP_PAGE = 4


class Outcome(NamedTuple):
    """`revenue` in the currency of the shop (US dollars in 2008); 0 where its goal has no value."""

    converted: bool
    revenue: float


def proxy_outcome(last: SessionStep) -> Outcome:
    """The outcome that the last click of a session decides."""
    return Outcome(last.price_2 == 1 or last.page >= DEEP_PAGE, last.price)
