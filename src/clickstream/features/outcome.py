"""What became of a session."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """Whether the session converted, and what it was worth (`revenue`, in the shop's currency).

    Of the e-shop of 2008 it is a proxy: the dataset holds no purchase. The published work calls a session
    converted when its last click shows a product priced above its category's mean, or lies on page 4 or 5 of
    the shop; its revenue is that product's price. We compute the same and never call it more than a proxy.
    """

    converted: bool
    revenue: float
