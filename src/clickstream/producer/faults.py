"""Faults on purpose: late, duplicated, dropped, reordered and malformed clicks, each seen in a known place.

What a fault must show is only known where the clicks around it are sound. So faults hit disjoint clicks, and
never the first or last of a window; together they never open a distance beyond the gap, which would split
it; and a late click arrives when the watermark of its partition has passed it while its window is open, and
meets no goal, which a late one cannot. A click that was drawn for a fault it cannot bear stays sound.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from clickstream.features.condition import holds
from clickstream.files.click_log import ClickLog
from clickstream.infra.errors import UsageError
from clickstream.producer.schedule import Schedule, generator
from clickstream.producer.timeline import NO_CLICK, Timeline

RecordIndices = NDArray[np.int64]
"""Places of records in a timeline."""


class PublicationFault(IntEnum):
    """What happens to a click; NONE is 0."""

    NONE = 0
    LATE = 1
    DUPLICATE = 2
    DROP = 3
    REORDER = 4
    MALFORMED = 5


@dataclass(frozen=True)
class FaultOptions:
    """The probability of each fault, for a click that may bear one."""

    late: float = 0.0
    duplicate: float = 0.0
    drop: float = 0.0
    reorder: float = 0.0
    malformed: float = 0.0
    seed: int = 1

    @property
    def probabilities(self) -> list[float]:
        """The probabilities, in the order of PublicationFault."""
        return [self.late, self.duplicate, self.drop, self.reorder, self.malformed]


@dataclass(frozen=True, eq=False)
class Faults:
    """For each record of a timeline its fault, a uniform number for its details, and a record.

    The record, in `after`, is the one after which this one is published: late or out of order, or for the
    second time. `after[i] == i` where nothing moves.
    """

    kinds: NDArray[np.int8]
    draws: NDArray[np.float64]
    after: RecordIndices


def parse_faults(text: str, seed: int = 1) -> FaultOptions:
    """Options from "late=0.01,duplicate=0.02".

    Raises:
        UsageError: an unknown fault, or no probability; or they add up to more than 1.
    """
    known = [field.name for field in fields(FaultOptions) if field.name != "seed"]
    given: dict[str, float] = {}
    for part in filter(None, text.replace(" ", "").split(",")):
        name, _, value = part.partition("=")
        try:
            given[name] = float(value)
        except ValueError:
            given[name] = -1.0
        if name not in known or not 0 <= given[name] <= 1:
            raise UsageError(
                f"--faults {text!r}: {part!r} is no fault with a probability",
                f"Write it as late=0.01,drop=0.005; the faults are {', '.join(known)}.",
            )
    if sum(given.values()) > 1:
        raise UsageError(
            f"--faults {text!r}: the probabilities add up to {sum(given.values()):g}",
            "Each click bears one fault at most, so they must add up to 1 or less.",
        )
    return FaultOptions(**given, seed=seed)


def choose_faults(
    schedule: Schedule, timeline: Timeline, options: FaultOptions, gap: int, lateness: int, max_clicks: int
) -> Faults:
    """Which records of `timeline` bear which fault: a pure function of its arguments (ms, clicks)."""
    size = len(timeline.times)
    is_click = np.flatnonzero(timeline.clicks != NO_CLICK)
    random = generator("faults", schedule.fingerprint, options.seed)
    kinds, draws = np.zeros(size, np.int8), np.zeros(size)
    # Drawn click by click, so that heartbeats and partitions have no part in it.
    hit = np.searchsorted(np.cumsum(options.probabilities), random.random(len(is_click)), side="right")
    draws[is_click] = random.random(len(is_click))
    # `hit` counts from late = 0 to none = 5.
    kinds[is_click] = (hit + 1) % len(PublicationFault)
    by_session = is_click[np.argsort(timeline.clicks[is_click])]
    views = schedule.dataset.view_of[timeline.clicks[by_session]]
    ends = np.array([bool(record.get("end")) for record in schedule.dataset.records])[views]
    kinds[_window_edges(timeline, by_session, ends, gap, max_clicks)] = PublicationFault.NONE
    meets_goal = by_session[_never_late(schedule.dataset)[views]]
    kinds[meets_goal[kinds[meets_goal] == PublicationFault.LATE]] = PublicationFault.NONE
    after = _moved(timeline, kinds, draws, lateness)
    kinds[(kinds == PublicationFault.REORDER) & (after == np.arange(size))] = PublicationFault.NONE
    _keep_windows_whole(timeline, by_session, kinds, after, gap, lateness)
    after[kinds == PublicationFault.NONE] = np.flatnonzero(kinds == PublicationFault.NONE)
    return Faults(kinds, draws, after)


def _never_late(log: ClickLog) -> NDArray[np.bool_]:
    """Of each view, whether a late click of it is refused: it meets a goal that is an event."""
    goal = log.definition.goal
    if goal.last_click:
        return np.zeros(len(log.records), bool)
    meets = holds(goal.when.expression, lambda record, path: record.get(path[0]))
    return np.array([meets(record) for record in log.records])


def _window_edges(
    timeline: Timeline, by_session: RecordIndices, ends: NDArray[np.bool_], gap: int, max_clicks: int
) -> RecordIndices:
    """First and last clicks of windows, and all clicks of sessions that a limit may cut."""
    sessions, times = timeline.sessions[by_session], timeline.times[by_session]
    opens = np.ones(len(by_session), bool)
    opens[1:] = (np.diff(sessions) != 0) | (np.diff(times) > gap) | ends[:-1]
    edge = opens | np.append(opens[1:], True)
    edge |= np.bincount(sessions)[sessions] >= max_clicks
    edges: RecordIndices = by_session[edge]
    return edges


def _moved(
    timeline: Timeline, kinds: NDArray[np.int8], draws: NDArray[np.float64], lateness: int
) -> RecordIndices:
    """The record after which each is published.

    Only records that stay in their place count as passed: what moved or went carries no watermark there.
    """
    after = np.arange(len(kinds))
    times = timeline.times
    stays = np.isin(kinds, (PublicationFault.NONE, PublicationFault.DUPLICATE))
    for partition in np.unique(timeline.partitions):
        here = timeline.partitions == partition
        fixed = np.flatnonzero(here & stays)
        fixed_times = times[fixed]

        late = np.flatnonzero(here & (kinds == PublicationFault.LATE))
        # The first that takes the watermark beyond the click.
        passing = np.searchsorted(fixed_times, times[late] + lateness, side="right")
        none = passing == len(fixed)
        kinds[late[none]] = PublicationFault.NONE
        after[late[~none]] = fixed[passing[~none]]

        for fault, most in (
            (PublicationFault.REORDER, lateness),
            (PublicationFault.DUPLICATE, lateness // 2),
        ):
            moved = np.flatnonzero(here & (kinds == fault))
            delay = np.floor(draws[moved] * most).astype(np.int64)
            # The last in the delay: the watermark is at most delay - lateness beyond the click.
            passed = np.searchsorted(fixed_times, times[moved] + delay, side="right") - 1
            after[moved] = np.maximum(moved, np.where(passed < 0, moved, fixed[passed]))
    return after


def _keep_windows_whole(
    timeline: Timeline,
    by_session: RecordIndices,
    kinds: NDArray[np.int8],
    after: RecordIndices,
    gap: int,
    lateness: int,
) -> None:
    """Take faults back that would split a window, or find it closed."""
    times = timeline.times
    gone = np.flatnonzero(
        np.isin(kinds[by_session], (PublicationFault.LATE, PublicationFault.DROP, PublicationFault.MALFORMED))
    )
    last_gone, sound_time = -1, 0
    for place in gone.tolist():
        click = by_session[place]
        # The neighbours are of the same window: its edges bear no fault.
        if place - 1 != last_gone:
            sound_time = int(times[by_session[place - 1]])
        whole = times[by_session[place + 1]] - sound_time <= gap
        if whole and kinds[click] == PublicationFault.LATE:
            whole = times[after[click]] - lateness <= sound_time + gap
        if whole:
            last_gone = place
        else:
            kinds[click] = PublicationFault.NONE
