"""A lost state, rebuilt from the log and from the scores.

The log from the middle does not show what closed: that may depend on what was open there. All that closed
since was published, and the score says with which record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clickstream.consumer.note import Note
from clickstream.windows.partition import (
    NOTHING_SEEN,
    UNKNOWN,
    Partition,
    PublishedClosing,
    Rebuild,
    RebuildPoint,
)
from clickstream.windows.rules import Rules

BEGINNING = RebuildPoint(0, NOTHING_SEEN, 0)
"""The place that needs nothing from before it."""


def rebuild_point_of(note: Note, committed: int) -> RebuildPoint:
    """The place to rebuild a lost state from, given the note beside the `committed` offset."""
    if note.open == 0 and not note.early:
        return RebuildPoint(committed, note.newest, max(note.closings, 0))
    if note.rebuild_point is None or UNKNOWN in (note.closings, note.closings_at_rebuild_point):
        return BEGINNING
    return RebuildPoint(*note.rebuild_point, note.closings_at_rebuild_point)


def begin_rebuild(
    rules: Rules,
    note: Note,
    committed: int,
    horizon: int,
    published: Mapping[int, Sequence[PublishedClosing]],
) -> Partition:
    """The partition to feed with the log from its rebuild point on.

    Before `committed` nothing is to be published. `published` is what the scores say that the records from
    there to `committed` closed, by offset.
    """
    place = rebuild_point_of(note, committed)
    if place.offset == committed or place.newest == NOTHING_SEEN:
        # Nothing of what lies before is open.
        return Partition(rules, place.newest, horizon=horizon, closings=place.closings)
    return Partition(
        rules,
        place.newest,
        rebuild_points=(place,),
        partial_before=place.newest + rules.gap + rules.allowed_lateness,
        horizon=horizon,
        closings=place.closings,
        rebuild=Rebuild(committed, note.closings),
        published=published,
    )
