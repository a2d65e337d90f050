"""Published records that differ from what is expected, until they are compared field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from clickstream.audit.expected import Facts, differences, published_facts
from clickstream.audit.report import EXAMPLES, Finding, Place, RecordKind, Tally
from clickstream.infra.kafka import Record

RecordLookup = Callable[[str, Iterable[Place]], Iterable[Record]]
"""The records at some places of one topic, perhaps among others of it."""


class _Mismatch(NamedTuple):
    what: RecordKind
    id: str
    cause: Place
    found: Place
    expected: Facts


class Mismatches:
    """Counts mismatches, and keeps the first few of each kind."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._left: list[_Mismatch] = []

    def add_score(self, score_id: str, cause: Place, found: Place, expected: Facts) -> None:
        """A published score does not hold what is expected."""
        self._tally.add_wrong(score_id)
        self._add(_Mismatch("score", score_id, cause, found, expected))

    def add_open_score(self, name: str, cause: Place, found: Place, expected: Facts) -> None:
        """A published open score does not hold what is expected."""
        self._tally.opened.wrong += 1
        self._add(_Mismatch("open score", name, cause, found, expected))

    def add_letter(self, reason: str, cause: Place, found: Place, expected: Facts) -> None:
        """A published dead letter does not hold what is expected."""
        self._tally.letters(reason).wrong += 1
        self._add(_Mismatch("dead letter", reason, cause, found, expected))

    def _add(self, mismatch: _Mismatch) -> None:
        if sum(one.what == mismatch.what for one in self._left) < EXAMPLES:
            self._left.append(mismatch)

    def explain(self, lookup: RecordLookup) -> None:
        """Report how each of them differs, as far as its record is still on the topic."""
        tally = self._tally
        topics: dict[str, list[Place]] = {}
        for one in self._left:
            topics.setdefault(one.found.topic, []).append(one.found)
        for topic, places in topics.items():
            wanted = set(places)
            for record in lookup(topic, places):
                here = Place(record.topic, record.partition, record.offset)
                if here not in wanted:
                    continue
                for one in [one for one in self._left if one.found == here]:
                    self._left.remove(one)
                    found = _part(orjson.loads(record.value or b"null"), one.expected)
                    differ = differences(one.expected, found)
                    tally.add_finding(Finding("wrong", one.what, one.id, one.cause, here, "", differ))
        for one in self._left:
            detail = "the record is no longer there to be looked at"
            tally.add_finding(Finding("wrong", one.what, one.id, one.cause, one.found, detail))
        self._left.clear()


def _part(found: Mapping[str, Any], expected: Facts) -> dict[str, Any]:
    """The part of a published record that `expected` speaks of."""
    return _at_the_same_paths(found, expected) if "predictions" in expected else published_facts(found)


def _at_the_same_paths(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _at_the_same_paths(found[name], wanted)
        if isinstance(wanted, dict) and isinstance(found[name], dict)
        else found[name]
        for name, wanted in expected.items()
    }
