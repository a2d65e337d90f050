"""Story: one session click by click, and what each scorer would have said had it closed there."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from clickstream.bundles.bundle import Bundle, Case, ScorerOutput
from clickstream.consumer.scoring import lesson_of
from clickstream.features.session import Session, SessionStep
from clickstream.features.shop import Shop, shop_of
from clickstream.features.vector import Features
from clickstream.infra.errors import UsageError
from clickstream.models.online import OnlineModels
from clickstream.models.scorers import scorers_of
from clickstream.offline.scoring import AT_ONCE, FileScores
from clickstream.offline.windows import refold


class TracedClick(NamedTuple):
    """A click; `features`, those that scores show, and `predictions` are of the session up to it.

    `number` counts from 1; `event_time` in ms since the epoch, None where the file has no times; `fields` are
    those that the fold of the shop takes, None where one is absent.
    """

    number: int
    event_time: int | None
    order: int | None
    fields: dict[str, Any]
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
    shop = shop_of(bundle.shop)
    names = [field.name for field in bundle.shop.used_fields()]
    cases = _cases(shop, row["session_id"], steps)
    online = _online_before(shop, scores, place, bundle)
    clicks = []
    for number, (step, case, answers) in enumerate(zip(steps, cases, bundle.predict(cases), strict=True), 1):
        clicks.append(
            TracedClick(
                number,
                step.event_time if row["opened_at"] is not None else None,
                step.order,
                {name: getattr(step, name) for name in names},
                shop.shown(case.whole),
                {name: answers.get(name) or online.predict(case) for name in scorers_of(shop)},
            )
        )
    return SessionTrace(row["session_id"], row["window"], row["day"], tuple(clicks))


def _cases(shop: Shop, session_id: str, steps: list[SessionStep]) -> list[Case]:
    """What the scorers see of the session after each of its clicks."""
    session = shop.open(steps[0], session_id=session_id)
    cases = [_case(shop, session)]
    for step in steps[1:]:
        session.add(step, 0)
        cases.append(_case(shop, session))
    return cases


def _case(shop: Shop, session: Session) -> Case:
    return Case(shop.evidence(session), shop.whole(session))


def _online_before(shop: Shop, scores: FileScores, place: int, bundle: Bundle) -> OnlineModels:
    """The online models as they were asked for session `place`."""
    kept = place // AT_ONCE
    online = bundle.online(scores.online_states[kept])
    for before in range(kept * AT_ONCE, place):
        session = refold(shop, scores.sessions.columns["session_id"][before], scores.steps[before])
        online.learn(*lesson_of(shop, session, _case(shop, session)))
    return online
