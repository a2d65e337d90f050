"""A lost state, rebuilt from the log and from the scores.

The log from the middle does not tell what closed: that may depend on what was open there. All that closed
since was published, and the score says with which record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clickstream.consumer.note import Note
from clickstream.windows.partition import (
    NOTHING_SEEN,
    UNKNOWN,
    Crumb,
    Partition,
    Published,
    Rebuild,
    Rules,
)

BEGINNING = Crumb(0, NOTHING_SEEN, 0)
"""The place that needs nothing from before it."""


def place_of(note: Note, committed: int) -> Crumb:
    """Where to rebuild from what was lost of the state at `committed`."""
    if note.open == 0 and not note.early:
        return Crumb(committed, note.newest, max(note.closings, 0))
    if note.crumb is None or UNKNOWN in (note.closings, note.closings_at_crumb):
        return BEGINNING
    return Crumb(*note.crumb, note.closings_at_crumb)


def begin_rebuild(
    rules: Rules,
    note: Note,
    committed: int,
    horizon: int,
    published: Mapping[int, Sequence[Published]],
) -> Partition:
    """The partition to feed with the log from `place_of` on; before `committed` nothing is to be published.

    `published` is what the scores say that the records from there to `committed` closed, by offset.
    """
    place = place_of(note, committed)
    if place.offset == committed or place.newest == NOTHING_SEEN:
        # Nothing of what lies before is open.
        return Partition(rules, place.newest, horizon=horizon, closings=place.closings)
    return Partition(
        rules,
        place.newest,
        crumbs=(place,),
        partial_before=place.newest + rules.gap + rules.allowed_lateness,
        horizon=horizon,
        closings=place.closings,
        rebuild=Rebuild(committed, note.closings),
        published=published,
    )
