"""What became of a session."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Source = Literal["goal", "proxy"]
"""Whether a click met the shop's goal, or a rule over the last click stands for one."""


class Outcome(NamedTuple):
    """Whether the session converted, and what it was worth.

    `revenue` is in the shop's currency, None where the shop does not say what a conversion is worth. `at` is
    the event time of the click that decided; None where the session did not convert.

    Of the e-shop of 2008 it is a proxy: the dataset holds no purchase. The published work calls a session
    converted when its last click shows a product priced above its category's mean, or lies on page 4 or 5 of
    the shop; its revenue is that product's price. We compute the same and never call it more than a proxy.
    """

    converted: bool
    revenue: float | None
    source: Source = "proxy"
    at: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Name -> value: `_asdict`, at a third of the cost."""
        converted, revenue, source, at = self
        return {"converted": converted, "revenue": revenue, "source": source, "at": at}
