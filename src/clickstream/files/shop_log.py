"""Shop log: the clicks of any shop, with times of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clickstream.features.definition import ShopDefinition
from clickstream.files.cleaning import CleaningReport
from clickstream.infra.days import day_of


class LoggedClick(NamedTuple):
    """A click: `step` is what the fold of its shop takes, `fields` are the values of all fields of the shop,
    in their order, None where one is absent.
    """

    step: Any
    fields: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class ShopLog:
    """A ClickLog of any shop; sessions in the order of their first clicks.

    Attributes:
        sessions: session id -> its clicks in (event time, order) order, as the shop's fold takes them.
    """

    definition: ShopDefinition
    name: str
    sha256: str
    sessions: dict[str, list[Any]] = field(repr=False)
    records: list[dict[str, Any]] = field(repr=False)
    view_of: NDArray[np.int32] = field(repr=False)
    starts: NDArray[np.int64] = field(repr=False)
    orders: NDArray[np.int64] = field(repr=False)
    times: NDArray[np.int64] = field(repr=False)
    time_source: str

    def __len__(self) -> int:
        return len(self.view_of)

    @property
    def session_ids(self) -> tuple[str, ...]:
        """In the order of their first clicks."""
        return tuple(self.sessions)

    @property
    def days(self) -> tuple[date, ...]:
        """On which each session begins, UTC."""
        return tuple(day_of(at) for at in self.times[self.starts[:-1]].tolist())

    def steps(self) -> Iterator[tuple[str, date, Sequence[Any]]]:
        """Session id, day, and the clicks of each session."""
        for (session_id, steps), day in zip(self.sessions.items(), self.days, strict=True):
            yield session_id, day, steps


class CleanedLog(NamedTuple):
    """The clicks of a file that can be used, and what became of the other rows."""

    log: ShopLog
    cleaning: CleaningReport


def shop_log(
    definition: ShopDefinition,
    name: str,
    sha256: str,
    sessions: Mapping[str, Sequence[LoggedClick]],
    time_source: str,
) -> ShopLog:
    """The log of these sessions, of one click or more, each in order."""
    ordered = sorted(sessions.items(), key=lambda one: (one[1][0].step.event_time, one[0]))
    views: dict[tuple[tuple[Any, ...], bool], int] = {}
    clicks = [click for _, of_session in ordered for click in of_session]
    view_of = [views.setdefault((click.fields, click.step.end), len(views)) for click in clicks]
    names = [one.name for one in definition.fields]
    return ShopLog(
        definition,
        name,
        sha256,
        {session_id: [click.step for click in of_session] for session_id, of_session in ordered},
        [
            {name: value for name, value in zip(names, values, strict=True) if value is not None}
            | ({"end": True} if end else {})
            for values, end in views
        ],
        np.array(view_of, np.int32),
        np.cumsum([0, *(len(of_session) for _, of_session in ordered)]),
        np.array([click.step.order or 0 for click in clicks], np.int64),
        np.array([click.step.event_time for click in clicks], np.int64),
        time_source,
    )
