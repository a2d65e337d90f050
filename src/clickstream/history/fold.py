"""The fold over Arrow: batches of sorted clicks in, batches of sessions out.

Clicks settle by the code of the stream, and the models see what they see there. Nothing of a sorted file is
late, so what is left of the rules is the gap, `end`, `max_clicks` and copies (T3, T5, T7 in
docs/semantics.md). Memory holds one batch of clicks, one of sessions, and the window that is open between
two batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any

import pyarrow as pa

from clickstream.bundles.bundle import Bundle
from clickstream.consumer.scoring import SessionCases, answers_of, cases_of, together
from clickstream.features.session import Session
from clickstream.features.shop import Shop
from clickstream.history.clicks import lists_of, runs
from clickstream.history.schema import CLICKS, session_schema
from clickstream.windows.listing import ListedOpenSession, ordered_clicks_of
from clickstream.windows.open_session import FOREVER, OpenSession, PendingClick
from clickstream.windows.partition import ClosedWindow
from clickstream.windows.rules import Rules

__all__ = ["fold_clicks", "fold_windows", "session_schema"]

AT_ONCE = 4_096
"""Sessions that the models are asked about in one call."""

NO_OFFSET = -1
"""Offset of a click that lies on no topic."""


def fold_clicks(
    batches: Iterable[pa.RecordBatch],
    shop: Shop,
    rules: Rules,
    bundle: Bundle | None,
    with_clicks: bool = False,
) -> Iterator[pa.RecordBatch]:
    """The sessions of some clicks, in the order in which they come, with the columns of `session_schema`.

    Online models learn in the order of a stream, and are not asked.

    Args:
        batches: session_id, event_time (ms since the epoch), order, the fields of the shop, end; sorted by
            session id, time, order and content.
        bundle: None for sessions without predictions.
        with_clicks: sessions carry theirs.
    """
    schema = session_schema(shop, bundle, with_clicks)
    closed = fold_windows(batches, shop, rules, ListedOpenSession if with_clicks else OpenSession)
    while some := list(islice(closed, AT_ONCE)):
        yield _batch(some, shop, bundle, schema)


def fold_windows(
    batches: Iterable[pa.RecordBatch], shop: Shop, rules: Rules, opened: type[OpenSession] = OpenSession
) -> Iterator[ClosedWindow]:
    """The windows of some clicks, as `fold_clicks` takes them; they lie on no topic, at no offset.

    Args:
        opened: what clicks settle in, which makes the windows.
    """
    state, session_id = opened(), ""
    for batch in batches:
        if not batch.num_rows:
            continue
        for run in runs(batch, shop):
            if run.session_id != session_id:
                yield from settled(state, session_id, FOREVER, rules)
                session_id = run.session_id
            state.pending += map(PendingClick, run.steps, repeat(NO_OFFSET))
        # The next batch may go on with this session, and with its last millisecond.
        yield from settled(state, session_id, run.steps[-1].event_time, rules)
    yield from settled(state, session_id, FOREVER, rules)


def settled(state: OpenSession, session_id: str, until: int, rules: Rules) -> Iterator[ClosedWindow]:
    """The windows that close when the clicks that wait before `until` settle."""
    while state.pending or state.window is not None:
        closed_by = state.settle(session_id, until, rules)
        if closed_by is None or state.window is None:
            return
        yield ClosedWindow(session_id, state.window, closed_by, NO_OFFSET, False)
        state.window = None


def _batch(
    closed: Sequence[ClosedWindow], shop: Shop, bundle: Bundle | None, schema: pa.Schema
) -> pa.RecordBatch:
    sessions = [one.session for one in closed]
    cases = [cases_of(shop, session) for session in sessions]
    columns: dict[str, list[Any]] = {
        "score_id": [one.score_id for one in closed],
        "session_id": [one.session_id for one in closed],
        "opened_at": [session.opened_at for session in sessions],
        "last_click_at": [session.last.event_time for session in sessions],
        "closed_by": [one.closed_by for one in closed],
        "clicks": [session.clicks for session in sessions],
        "duplicates": [session.duplicates for session in sessions],
        "missing": [session.missing for session in sessions],
        "features": [one.closing.whole for one in cases],
        "evidence": [session.evidence for session in sessions],
        "evidence_features": [one.closing.evidence for one in cases],
        "outcome": [one.lesson.outcome.as_dict() for one in cases],
    }
    if bundle is not None:
        columns |= _predicted(sessions, cases, bundle)
    arrays = {one.name: pa.array(columns[one.name], one.type) for one in schema if one.name in columns}
    if CLICKS in schema.names:
        clicks = [ordered_clicks_of(session) for session in sessions]
        arrays[CLICKS] = lists_of(clicks, schema.field(CLICKS).type)
    return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)


def _predicted(
    sessions: Sequence[Session], cases: Sequence[SessionCases], bundle: Bundle
) -> dict[str, list[Any]]:
    answers = iter(answers_of(bundle, [case for one in cases for case in one.asked]))
    columns: dict[str, list[Any]] = {"predictions": [], "drawn": [], "error": []}
    for session, one in zip(sessions, cases, strict=True):
        said, error = together([next(answers) for _ in one.asked])
        columns["error"].append(error)
        columns["predictions"].append(said[0] if said else None)
        drawn = None
        if session.drawn is not None:
            found = {"batch": said[1]["batch"]} if said else None
            drawn = {"clicks": session.drawn.clicks, "predictions": found}
        columns["drawn"].append(drawn)
    return columns
