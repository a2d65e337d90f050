"""The text committed beside an offset: enough to rebuild the partition's state from the log alone."""

from __future__ import annotations

import msgspec

from clickstream.infra.kafka import Committed
from clickstream.windows.partition import UNKNOWN, Partition


class Note(msgspec.Struct, omit_defaults=True):
    """What is committed beside an offset.

    `crumb` is the offset to rebuild from and the largest event time before it. `closings` counts the windows
    closed before the offset, `closings_at_crumb` those before the crumb, from any beginning. `early`: a click
    that comes next may be late for a window that closed before the watermark had passed it, though nothing is
    open.
    """

    settings: str
    partitions: int
    open: int
    newest: int
    crumb: tuple[int, int] | None = None
    closings: int = UNKNOWN
    closings_at_crumb: int = UNKNOWN
    early: bool = False


def note_of(logic: Partition, settings: str, partitions: int) -> str:
    """The text to commit beside the offset that `logic` has reached."""
    crumb = logic.rebuild_from()
    return _text(
        Note(
            settings,
            partitions,
            logic.open_sessions,
            logic.newest,
            None if crumb is None else (crumb.offset, crumb.newest),
            logic.closings,
            UNKNOWN if crumb is None else crumb.closings,
            bool(logic.early),
        )
    )


def empty_note(settings: str, partitions: int, newest: int) -> str:
    """The text beside an offset before which nothing is needed."""
    return _text(Note(settings, partitions, 0, newest))


def read_note(committed: Committed | None) -> Note | None:
    """The note beside an offset; None where somebody else committed it, or nobody did."""
    if committed is None or not committed.metadata:
        return None
    try:
        return msgspec.json.decode(committed.metadata, type=Note)
    except msgspec.DecodeError:
        return None


def _text(note: Note) -> str:
    return msgspec.json.encode(note).decode()
