"""Shop: a definition, ready to run. What the stream, files, training and the audit need of it is here."""

from __future__ import annotations

from functools import cache
from typing import Any

from clickstream.features.definition import ShopDefinition
from clickstream.features.fold import compile_fold
from clickstream.features.outcome import Outcome
from clickstream.features.session import CompiledAggregate, GoalState, Session, SessionStep
from clickstream.features.shop_file import UCI553_NAME, built_in
from clickstream.features.vector import Features, feature_sets


class Shop:
    """What a definition makes of clicks and sessions; to be had from `shop_of`.

    Attributes:
        definition: what it was made of.
        step: the class of what the fold needs of one click.
        step_of: makes one of a click as it travels.
        aggregate: the class of the running state; called without arguments, that of no click.
        feature_sets: name of a set, `reference` of all clicks and `prefix` of the evidence, -> hash.
        is_event_goal: a click that meets the goal converts the session; else its last click decides.
    """

    def __init__(self, definition: ShopDefinition) -> None:
        fold = compile_fold(definition)
        self.definition = definition
        self.step: type[Any] = fold.step
        self.step_of = fold.step_of
        self.aggregate: type[Any] = fold.aggregate
        self.is_event_goal = not definition.goal.last_click
        self.feature_sets = feature_sets(definition)
        self._unshown = frozenset(one.name for one in definition.features if not one.in_scores)

    def __repr__(self) -> str:
        return f"<shop {self.label}>"

    def as_dict(self) -> dict[str, str]:
        """Name and hash, as they stand in a score."""
        return {"name": self.definition.name, "hash": self.definition.hash}

    @property
    def label(self) -> str:
        """Name and hash, which tell two shops apart."""
        return f"{self.definition.name}/{self.definition.hash}"

    def open(self, click: SessionStep, offset: int = 0, session_id: str = "") -> Session:
        """A session that starts with `click`, read at `offset`."""
        return Session.open(click, offset, *self.begin(session_id, click))

    def begin(self, session_id: str, click: SessionStep) -> tuple[Any, GoalState | None]:
        """What a session that starts with `click` has counted before it, and what it knows of its goal."""
        goal = GoalState(session_id, click.event_time) if self.is_event_goal else None
        return self.aggregate(), goal

    def features(self, session: Session) -> Features:
        """What a score shows: the features over all clicks, without those that only models look at."""
        return self.shown(self.whole(session))

    def whole(self, session: Session) -> Features:
        """All features over all clicks."""
        return _features(session.whole())

    def shown(self, features: Features) -> Features:
        """Of these, the ones that a score shows."""
        shown = features.copy()
        for name in self._unshown:
            del shown[name]
        return shown

    def evidence(self, session: Session) -> Features | None:
        """What a prediction of a closed session may look at; None where there is nothing.

        Where the last click decides, the features over all clicks but the last. Where an event does, over the
        clicks before the first that met the goal; over all, where none did.
        """
        if not session.evidence:
            return None
        goal = session.goal
        if goal is None:
            return _features(session.body)
        return _features(session.whole() if goal.evidence is None else goal.evidence)

    def known(self, session: Session) -> Features | None:
        """What a prediction of an open session may look at: all its clicks, up to one that met the goal.

        None where the first click met it.
        """
        return self.whole(session) if session.goal is None else self.evidence(session)

    def drawn(self, session: Session) -> Features | None:
        """What was known of a closed session at the decision point that is drawn, where that is not the last.

        At the last the evidence was known.
        """
        drawn = session.drawn
        return None if drawn is None else _features(drawn)

    def lesson(self, session: Session) -> Features | None:
        """What the online models learn a closed session from; None where there is nothing.

        The evidence where the last click decides; else what was known at the decision point that is drawn.
        """
        drawn = self.drawn(session)
        return self.evidence(session) if drawn is None else drawn

    def outcome(self, session: Session) -> Outcome:
        """What became of a closed session."""
        goal = session.goal
        if goal is None:
            return self.decided_by(session.last)
        revenue = None if self.definition.goal.value is None else goal.revenue
        return Outcome(goal.reached_at is not None, revenue, "goal", goal.reached_at)

    def decided_by(self, last: SessionStep) -> Outcome:
        """The outcome that a last click decides."""
        converted = last.meets_goal
        return Outcome(converted, last.worth, "proxy", last.event_time if converted else None)

    def refuses_late(self, click: SessionStep) -> bool:
        """Whether a click that came late counts nowhere.

        One that meets a goal that is an event: it would stand in the evidence of its own prediction, or leave
        what came after it there.
        """
        return self.is_event_goal and click.meets_goal


def _features(aggregate: CompiledAggregate) -> Features:
    return aggregate.features()


@cache
def shop_of(definition: ShopDefinition) -> Shop:
    """The shop of a definition: one object for equal definitions."""
    return Shop(definition)


UCI553 = shop_of(built_in(UCI553_NAME))
"""The e-shop of the public dataset, which runs where nothing else is named."""
