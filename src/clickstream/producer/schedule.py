"""Schedule: an event time for every click, the same on every run; made up where the file has none.

Times of its own are kept, or, over one busy day, keep their hour: each session is moved by whole days.

UCI 553 has days and orders but no times. A session begins at a time of day drawn from `HOURS`, and its
clicks follow at distances drawn from a Weibull distribution (shape 0.7, scale 35 s, clipped to 1 s .. 20 min:
many quick clicks and a long tail, a mean of 44 s). Times of day depend on the dataset's hash and the seed
alone, so a session keeps them under either calendar and under any choice of dates or number of sessions.
No session crosses midnight (UTC), but one that lasts longer than a day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clickstream.files.click_log import ClickLog
from clickstream.infra.days import DAY_MS, midnight
from clickstream.infra.errors import UsageError

_MADE_UP = "synthetic"

Calendar = Literal["dated", "busy-day"]
Times = NDArray[np.int64]
"""Event times, ms since the epoch."""

BUSY_DAY = date(2008, 8, 13)
"""The day, the last of UCI 553, over which `busy-day` lays all others."""

# Sessions that begin in each hour of the day, in thousandths: an evening shop, quiet from 1 to 6.
HOURS = (18, 9, 5, 3, 3, 5, 11, 21, 34, 44, 51, 55, 56, 55, 55, 55, 56, 59, 64, 73, 83, 82, 63, 40)

SHAPE, SCALE_MS, SHORTEST_MS, LONGEST_MS = 0.7, 35_000, 1_000, 1_200_000


@dataclass(frozen=True)
class ScheduleOptions:
    """What is replayed: days from `first` to `last`, both included, and of these the first `sessions`."""

    calendar: Calendar = "busy-day"
    seed: int = 42
    first: date | None = None
    last: date | None = None
    sessions: int | None = None


class ScheduledClick(NamedTuple):
    """One click on its time: `click` is its place in the dataset."""

    event_time: int
    session_id: str
    click: int


class SessionLoad(NamedTuple):
    """Sessions open at once."""

    mean: float
    peak: int


@dataclass(frozen=True, eq=False)
class Schedule:
    """Clicks in (event time, session id, order) order.

    Entry i is click `clicks[i]` of the dataset, of its session `sessions[i]`, at `times[i]`. A schedule
    that was `moved` behind an earlier run has `days` added to its times and a prefix to its session ids.
    """

    dataset: ClickLog
    options: ScheduleOptions
    times: Times = field(repr=False)
    clicks: NDArray[np.int64] = field(repr=False)
    sessions: NDArray[np.int64] = field(repr=False)
    run: int = 1
    days: int = 0

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[ScheduledClick]:
        ids = self.session_ids
        for time, session, click in zip(self.times, self.sessions, self.clicks, strict=True):
            yield ScheduledClick(int(time), ids[session], int(click))

    @cached_property
    def session_ids(self) -> list[str]:
        """The ids of the sessions as they are published, by place in the dataset."""
        prefix = f"r{self.run}-" if self.run > 1 else ""
        return [prefix + session_id for session_id in self.dataset.session_ids]

    @cached_property
    def session_count(self) -> int:
        """How many sessions are replayed."""
        return len(np.unique(self.sessions))

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits; the same for a moved schedule."""
        text = f"schedule 1 {self.dataset.sha256} {sorted(asdict(self.options).items())}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def time_source(self) -> str:
        """What the records say of their times."""
        return _MADE_UP if self.options.calendar == "busy-day" else self.dataset.time_source

    def moved(self, run: int, days: int) -> Schedule:
        """The same clicks `days` later, as run number `run`."""
        shift = (days - self.days) * DAY_MS
        return replace(self, times=self.times + shift, run=run, days=days)

    def load(self, gap: int) -> SessionLoad:
        """Sessions open at once, when one stays open for `gap` ms after its last click.

        With a gap of 0 it counts the visitors who are between their first and last click.
        """
        session = np.unique(self.sessions, return_inverse=True)[1]
        first = np.full(session.max() + 1, np.iinfo(np.int64).max)
        last = np.zeros_like(first)
        np.minimum.at(first, session, self.times)
        np.maximum.at(last, session, self.times)
        last += gap
        # At equal times the one that opens counts first.
        events = np.concatenate((first, last))
        steps = np.repeat((1, -1), len(first))
        open_ = np.cumsum(steps[np.lexsort((-steps, events))])
        return SessionLoad(float((last - first).sum() / max(last.max() - first.min(), 1)), int(open_.max()))


