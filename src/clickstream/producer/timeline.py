"""Timeline: the clicks of a schedule on their partitions, with the heartbeats between them.

While sessions can be open on a partition that falls silent, a heartbeat carries its event time forward each
five minutes, until one is beyond gap and lateness of the last click (T6). One more on every partition ends
the timeline, so that the last sessions close too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clickstream.infra.kafka import partition_for
from clickstream.producer.schedule import Schedule, Times

HEARTBEAT_MS = 300_000
NO_CLICK = -1

# W = event time - lateness must be more than gap beyond the last click, and a click settles 1 ms after it.
_BEYOND_MS = 2


@dataclass(frozen=True, eq=False)
class Timeline:
    """Records in event-time order: record i is click `clicks[i]` of the dataset, of session `sessions[i]`,
    or a heartbeat, where both are NO_CLICK.
    """

    times: Times
    partitions: NDArray[np.int64]
    clicks: NDArray[np.int64]
    sessions: NDArray[np.int64]


def make_timeline(
    schedule: Schedule, partitions: int, gap: int, allowed_lateness: int, heartbeats: bool = True
) -> Timeline:
    """The records of `schedule` on `partitions` partitions; `gap` and `allowed_lateness` in ms."""
    ids = schedule.session_ids
    of_session = np.zeros(len(ids), np.int64)
    for session in np.unique(schedule.sessions).tolist():
        of_session[session] = partition_for(ids[session].encode(), partitions)
    of_click = of_session[schedule.sessions]
    if not heartbeats:
        return Timeline(schedule.times, of_click, schedule.clicks, schedule.sessions)

    wait = gap + allowed_lateness
    end = int(schedule.times[-1]) + wait + _BEYOND_MS
    beats = [_heartbeats(schedule.times[of_click == p], wait, end) for p in range(partitions)]
    beat_times = np.concatenate(beats)
    nothing = np.full(len(beat_times), NO_CLICK, np.int64)
    times = np.concatenate((schedule.times, beat_times))
    # Stable: clicks keep their order, heartbeats come after the clicks of their time.
    order = np.argsort(times, kind="stable")
    return Timeline(
        times[order],
        np.concatenate((of_click, np.repeat(np.arange(partitions), list(map(len, beats)))))[order],
        np.concatenate((schedule.clicks, nothing))[order],
        np.concatenate((schedule.sessions, nothing))[order],
    )


def _heartbeats(clicks: Times, wait: int, end: int) -> Times:
    """Times of the heartbeats of a partition with clicks at `clicks`; the last is `end`."""
    silence = np.diff(clicks, append=end)
    most = wait // HEARTBEAT_MS + 1
    counts = np.clip((silence - 1) // HEARTBEAT_MS, 0, most)
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    return np.append(np.repeat(clicks, counts) + nth * HEARTBEAT_MS, end)
