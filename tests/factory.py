"""Clicks for tests: everything that a test does not say has a plain value."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, settings

from clickstream.features.session import Session, SessionStep
from clickstream.features.shop import UCI553
from clickstream.records.click import Click, Heartbeat
from clickstream.records.shop_click import parser_of
from clickstream.windows.open_session import OpenSession

parse, click_of = parser_of(UCI553.definition).parse, parser_of(UCI553.definition).click_of
_open: Any = OpenSession
STORED = _open[UCI553.step, UCI553.aggregate]
"""What is stored of a session id, to be read back."""
prefix, reference, outcome = UCI553.evidence, UCI553.features, UCI553.outcome

FIELDS: dict[str, Any] = {
    "type": "click",
    "session_id": "visit",
    "event_time": 1_000,
    "product": "A13",
    "category": "trousers",
    "price": 38.0,
    "price_2": 1,
    "page": 1,
}
"""A click with its required fields only, as it travels."""


def click_json(**changes: Any) -> bytes:
    """The record of a click with some fields changed or added; `...` leaves one out."""
    record = {name: value for name, value in (FIELDS | changes).items() if value is not ...}
    return json.dumps(record, ensure_ascii=False).encode()


def click(event_time: int, order: int | None = None, session_id: str = "visit", **changes: Any) -> Click:
    """A parsed click."""
    fields = FIELDS | {"event_time": event_time, "order": order, "session_id": session_id} | changes
    return click_of(fields)


def heartbeat(event_time: int, flush: bool = False) -> Heartbeat:
    """A parsed heartbeat."""
    return Heartbeat(event_time=event_time, flush=flush)


def step(event_time: int, order: int | None = None, **changes: Any) -> SessionStep:
    """What the fold takes of a click."""
    made: SessionStep = UCI553.step_of(click(event_time, order, **changes))
    return made


def session(*clicks: SessionStep) -> Session:
    """The window of some clicks in order; the first was read at offset 0."""
    window = UCI553.open(clicks[0])
    for offset, later in enumerate(clicks[1:], 1):
        window.add(later, offset)
    return window


def examples(count: int) -> settings:
    """Hypothesis settings: `count` examples; 40 times as many and always the same ones when thorough."""
    thorough = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
    return settings(
        deadline=None,
        max_examples=count * 40 if thorough else count,
        derandomize=thorough,
        suppress_health_check=[HealthCheck.too_slow],
    )
