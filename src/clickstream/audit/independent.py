"""Independent: a part of the sessions, or all, read a second time by the audit's own interpreter.

What the log makes of the clicks is computed by the code that the consumers run; a fault of that code would be
on both sides of the comparison. So the windows of some sessions, drawn by a hash of their id, are made again
from their clicks alone, what they say is read off the shop's definition literally, and features, outcome and
offsets are held against each other.

Memory is bounded: where more than `MOST` drawn sessions are open on a partition, half of the draw is dropped.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clickstream.audit.expected import Facts, differences
from clickstream.audit.plain import InterpretedVisit, InterpretedWindow, KeptClick, PlainReading
from clickstream.audit.report import Difference
from clickstream.features import interpreter as literal
from clickstream.features.definition import ShopDefinition
from clickstream.records.click import Click, Forget, Heartbeat
from clickstream.records.reasons import CUT
from clickstream.windows.rules import Rules

ONE_IN = 8
"""Of so many sessions one is read a second time."""

MOST = 1_000

_ALL = 1 << 64
_SAME = 1e-9


class ReadWindow(NamedTuple):
    """A window by the reading under audit: its facts, what the models may see of it, and learn from."""

    facts: Facts
    evidence: Mapping[str, Any] | None
    lesson: Mapping[str, Any] | None


class ReadPoint(NamedTuple):
    """A session that is open at a click, by the reading under audit: its facts, and what the models see."""

    facts: Facts
    features: Mapping[str, Any]


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

    def __init__(
        self,
        rules: Rules,
        definition: ShopDefinition,
        whole: bool,
        most: int = MOST,
        opens: bool = False,
    ) -> None:
        self._definition = definition
        self.windows = 0
        self._below = _ALL if whole else _ALL // ONE_IN
        self._most = _ALL if whole else most
        self._whole = whole
        self._rules = rules
        self._plain = PlainReading(rules, definition, self.is_drawn, whole, opens)

    def is_drawn(self, session_id: str) -> bool:
        """Whether a session is read a second time."""
        return self._whole or _hash(session_id) < self._below

    def advance(
        self,
        offset: int,
        timestamp: int | None,
        record: Click | Heartbeat | Forget,
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
        own = self._plain
        own.read(offset, timestamp, record)
        if not self._whole:
            own.all_early = all_early  # decided by all sessions: taken on trust
        if not self._whole and open_sessions >= self._rules.max_open_sessions:
            # Which session the bound closes depends on all of them: taken on trust.
            mine = {window.session_id for window in own.closed}
            for read in reads:
                session_id = read.facts["session_id"]
                if read.facts["closed_by"] in CUT and session_id not in mine:
                    own.close_all(session_id, offset, read.facts["closed_by"])
                    mine.add(session_id)
        found = [*self._compare(own.closed, reads)] if own.closed or reads else []
        drawn = isinstance(record, Heartbeat) or self.is_drawn(record.session_id)
        if (drawn or own.refused in ("invalid", "future", "past")) and own.refused != (refused or ""):
            name = "heartbeat" if isinstance(record, Heartbeat) else record.session_id
            both = f"as {own.refused or 'nothing'}, the other as {refused or 'nothing'}"
            detail = f"a plain reading refuses the record {both}"
            found.append(Disagreement(f"{name} at offset {offset}", detail))
        if len(own.visits) > self._most:
            self._below //= 2
            for session_id in [one for one in own.visits if not self.is_drawn(one)]:
                own.drop(session_id)
        return found

    def compare_points(self, reads: Sequence[ReadPoint]) -> list[Disagreement]:
        """Compare what is open at the record that was read last; `reads` as by the reading under audit."""
        mine = self._plain.opened
        theirs = reads[0] if reads else None
        if mine is None and theirs is None:
            return []
        if mine is None or theirs is None:
            name = (
                f"{mine.session_id} at offset {mine.offset}"
                if mine
                else theirs and theirs.facts["open_score_id"]
            )
            which = "a plain reading" if theirs is None else "the other reading"
            return [Disagreement(str(name), f"only {which} finds the session open at this click")]
        ours = opened_facts(self._definition, mine)
        found = {name: theirs.facts["source"].get(name, theirs.facts.get(name)) for name in ours}
        found["features"] = dict(theirs.features)
        scale = _largest(mine.settled, mine.late)
        differ = tuple(
            one for one in differences(ours, found) if not _is_rounding(one.expected, one.found, scale)
        )
        detail = "a plain reading of its clicks so far differs"
        return [Disagreement(theirs.facts["open_score_id"], detail, differ)] if differ else []

    def _compare(self, mine: Sequence[InterpretedWindow], reads: Sequence[ReadWindow]) -> list[Disagreement]:
        self.windows += len(mine)
        ours = {_name(window): window for window in mine}
        theirs = {read.facts["score_id"]: read for read in reads}
        found = [
            Disagreement(name, f"a plain reading closes it here, by {window.closed_by}; the other does not")
            for name, window in ours.items()
            if name not in theirs
        ]
        for name, read in theirs.items():
            if name not in ours:
                found.append(Disagreement(name, "a plain reading closes no such window here"))
            elif differ := _differences(self._definition, ours[name], read):
                found.append(Disagreement(name, "a plain reading of its clicks differs", differ))
        if not found and list(ours) != list(theirs):
            order = f"a plain reading closes windows in the order {', '.join(ours)}"
            found.append(Disagreement(next(iter(ours)), order))
        return found


def opened_facts(definition: ShopDefinition, visit: InterpretedVisit) -> Facts:
    """What an open score must say, and what the models see, by the clicks so far alone."""
    opened_at = visit.settled[0].time
    clicks = literal.WindowClicks(
        [kept.row for kept in visit.settled], [literal.Late(kept.row, kept.after) for kept in visit.late]
    )
    return {
        "open_score_id": f"{visit.session_id}/{opened_at}/{visit.offset}",
        "session_id": visit.session_id,
        "opened_at": opened_at,
        "event_time": visit.arrived.time,
        "clicks": len(visit.settled) + len(visit.late),
        "offset": visit.offset,
        "time_source": visit.arrived.click.time_source,
        "features": literal.features(definition, clicks),
    }


def visit_of(window: InterpretedWindow) -> literal.WindowClicks:
    """The clicks of a window as the definition speaks of them."""
    late = [literal.Late(kept.row, kept.after) for kept in window.late]
    return literal.WindowClicks([kept.row for kept in window.settled], late)


def evidence_of(definition: ShopDefinition, window: InterpretedWindow) -> dict[str, Any] | None:
    """The features that a prediction may look at; None: there is nothing."""
    return _features(definition, literal.evidence(definition, visit_of(window)))


def lesson_of(definition: ShopDefinition, window: InterpretedWindow) -> dict[str, Any] | None:
    """The features that the online models learn from; None: there is nothing."""
    return _features(definition, literal.lesson(definition, window.session_id, visit_of(window)))


def _features(definition: ShopDefinition, seen: literal.WindowClicks) -> dict[str, Any] | None:
    return literal.features(definition, seen) if seen.in_order else None


def _drawn(definition: ShopDefinition, window: InterpretedWindow) -> dict[str, int] | None:
    """The decision point that is drawn, where it is not the last."""
    visit = visit_of(window)
    drawn = literal.lesson(definition, window.session_id, visit)
    if len(drawn.in_order) == len(literal.evidence(definition, visit).in_order):
        return None
    return {"clicks": len(drawn.in_order) + len(drawn.late)}


def facts_of(definition: ShopDefinition, window: InterpretedWindow) -> Facts:
    """What a score of the window must say, by its clicks alone."""
    visit = visit_of(window)
    became = literal.achieved(definition, visit.in_order)
    values = literal.features(definition, visit)
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
        "features": {one.name: values[one.name] for one in definition.features if one.in_scores},
        "evidence": len(literal.evidence(definition, visit).in_order),
        **({} if definition.goal.last_click else {"drawn": _drawn(definition, window)}),
        "outcome": {
            "converted": became.converted,
            "revenue": became.revenue,
            "source": "proxy" if definition.goal.last_click else "goal",
            "at": None if became.at is None else window.settled[became.at].time,
        },
        "time_source": last.time_source,
        "first_offset": min(offsets),
        "last_offset": max(offsets),
        "closing_offset": window.offset,
    }


def _differences(
    definition: ShopDefinition, window: InterpretedWindow, read: ReadWindow
) -> tuple[Difference, ...]:
    mine = facts_of(definition, window)
    places = read.facts["source"]
    theirs = {name: places.get(name, read.facts.get(name)) for name in mine}
    for name, ours, others in (
        ("prefix", evidence_of(definition, window), read.evidence),
        ("lesson", lesson_of(definition, window), read.lesson),
    ):
        mine[name], theirs[name] = ours or "no evidence", dict(others or {}) or "no evidence"
    scale = _largest(window.settled, window.late)
    return tuple(one for one in differences(mine, theirs) if not _is_rounding(one.expected, one.found, scale))


def _largest(*clicks: Sequence[KeptClick]) -> float:
    """The largest number that they carry."""
    values = [value for some in clicks for kept in some for value in kept.row.values()]
    return max((abs(value) for value in values if isinstance(value, float)), default=0.0)


def _is_rounding(one: object, other: object, scale: float) -> bool:
    """Sums in another order differ in their last digits."""
    if not (isinstance(one, float) and isinstance(other, float)):
        return False
    return math.isclose(one, other, rel_tol=_SAME, abs_tol=_SAME * max(1.0, scale))


def _name(window: InterpretedWindow) -> str:
    return f"{window.session_id}/{window.settled[0].time}"


def _hash(session_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(session_id.encode(errors="replace"), digest_size=8).digest())
