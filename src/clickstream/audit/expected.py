"""What a closed window's score and a refused record's dead letter must say, and by which rule.

Written a second time, apart from the code that publishes, so that a slip there is seen here. Only the
features come from the same functions: there is one definition of a feature.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from clickstream.audit.report import Difference
from clickstream.features.shop import Shop
from clickstream.features.vector import Features
from clickstream.infra.kafka import Record
from clickstream.records.score import KEY_CAP, SCHEMA_VERSION, VALUE_CAP
from clickstream.windows.partition import ClosedWindow, RefusedRecord

# Fields of a score, open or not, that the log and the settings do not decide.
_NOT_FACTS = frozenset({"scored_at", "models", "predictions", "error", "conditions"})

RULES = {
    "score_id": "session id and opened_at",
    "opened_at": "T7: a window opens at its first settled click",
    "last_click_at": "T2: clicks settle in the order of event time",
    "closed_by": "T3: what closes a window",
    "clicks": "T2, T5: each distinct click counts once",
    "duplicates": "T5: a second click of the same identity is dropped and counted",
    "late": "T4: a click behind the watermark is late",
    "missing": "T5: orders not seen between the smallest and the largest",
    "features": "the set reference, over all clicks",
    "evidence": "clicks in order before the deciding one",
    "drawn": "the decision point that is drawn, where it is not the last; what the bundle answers there",
    "outcome": "the proxy outcome of the last click",
    "shop": "the shop that the settings name",
    "settings": "the fingerprint of the settings",
    "source": "where the clicks lie, and the record that closed the window",
    "predictions": "what the bundle answers to these features",
    "error": "predictions are null where state was lost, or where the bundle's models fail",
    "models": "sessions learned before by the online models; the feature sets of this version",
    "open_score_id": "session id, opened_at and the offset of the click",
    "event_time": "that of the click",
    "reason": "T4, T8: why a record cannot be counted",
}

Facts = dict[str, Any]


def facts(
    shop: Shop, closed: ClosedWindow, features: Features, topic: str, partition: int, settings: str
) -> Facts:
    """The fields of the score of `closed` that the log and the settings decide."""
    session, last = closed.session, closed.session.last
    drawn = session.drawn and {"clicks": session.drawn.clicks}
    return {
        "schema_version": SCHEMA_VERSION,
        "score_id": f"{closed.session_id}/{session.opened_at}",
        "session_id": closed.session_id,
        "opened_at": session.opened_at,
        "last_click_at": last.event_time,
        "closed_by": closed.closed_by,
        "clicks": session.clicks,
        "duplicates": session.duplicates,
        "late": session.late,
        "missing": session.missing,
        "features": features,
        "evidence": session.evidence,
        **({"drawn": drawn} if shop.is_event_goal else {}),
        "outcome": shop.outcome(session).as_dict(),
        "shop": shop.as_dict(),
        "settings": settings,
        "source": {
            "topic": topic,
            "partition": partition,
            "first_offset": session.first_offset,
            "last_offset": session.last_offset,
            "closing_offset": closed.offset,
        },
        "time_source": last.time_source,
    }


def published_facts(score: Mapping[str, Any]) -> Facts:
    """The fields of a published score, open or not, that the log and the settings decide."""
    found = {name: value for name, value in score.items() if name not in _NOT_FACTS}
    if drawn := found.get("drawn"):
        found["drawn"] = {name: value for name, value in drawn.items() if name not in _NOT_FACTS}
    return found


def letter(record: Record, refused: RefusedRecord) -> Facts:
    """The dead letter of a record that `refused` describes."""
    value = record.value or b""
    return {
        "schema_version": SCHEMA_VERSION,
        "reason": refused.reason,
        "detail": refused.detail,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": None if record.key is None else base64.b64encode(record.key[:KEY_CAP]).decode(),
        "value": None if record.value is None else base64.b64encode(value[:VALUE_CAP]).decode(),
        "size": len(value),
    }


def digest_of(content: Mapping[str, Any]) -> bytes:
    """Sixteen bytes that are equal when the JSON of two contents is, whatever the order of their fields."""
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Each field, nested ones by their path, in which `found` is not the JSON of `expected`."""
    wanted = dict(_flat(orjson.loads(orjson.dumps(expected))))
    there = dict(_flat(found))
    return tuple(
        Difference(path, wanted.get(path, "no such field"), there.get(path, "no such field"), rule_of(path))
        for path in sorted(wanted.keys() | there.keys())
        if (path in wanted) != (path in there) or not _same(wanted[path], there[path])
    )


def rule_of(path: str) -> str:
    """The rule that decides a field."""
    return RULES.get(path.partition(".")[0], "the fields of a record")


def _same(one: object, other: object) -> bool:
    # In Python True == 1 == 1.0; in JSON they are three things.
    return type(one) is type(other) and one == other


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
