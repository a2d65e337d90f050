"""Windows: the clicks of a file cut into sessions by the consumer's own rules.

With event times, the clicks go through a Partition as they would from a topic. Without, a session id is a
session: its clicks settle in order, and only `max_clicks` cuts it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from clickstream.features.session import Session, SessionStep
from clickstream.features.shop import Shop
from clickstream.files.click_log import ClickLog
from clickstream.infra.days import day_of
from clickstream.records.click import Heartbeat
from clickstream.records.shop_click import click_model
from clickstream.windows.listing import ListingPartition, clicks_of, unlisted
from clickstream.windows.open_session import FOREVER, OpenSession, PendingClick
from clickstream.windows.partition import ClosedWindow, Partition
from clickstream.windows.rules import Rules


class DatedWindow(NamedTuple):
    """A window that closed, the day on which it began, and its clicks in order."""

    closed: ClosedWindow
    day: datetime.date
    steps: list[SessionStep]


def cut_windows(dataset: ClickLog, rules: Rules) -> Iterator[DatedWindow]:
    """The sessions of a file in closing order."""
    if dataset.times is None:
        return _by_session_id(dataset, rules)
    return _by_event_time(dataset, rules)


def refold(shop: Shop, session_id: str, steps: list[SessionStep]) -> Session:
    """The session of some clicks in order."""
    session = shop.open(steps[0], session_id=session_id)
    for step in steps[1:]:
        session.add(step, 0)
    return session


def _by_session_id(dataset: ClickLog, rules: Rules) -> Iterator[DatedWindow]:
    offset = 0
    for session_id, day, steps in dataset.steps():
        # Event times are orders in ms, so there is no gap and all of it settles.
        waiting = OpenSession(None, [PendingClick(step, offset + place) for place, step in enumerate(steps)])
        first = 0
        while waiting.pending:
            closed_by = waiting.settle(session_id, FOREVER, rules)
            window = waiting.window
            if window is None or closed_by is None:
                raise AssertionError(f"session {session_id} has clicks and did not close")
            waiting.window = None
            after = len(steps) - len(waiting.pending)
            closed = ClosedWindow(session_id, window, closed_by, window.last_offset, False)
            yield DatedWindow(closed, day, list(steps[first:after]))
            first = after
        offset += len(steps)


def _by_event_time(dataset: ClickLog, rules: Rules) -> Iterator[DatedWindow]:
    # Kafka timestamps are the event times, as in a replay of the file.
    # The bound on open sessions is one of a server's memory, and by partition: a file has its own.
    log = ListingPartition(replace(rules, max_open_sessions=len(dataset)))
    # Checked when the file was read.
    click = click_model(rules.shop.definition).model_construct
    names = rules.shop.step.__struct_fields__
    last = 0
    for offset, (session_id, step) in enumerate(_in_event_time(dataset)):
        last = step.event_time
        fields = {name: getattr(step, name) for name in names}
        log.advance(offset, last, click(session_id=session_id, **fields))
        log.refused.clear()
        yield from _taken(log)
    # As the last heartbeat of a replay: beyond gap and lateness.
    end = last + rules.gap + rules.allowed_lateness + 2
    log.advance(len(dataset), end, Heartbeat.model_construct(event_time=end, flush=False))
    yield from _taken(log)


def _in_event_time(dataset: ClickLog) -> Iterator[tuple[str, SessionStep]]:
    places = np.argsort(dataset.times if dataset.times is not None else (), kind="stable")
    steps = [(session_id, step) for session_id, _, steps in dataset.steps() for step in steps]
    for place in places.tolist():
        yield steps[place]


def _taken(log: Partition) -> Iterator[DatedWindow]:
    if not log.closed:
        return
    for closed in log.closed:
        day = day_of(closed.session.opened_at)
        yield DatedWindow(
            closed._replace(session=unlisted(closed.session)), day, list(clicks_of(closed.session))
        )
    log.closed.clear()
    log.changed.clear()
