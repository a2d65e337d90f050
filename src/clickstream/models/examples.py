"""Closed sessions as examples to learn from, and their division into parts."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from clickstream.features.outcome import Outcome
from clickstream.features.session import Session, SessionStep
from clickstream.features.shop import UCI553
from clickstream.features.vector import Features
from clickstream.infra.errors import InputError
from clickstream.models.case import Case, Example, Floats
from clickstream.models.online import BaseRates

FEWEST = 100
"""Sessions with evidence that each part of the split must have."""

FEWEST_OF_A_KIND = 10
"""Of those, sessions that convert, and sessions that do not."""


class TrainingSession(NamedTuple):
    """A closed session and the day on which it began.

    `steps` are its clicks in order. Without them only the last two clicks are known, which is enough to
    learn from, and teaches less about what follows a product.
    """

    session_id: str
    day: datetime.date
    session: Session
    steps: Sequence[SessionStep] = ()


class FollowedProduct(NamedTuple):
    """A product, and the outcome that the click after it would decide."""

    product: str
    converted: bool
    revenue: float


class Evidence(NamedTuple):
    """Sessions of two clicks or more, as the honest models see them.

    Attributes:
        rows: their features of set `prefix`.
        outcomes: what became of them.
        followed: the pairs of neighbouring clicks of each.
    """

    rows: list[Features]
    outcomes: list[Outcome]
    followed: list[list[FollowedProduct]]

    def at(self, places: Iterable[int]) -> Evidence:
        """The sessions at these positions."""
        chosen = list(places)
        return Evidence(
            [self.rows[place] for place in chosen],
            [self.outcomes[place] for place in chosen],
            [self.followed[place] for place in chosen],
        )

    @property
    def converted(self) -> Floats:
        """Whether each session converted, 0 or 1, shape (n,)."""
        return np.array([outcome.converted for outcome in self.outcomes], dtype=np.float64)

    @property
    def revenue(self) -> Floats:
        """The revenue of each session, shape (n,)."""
        return np.array([outcome.revenue for outcome in self.outcomes], dtype=np.float64)


class SplitParts(NamedTuple):
    """Positions of the sessions of both parts of a split, each in time order."""

    train: list[int]
    held_out: list[int]


def example(session: Session) -> Example:
    """Make an example of a closed session of shop uci553, with the outcome by its proxy."""
    case = Case(UCI553.evidence(session), UCI553.features(session))
    return Example(case, UCI553.outcome(session))


def followed_by(product: str, outcome: Outcome) -> FollowedProduct:
    """Pair the product of a click with the outcome that the next click would decide."""
    return FollowedProduct(product, outcome.converted, outcome.revenue or 0.0)


def followed_products(training: TrainingSession) -> list[FollowedProduct]:
    """The pairs of neighbouring clicks of a session, in order."""
    session = training.session
    steps = training.steps or (session.body.last, session.last)
    return [
        followed_by(one.product, UCI553.decided_by(after))
        for one, after in pairwise(steps)
        if one is not None and after is not None
    ]


def divide(examples: Sequence[Example], held: Sequence[bool]) -> SplitParts:
    """Divide sessions into the parts that are learned from and held out.

    Raises:
        InputError: a part is too small, or nearly all of its sessions convert, or nearly none.
    """
    parts = SplitParts(
        [place for place, out in enumerate(held) if not out], [place for place, out in enumerate(held) if out]
    )
    for name, part in zip(("training", "held-out"), parts, strict=True):
        evident = [
            examples[place].outcome.converted for place in part if examples[place].case.evidence is not None
        ]
        if len(evident) < FEWEST:
            raise InputError(
                f"the {name} part has {len(evident)} sessions of two clicks or more; {FEWEST} are needed",
                "Give more data.",
            )
        if min(sum(evident), len(evident) - sum(evident)) < FEWEST_OF_A_KIND:
            raise InputError(
                f"{sum(evident)} of {len(evident)} sessions in the {name} part convert;"
                f" {FEWEST_OF_A_KIND} that do and as many that do not are needed",
                "Check `price 2` and `page` of the data, or give more.",
            )
    return parts


def gather(examples: Sequence[Example], pairs: Sequence[list[FollowedProduct]]) -> Evidence:
    """Collect the sessions that have evidence; `pairs` are those of `examples`, one by one."""
    found = Evidence([], [], [])
    for one, after in zip(examples, pairs, strict=True):
        if one.case.evidence is not None:
            found.rows.append(one.case.evidence)
            found.outcomes.append(one.outcome)
            found.followed.append(after)
    return found


def base_rates(examples: Sequence[Example]) -> BaseRates:
    """The answer where there is no evidence: share of converted sessions and mean revenue."""
    return BaseRates(
        sum(one.outcome.converted for one in examples) / len(examples),
        sum(one.outcome.revenue or 0.0 for one in examples) / len(examples),
    )