def make_schedule(dataset: ClickLog, options: ScheduleOptions) -> Schedule:
    """The schedule of `dataset`: a pure function of its hash and `options`.

    Raises:
        UsageError: no session is left by the options.
    """
    kept = _kept(dataset, options)
    lengths = np.diff(dataset.starts)
    sessions = np.repeat(np.arange(len(lengths)), lengths)
    clicks = np.flatnonzero(kept[sessions])
    sessions = sessions[clicks]
    times = _times(dataset, options)[clicks]
    # Within a session the order is the place in the dataset.
    by_id = np.empty(len(lengths), np.int64)
    by_id[np.argsort(np.array(dataset.session_ids))] = np.arange(len(lengths))
    order = np.lexsort((clicks, by_id[sessions], times))
    return Schedule(dataset, options, times[order], clicks[order], sessions[order])


def generator(*parts: object) -> np.random.Generator:
    """A generator that depends on `parts` only."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest)))


def _times(dataset: ClickLog, options: ScheduleOptions) -> Times:
    if dataset.times is None:
        return _made_up(dataset, options)
    if options.calendar == "dated":
        return dataset.times
    first = dataset.times[dataset.starts[:-1]]
    moved_by = midnight(BUSY_DAY) - first // DAY_MS * DAY_MS
    laid: Times = dataset.times + np.repeat(moved_by, np.diff(dataset.starts))
    return laid


def _made_up(dataset: ClickLog, options: ScheduleOptions) -> Times:
    if options.calendar == "dated":
        midnights = np.array(dataset.days, "datetime64[ms]").astype(np.int64)
    else:
        midnights = np.full(len(dataset.days), midnight(BUSY_DAY))
    times: Times = np.repeat(midnights, np.diff(dataset.starts)) + _times_of_day(dataset, options.seed)
    return times


def _times_of_day(dataset: ClickLog, seed: int) -> Times:
    """Milliseconds after midnight of each click of the dataset."""
    starts = dataset.starts
    # Inverse distribution functions of plain uniforms: numpy may change its other samplers.
    begins = generator("begin", dataset.sha256, seed).random(len(starts) - 1)
    distances = generator("distance", dataset.sha256, seed).random(len(dataset))
    weibull = SCALE_MS * (-np.log1p(-distances)) ** (1 / SHAPE)
    gaps = np.clip(np.rint(weibull), SHORTEST_MS, LONGEST_MS).astype(np.int64)
    gaps[starts[:-1]] = 0
    since_first = np.cumsum(gaps)
    lengths = np.diff(starts)
    since_first -= np.repeat(since_first[starts[:-1]], lengths)
    shares = np.cumsum((0, *HOURS)) / sum(HOURS)
    begin = np.interp(begins, shares, np.arange(25) * DAY_MS / 24)
    # Scaled to what the day leaves room for, rather than cut off: nobody piles up before midnight.
    room = np.maximum(DAY_MS - 1 - since_first[starts[1:] - 1], 0)
    first = np.floor(begin * (room / DAY_MS)).astype(np.int64)
    times: Times = np.repeat(first, lengths) + since_first
    return times


def _kept(dataset: ClickLog, options: ScheduleOptions) -> NDArray[np.bool_]:
    days = np.array(dataset.days, "datetime64[D]")
    kept = np.ones(len(days), bool)
    if options.first is not None:
        kept &= days >= np.datetime64(options.first)
    if options.last is not None:
        kept &= days <= np.datetime64(options.last)
    if options.sessions is not None:
        kept[np.flatnonzero(kept)[options.sessions :]] = False
    if not kept.any():
        raise UsageError(
            f"no session of {dataset.name} is left by --from {options.first}, --to {options.last},"
            f" --sessions {options.sessions}",
            f"Its days run from {days.min()} to {days.max()}.",
        )
    return kept
