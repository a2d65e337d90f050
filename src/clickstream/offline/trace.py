"""Story: one session click by click, and what each scorer would have said had it closed there."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from clickstream.bundles.bundle import Bundle, Case, ScorerOutput
from clickstream.features.session import Session, SessionStep
from clickstream.features.shop import UCI553
from clickstream.features.vector import Features
from clickstream.infra.errors import UsageError
from clickstream.models.online import OnlineModels
from clickstream.offline.scoring import AT_ONCE, FileScores
from clickstream.offline.windows import refold
from clickstream.records.scorers import SCORERS


class TracedClick(NamedTuple):
    """A click; `features` (set `reference`) and `predictions` are those of the session up to it.

    `number` counts from 1; `event_time` in ms since the epoch, None where the file has no times.
    """

    number: int
    event_time: int | None
    order: int | None
    product: str
    category: str
    price: float
    price_2: int
    page: int
    features: Features
    predictions: dict[str, ScorerOutput]


class SessionTrace(NamedTuple):
    """A session, its clicks in order."""

    session_id: str
    window: int
    day: datetime.date
    clicks: tuple[TracedClick, ...]


def trace_session(scores: FileScores, place: int, bundle: Bundle) -> SessionTrace:
    """The story of session `place`. Its last predictions are those of the table, the online ones too.

    Raises:
        UsageError: there is no such session, or `bundle` is not the one that scored.
    """
    if bundle.id != scores.bundle:
        raise UsageError(
            f"the file was scored by bundle {scores.bundle}, this is {bundle.id}", "Score it again."
        )
    if not 0 <= place < len(scores.sessions):
        raise UsageError(f"there is no session {place}", f"Name one from 0 to {len(scores.sessions) - 1}.")
    row = scores.sessions.row(place)
    steps = scores.steps[place]
    cases = _cases(steps)
    online = _online_before(scores, place, bundle)
    clicks = []
    for number, (step, case, answers) in enumerate(zip(steps, cases, bundle.predict(cases), strict=True), 1):
        clicks.append(
            TracedClick(
                number,
                step.event_time if row["opened_at"] is not None else None,
                step.order,
                step.product,
                step.category,
                step.price,
                step.price_2,
                step.page,
                case.whole,
                {name: answers[name] if name in answers else online.predict(case) for name in SCORERS},
            )
        )
    return SessionTrace(row["session_id"], row["window"], row["day"], tuple(clicks))


def _cases(steps: list[SessionStep]) -> list[Case]:
    """What the scorers see of the session after each of its clicks."""
    session = UCI553.open(steps[0])
    cases = [_case(session)]
    for step in steps[1:]:
        session.add(step, 0)
        cases.append(_case(session))
    return cases


def _case(session: Session) -> Case:
    return Case(UCI553.evidence(session), UCI553.features(session))


def _online_before(scores: FileScores, place: int, bundle: Bundle) -> OnlineModels:
    """The online models as they were asked for session `place`."""
    kept = place // AT_ONCE
    online = bundle.online(scores.online_states[kept])
    for steps in scores.steps[kept * AT_ONCE : place]:
        session = refold(steps)
        case = _case(session)
        online.learn(case, UCI553.outcome(session))
    return online
