"""Independent: a part of the sessions, or all, read a second time by the audit's own interpreter.

What the log makes of the clicks is computed by the code that the consumers run; a fault of that code would be
on both sides of the comparison. So the windows of some sessions, drawn by a hash of their id, are made again
from their clicks alone, and features, outcome and offsets are held against each other.

Memory is bounded: where more than `MOST` drawn sessions are open on a partition, half of the draw is dropped.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from clickstream.audit.expected import Facts, differences
from clickstream.audit.interpreter import InterpretedWindow, Interpreter, KeptClick, Limits
from clickstream.audit.report import Difference
from clickstream.records.click import Click, Heartbeat

ONE_IN = 8
"""Of so many sessions one is read a second time."""

MOST = 1_000

_ALL = 1 << 64
_SAME = 1e-9


class ReadWindow(NamedTuple):
    """A window by the reading under audit: its facts, and what the models may see of it."""

    facts: Facts
    prefix: Mapping[str, Any] | None


class Disagreement(NamedTuple):
    """A window, or a record, of which the two readings differ."""

    id: str
    detail: str
    differences: tuple[Difference, ...] = ()


class IndependentReading:
    """One partition.

    Attributes:
        windows: those that were read twice.
    """

    def __init__(self, rules: Limits, whole: bool, most: int = MOST) -> None:
        self.windows = 0
        self._below = _ALL if whole else _ALL // ONE_IN
        self._most = _ALL if whole else most
        self._whole = whole
        self._rules = rules
        self._interpreter = Interpreter(rules, self.is_drawn, whole)

    def is_drawn(self, session_id: str) -> bool:
        """Whether a session is read a second time."""
        return self._whole or _hash(session_id) < self._below

    def advance(
        self,
        offset: int,
        timestamp: int | None,
        record: Click | Heartbeat,
        reads: Sequence[ReadWindow],
        refused: str | None,
        open_sessions: int,
        all_early: int,
    ) -> list[Disagreement]:
        """Read the next record, and compare.

        Args:
            reads: the windows of drawn sessions that the reading under audit closes with it.
            refused: the reason for which it refuses the record.
            open_sessions: how many are open then by that reading.
            all_early: up to which event time it takes a click of any session for late.
        """
        own = self._interpreter
        own.read(offset, timestamp, record)
        if not self._whole:
            own.all_early = all_early  # decided by all sessions: taken on trust
        if not self._whole and open_sessions >= self._rules.max_open_sessions:
            # Which session the bound closes depends on all of them: taken on trust.
            mine = {window.session_id for window in own.closed}
            for read in reads:
                session_id = read.facts["session_id"]
                if read.facts["closed_by"] == "limit" and session_id not in mine:
                    own.close_all(session_id, offset, "limit")
                    mine.add(session_id)
        found = [*self._compare(own.closed, reads)] if own.closed or reads else []
        drawn = isinstance(record, Heartbeat) or self.is_drawn(record.session_id)
        if (drawn or own.refused in ("invalid", "future", "past")) and own.refused != (refused or ""):
            name = record.session_id if isinstance(record, Click) else "heartbeat"
            found.append(
                Disagreement(
                    f"{name} at offset {offset}",
                    f"a plain reading refuses the record as {own.refused or 'nothing'},"
                    f" the other as {refused or 'nothing'}",
                )
            )
        if len(own.visits) > self._most:
            self._below //= 2
            for session_id in [one for one in own.visits if not self.is_drawn(one)]:
                own.drop(session_id)
        return found

    def _compare(self, mine: Sequence[InterpretedWindow], reads: Sequence[ReadWindow]) -> list[Disagreement]:
        self.windows += len(mine)
        found = []
        ours = {_name(window): window for window in mine}
        theirs = {read.facts["score_id"]: read for read in reads}
        for name in ours.keys() | theirs.keys():
            if name not in theirs:
                window = ours[name]
                found.append(
                    Disagreement(
                        name, f"a plain reading closes it here, by {window.closed_by}; the other does not"
                    )
                )
            elif name not in ours:
                found.append(Disagreement(name, "a plain reading closes no such window here"))
            elif differ := _differences(ours[name], theirs[name]):
                found.append(Disagreement(name, "a plain reading of its clicks differs", differ))
        if not found and list(ours) != list(theirs):
            order = ", ".join(ours)
            found.append(
                Disagreement(next(iter(ours)), f"a plain reading closes windows in the order {order}")
            )
        return found


def window_features(counted: Sequence[KeptClick], in_order: Sequence[KeptClick]) -> dict[str, Any]:
    """The features of some clicks: those that depend on the order from the ones `in_order`."""
    clicks = [kept.click for kept in counted]
    ordered = [kept.click for kept in in_order]
    first, last, n = ordered[0], ordered[-1], len(clicks)
    prices = [click.price for click in clicks]
    mean = math.fsum(prices) / n
    shares = [count / n for count in Counter(click.category for click in clicks).values()]
    premium = sum(click.price_2 == 1 for click in clicks)
    products = len({click.product for click in clicks})
    return {
        "session_length": n,
        "n_unique_models": products,
        "n_unique_categories": len(shares),
        "category_entropy": -sum(share * math.log2(share) for share in shares) if len(shares) > 1 else 0.0,
        "mean_price": mean,
        "max_price": max(prices),
        "min_price": min(prices),
        "std_price": math.sqrt(math.fsum((price - mean) ** 2 for price in prices) / n),
        "last_price": last.price,
        "last_price_2": last.price_2,
        "num_high_price_views": premium,
        "pct_price2_views": premium / n,
        "first_page": first.page,
        "last_page": last.page,
        "first_category": first.category,
        "last_category": last.category,
        "first_eq_last_category": 1 if first.category == last.category else 0,
        "models_per_click": products / n,
        "last_order": n if last.order is None else last.order,
        "navigation_depth": max(click.page for click in clicks),
        "category_transitions": sum(one.category != other.category for one, other in pairwise(ordered)),
    }


def seen_before_the_last(window: InterpretedWindow) -> dict[str, Any] | None:
    """The features of all clicks but the last, with the last product seen; None: there are none."""
    before = window.settled[:-1]
    if not before:
        return None
    return window_features((*before, *window.late), before) | {"last_product": before[-1].click.product}


def facts_of(window: InterpretedWindow) -> Facts:
    """What a score of the window must say, by its clicks alone."""
    counted = (*window.settled, *window.late)
    last = window.settled[-1].click
    opened_at = window.settled[0].time
    orders = {kept.click.order for kept in counted if kept.click.order is not None}
    offsets = [kept.offset for kept in counted]
    return {
        "score_id": f"{window.session_id}/{opened_at}",
        "session_id": window.session_id,
        "opened_at": opened_at,
        "last_click_at": last.event_time,
        "closed_by": window.closed_by,
        "clicks": len(counted),
        "duplicates": window.duplicates,
        "late": len(window.late),
        "missing": max(orders) - min(orders) + 1 - len(orders) if orders else 0,
        "features": window_features(counted, window.settled),
        "evidence": len(window.settled) - 1,
        "outcome": {
            "converted": last.price_2 == 1 or last.page >= 4,
            "revenue": last.price,
            "source": "proxy",
        },
        "time_source": last.time_source,
        "first_offset": min(offsets),
        "last_offset": max(offsets),
        "closing_offset": window.offset,
    }


def _differences(window: InterpretedWindow, read: ReadWindow) -> tuple[Difference, ...]:
    mine = facts_of(window) | {"prefix": seen_before_the_last(window) or "no evidence"}
    places = read.facts["source"]
    theirs = {name: places.get(name, read.facts.get(name)) for name in mine}
    theirs["prefix"] = "no evidence" if read.prefix is None else dict(read.prefix)
    return tuple(one for one in differences(mine, theirs) if not _is_rounding(one.expected, one.found, mine))


def _is_rounding(one: object, other: object, mine: Facts) -> bool:
    """Sums in another order differ in their last digits."""
    if not (isinstance(one, float) and isinstance(other, float)):
        return False
    return math.isclose(one, other, rel_tol=_SAME, abs_tol=_SAME * max(1.0, mine["features"]["max_price"]))


def _name(window: InterpretedWindow) -> str:
    return f"{window.session_id}/{window.settled[0].time}"


def _hash(session_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(session_id.encode(errors="replace"), digest_size=8).digest())
