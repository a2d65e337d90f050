"""Shop: a definition, ready to run. What the stream, files, training and the audit need of it is here."""

from __future__ import annotations

from functools import cache
from typing import Any

from clickstream.features.definition import ShopDefinition
from clickstream.features.fold import compile_fold
from clickstream.features.outcome import Outcome
from clickstream.features.session import CompiledAggregate, Session, SessionStep
from clickstream.features.shop_file import UCI553_NAME, built_in
from clickstream.features.vector import Features


class Shop:
    """What a definition makes of clicks and sessions; to be had from `shop_of`.

    Attributes:
        definition: what it was made of.
        step: the class of what the fold needs of one click.
        step_of: makes one of a click as it travels.
        aggregate: the class of the running state; called without arguments, that of no click.
    """

    def __init__(self, definition: ShopDefinition) -> None:
        fold = compile_fold(definition)
        self.definition = definition
        self.step: type[Any] = fold.step
        self.step_of = fold.step_of
        self.aggregate: type[Any] = fold.aggregate
        self._meets_goal = fold.meets_goal
        self._value = definition.goal.value
        self._unshown = tuple(feature.name for feature in definition.features if not feature.in_scores)

    def __repr__(self) -> str:
        return f"<shop {self.definition.name} {self.definition.hash}>"

    def open(self, click: SessionStep, offset: int = 0) -> Session:
        """A session that starts with `click`, read at `offset`."""
        return Session.open(click, offset, self.aggregate())

    def features(self, session: Session) -> Features:
        """What a score shows: the features over all clicks."""
        return self._shown(session.whole())

    def evidence(self, session: Session) -> Features | None:
        """What a prediction may look at: the features over all clicks but the last.

        None where no click in order came before the last.
        """
        return session.body.features() if session.evidence else None

    def outcome(self, session: Session) -> Outcome:
        """What became of a closed session."""
        return self.decided_by(session.last)

    def decided_by(self, last: SessionStep) -> Outcome:
        """The outcome that a last click decides."""
        return Outcome(self._meets_goal(last), getattr(last, self._value or ""))

    def _shown(self, aggregate: CompiledAggregate) -> Features:
        features = aggregate.features()
        for name in self._unshown:
            del features[name]
        return features


@cache
def shop_of(definition: ShopDefinition) -> Shop:
    """The shop of a definition: one object for equal definitions."""
    return Shop(definition)


UCI553 = shop_of(built_in(UCI553_NAME))
"""The e-shop of the public dataset, which runs where nothing else is named."""
