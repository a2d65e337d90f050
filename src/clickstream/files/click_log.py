"""Click log: the clicks of a file, or made-up ones, whatever shop they are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clickstream.features.definition import ShopDefinition


class ClickLog(Protocol):
    """Clicks session by session, each in order, as replay and scoring take them.

    Session s is the clicks `starts[s]` up to `starts[s + 1]`. Few distinct pages are viewed, so what a click
    shows is held once, and click i is number `view_of[i]` of it.
    """

    @property
    def definition(self) -> ShopDefinition:
        """The shop whose clicks these are."""
        ...

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str:
        """Of all that determines the clicks."""
        ...

    @property
    def session_ids(self) -> tuple[str, ...]: ...

    @property
    def days(self) -> tuple[date, ...]:
        """On which each session begins, UTC."""
        ...

    @property
    def starts(self) -> NDArray[np.int64]: ...

    @property
    def view_of(self) -> NDArray[np.int32]: ...

    @property
    def records(self) -> list[dict[str, Any]]:
        """Of each different view what a record of it carries beside session, time and order; a field that is
        absent is left out, and so is `end` where it is not.
        """
        ...

    @property
    def orders(self) -> NDArray[np.int64] | None:
        """Of the clicks, 0 where there is none; None: they run 1..n in each session."""
        ...

    @property
    def times(self) -> NDArray[np.int64] | None:
        """Event times, ms since the epoch; None where the file has none, and a replay makes them up."""
        ...

    @property
    def time_source(self) -> str:
        """What records say of these times."""
        ...

    def __len__(self) -> int:
        """The number of clicks."""
        ...

    def steps(self) -> Iterator[tuple[str, date, Sequence[Any]]]:
        """Session id, day, and the clicks as the fold takes them; without times, those are orders in ms."""
        ...
