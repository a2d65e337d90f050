"""Story: one session click by click, and what each scorer would have said had it closed there."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from clickstream.bundles.bundle import Bundle, Case, ScorerOutput
from clickstream.consumer.scoring import cases_of as model_cases
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
    cases = cases_of(shop, row["session_id"], steps, shop.evidence)
    online = _online_before(shop, scores, place, bundle)
    answers: list[dict[str, ScorerOutput]] = [
        {name: fitted.get(name) or online.predict(case) for name in scorers_of(shop)}
        for case, fitted in zip(cases, bundle.predict(cases), strict=True)
    ]
    clicks = traced_clicks(shop, steps, cases, answers)
    if row["opened_at"] is None:
        clicks = tuple(click._replace(event_time=None) for click in clicks)
    return SessionTrace(row["session_id"], row["window"], row["day"], clicks)


def cases_of(
    shop: Shop,
    session_id: str,
    steps: Sequence[SessionStep],
    seen: Callable[[Session], Features | None],
) -> list[Case]:
    """What the scorers see of a session after each of its clicks.

    Args:
        seen: what they may look at: `shop.evidence` had it closed there, `shop.known` while it is open.
    """
    session = shop.open(steps[0], session_id=session_id)
    cases = [Case(seen(session), shop.whole(session))]
    for step in steps[1:]:
        session.add(step, 0)
        cases.append(Case(seen(session), shop.whole(session)))
    return cases


def traced_clicks(
    shop: Shop,
    steps: Sequence[SessionStep],
    cases: Sequence[Case],
    answers: Sequence[dict[str, ScorerOutput]],
) -> tuple[TracedClick, ...]:
    """The clicks of a session in order; `answers`, by scorer, are to the case after each of them."""
    names = [field.name for field in shop.definition.used_fields()]
    return tuple(
        TracedClick(
            number,
            step.event_time,
            step.order,
            {name: getattr(step, name) for name in names},
            shop.shown(case.whole),
            answer,
        )
        for number, (step, case, answer) in enumerate(zip(steps, cases, answers, strict=True), 1)
    )


def _online_before(shop: Shop, scores: FileScores, place: int, bundle: Bundle) -> OnlineModels:
    """The online models as they were asked for session `place`."""
    kept = place // AT_ONCE
    online = bundle.online(scores.online_states[kept])
    for before in range(kept * AT_ONCE, place):
        session = refold(shop, scores.sessions.columns["session_id"][before], scores.steps[before])
        online.learn(*model_cases(shop, session).lesson)
    return online
