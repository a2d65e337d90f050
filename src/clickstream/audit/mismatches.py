"""Published records that differ from what is expected, until they are compared field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from clickstream.audit.expected import NOT_FACTS, Facts, differences
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
    """The first few mismatches of each kind; the rest is only counted."""

    def __init__(self) -> None:
        self._left: list[_Mismatch] = []

    def add(self, what: RecordKind, id: str, cause: Place, found: Place, expected: Facts) -> None:
        """Keep a mismatch, unless there are enough examples of its kind."""
        if sum(one.what == what for one in self._left) < EXAMPLES:
            self._left.append(_Mismatch(what, id, cause, found, expected))

    def explain(self, lookup: RecordLookup, tally: Tally) -> None:
        """Report how each of them differs, as far as its record is still on the topic."""
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
                    tally.add_finding(
                        Finding(
                            "wrong",
                            one.what,
                            one.id,
                            one.cause,
                            here,
                            differences=differences(one.expected, found),
                        )
                    )
        for one in self._left:
            detail = "the record is no longer there to be looked at"
            tally.add_finding(Finding("wrong", one.what, one.id, one.cause, one.found, detail))
        self._left.clear()


def _part(found: Mapping[str, Any], expected: Facts) -> dict[str, Any]:
    """The part of a published record that `expected` speaks of."""
    if "predictions" in expected:
        return {"predictions": {name: found["predictions"][name] for name in expected["predictions"]}}
    return {name: value for name, value in found.items() if name not in NOT_FACTS}
