"""Dataset: the clicks of a file in the layout of UCI 553, read and checked.

The file is `;`-separated CSV, alone or as the one CSV of a zip. It is refused whole when anything in it is
wrong, with the rows that are. A file other than the one that UCI serves passes the same checks.

Few distinct pages are viewed (3,141 in UCI 553, country included), so a click is held as the number of its
View: a million clicks take some megabytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clickstream.features.definition import ShopDefinition
from clickstream.features.session import Session, SessionStep
from clickstream.features.shop import UCI553
from clickstream.files.rows import PageView, read_rows
from clickstream.files.source import read_source
from clickstream.infra.errors import InputError

UCI_SHA256 = "fcc167bbd0badd4c9685bd8543097e318f8228e48075335db7cd781cee88115d"
"""Of the CSV as UCI zips it, with CRLF line ends."""
UCI_CLICKS = 165_474
UCI_SESSIONS = 24_026


class ClickRow(NamedTuple):
    """One row of the file; `price` in US dollars."""

    session_id: str
    day: date
    order: int
    country: int | None
    product: str
    category: str
    colour: int | None
    location: int | None
    photography: int | None
    price: float
    price_2: int
    page: int
    end: bool = False


@dataclass(frozen=True, eq=False)
class Dataset:
    """A ClickLog of shop uci553; sessions as they first appear in the file.

    Click i shows `views[view_of[i]]`; session s is the clicks `starts[s]` up to `starts[s + 1]`.
    `sha256` is that of the CSV, or of what determines a synthetic dataset; `path` is None for the latter.
    `orders` are those of the clicks, 0 where there is none; without them orders run 1..n. `times` are event
    times in ms since the epoch, where the file has them; else they are made up for a replay.
    """

    name: str
    path: Path | None
    sha256: str
    views: tuple[PageView, ...] = field(repr=False)
    view_of: NDArray[np.int32] = field(repr=False)
    session_ids: tuple[str, ...] = field(repr=False)
    days: tuple[date, ...] = field(repr=False)
    starts: NDArray[np.int64] = field(repr=False)
    orders: NDArray[np.int64] | None = field(default=None, repr=False)
    times: NDArray[np.int64] | None = field(default=None, repr=False)
    time_source: str = "synthetic"

    @property
    def definition(self) -> ShopDefinition:
        """The shop whose clicks these are."""
        return UCI553.definition

    @property
    def records(self) -> list[dict[str, Any]]:
        """What a record of each view carries beside session, time and order."""
        # What a file does not say is left out, and so is `end` where it is not.
        return [
            {
                name: value
                for name, value in view._asdict().items()
                if value is not None and value is not False
            }
            for view in self.views
        ]

    @property
    def is_uci(self) -> bool:
        """Whether this is, byte for byte, the file that UCI serves."""
        return self.sha256 == UCI_SHA256

    def __len__(self) -> int:
        return len(self.view_of)

    @cached_property
    def clicks(self) -> list[ClickRow]:
        """All clicks; built on first use (about 0.2 kB a click)."""
        views = self.views
        return [
            ClickRow(session_id, day, order, *views[view])
            for session_id, day, first, after in self._sessions()
            for order, view in zip(
                self._orders(first, after), self.view_of[first:after].tolist(), strict=True
            )
        ]

    def sessions(self) -> Iterator[tuple[str, date, Session]]:
        """Each session folded."""
        for session_id, day, session, _ in self.visits():
            yield session_id, day, session

    def visits(self) -> Iterator[tuple[str, date, Session, list[SessionStep]]]:
        """Each session folded, and its clicks in order."""
        for session_id, day, steps in self.steps():
            session = UCI553.open(steps[0])
            for step in steps[1:]:
                session.add(step, 0)
            yield session_id, day, session, steps

    def steps(self) -> Iterator[tuple[str, date, list[SessionStep]]]:
        """The clicks of each session; without times in the file, an event time is the order, in ms."""
        views = self.views
        source = None if self.times is None else self.time_source
        for session_id, day, first, after in self._sessions():
            orders = self._orders(first, after)
            times = orders if self.times is None else self.times[first:after].tolist()
            yield (
                session_id,
                day,
                [
                    UCI553.step(
                        time,
                        order or None,
                        shown.product,
                        shown.category,
                        shown.price,
                        shown.price_2,
                        shown.page,
                        shown.end,
                        source,
                    )
                    for time, order, view in zip(
                        times, orders, self.view_of[first:after].tolist(), strict=True
                    )
                    for shown in (views[view],)
                ],
            )

    def _sessions(self) -> Iterator[tuple[str, date, int, int]]:
        starts = self.starts.tolist()
        yield from zip(self.session_ids, self.days, starts[:-1], starts[1:], strict=True)

    def _orders(self, first: int, after: int) -> Sequence[int]:
        if self.orders is None:
            return range(1, after - first + 1)
        orders: list[int] = self.orders[first:after].tolist()
        return orders


def read_dataset(path: Path) -> Dataset:
    """The dataset in `path`, a CSV or a zip that holds one.

    Raises:
        MissingFileError: the file is not there; says where to get it.
        InputError: it is not such a file, or rows of it are wrong; names up to ten of them.
    """
    name, content = read_source(path)
    clicks = read_rows(name, content)
    dataset = Dataset(name, path, hashlib.sha256(content).hexdigest(), *clicks)
    read = (len(dataset), len(dataset.session_ids))
    if dataset.is_uci and read != (UCI_CLICKS, UCI_SESSIONS):
        raise InputError(
            f"{name}: read {read[0]} clicks of {read[1]} sessions; this very file has {UCI_CLICKS} of"
            f" {UCI_SESSIONS}",
            "The reader is at fault, not the file: please report it.",
        )
    return dataset
