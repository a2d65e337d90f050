"""Scores and dead letters summed by session: for a ledger of faults, and to compare two runs."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Set
from typing import Any, Literal

import orjson

from clickstream.audit.spill import SessionSum, Spill
from clickstream.records.score import DeadLetter, digest_line

COUNTERS = ("duplicates", "late", "missing")


class SessionSums:
    """Sums over what is added.

    Attributes:
        counts: (session id, counter) -> its sum, for the sessions named.
        letters: (session id, reason, or None for any) -> dead letters with that key or session_id.

    Args:
        compared_on: where to keep what is compared with another run; None: nothing is.
        run: which of the two this is.
    """

    def __init__(
        self,
        named: Set[str] = frozenset(),
        compared_on: Spill | None = None,
        run: Literal["ours", "baseline"] = "ours",
    ) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.letters: Counter[tuple[str, str | None]] = Counter()
        self._named = named
        self._spill = compared_on
        self._run = run

    def add(self, score: Mapping[str, Any]) -> None:
        """Count a score."""
        session_id = score["session_id"]
        if session_id in self._named:
            for counter in COUNTERS:
                self.counts[session_id, counter] += score[counter]
        if self._spill is not None:
            content = digest_line(score, "across-logs")[:16]
            self._spill.add_sum(SessionSum(session_id, self._run, content, score["duplicates"]))

    def add_dead_letter(self, letter: DeadLetter) -> None:
        """Count a dead letter for the session that its key names, and the one that its value names."""
        if not self._named:
            return
        names = {_text(letter.key), _session_of(letter.value)} & self._named
        for name in names:
            self.letters[name, letter.reason] += 1
            self.letters[name, None] += 1


def _text(key: str | None) -> str:
    return "" if key is None else base64.b64decode(key).decode(errors="replace")


def _session_of(value: str | None) -> str:
    try:
        fields = orjson.loads(base64.b64decode(value or ""))
    except ValueError:
        return ""
    session_id = fields.get("session_id") if isinstance(fields, dict) else None
    return session_id if isinstance(session_id, str) else ""
