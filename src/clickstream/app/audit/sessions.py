"""Scores and dead letters summed by session: for a ledger of faults, and to compare two runs."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import orjson

from clickstream.consumer.score import DeadLetter, comparable

COUNTERS = ("duplicates", "late", "missing")

_MASK = (1 << 128) - 1


class Compared(NamedTuple):
    """All scores of a session: a sum over the digests of what compares across logs, and copies dropped."""

    content: int = 0
    duplicates: int = 0


class SessionSums:
    """Sums over what is added.

    Attributes:
        counts: (session id, counter) -> its sum, for the sessions named.
        letters: (session id, reason, or None for any) -> dead letters with that key or session_id.
        compared: by session id; only with `compare`.
    """

    def __init__(self, named: Set[str] = frozenset(), compare: bool = False) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.letters: Counter[tuple[str, str | None]] = Counter()
        self.compared: dict[str, Compared] = {}
        self._named = named
        self._compare = compare

    def add(self, score: Mapping[str, Any]) -> None:
        """Count a score."""
        session_id = score["session_id"]
        if session_id in self._named:
            for counter in COUNTERS:
                self.counts[session_id, counter] += score[counter]
        if self._compare:
            content = orjson.dumps(comparable(score, "across-logs"), option=orjson.OPT_SORT_KEYS)
            number = int.from_bytes(hashlib.sha256(content).digest()[:16])
            before = self.compared.get(session_id, Compared())
            self.compared[session_id] = Compared(
                (before.content + number) & _MASK, before.duplicates + score["duplicates"]
            )

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
