"""The text committed beside an offset: enough to rebuild the partition's state from the log alone."""

from __future__ import annotations

import msgspec

from clickstream.infra.kafka import CommittedOffset
from clickstream.records.reading import reader_of
from clickstream.windows.partition import UNKNOWN, Partition


class Note(msgspec.Struct, omit_defaults=True):
    """What is committed beside an offset.

    `rebuild_point` is the offset to rebuild from and the largest event time before it. `closings` counts the
    windows closed before the offset, `closings_at_rebuild_point` those before the rebuild point, from any
    beginning. `early`: a click that comes next may be late for a window that closed before the watermark had
    passed it, though nothing is open. In the text the rebuild point is a "crumb": every version reads it so.
    """

    settings: str
    partitions: int
    open: int
    newest: int
    rebuild_point: tuple[int, int] | None = msgspec.field(default=None, name="crumb")
    closings: int = UNKNOWN
    closings_at_rebuild_point: int = msgspec.field(default=UNKNOWN, name="closings_at_crumb")
    early: bool = False


_read = reader_of(Note)


def note_of(logic: Partition, settings: str, partitions: int) -> str:
    """The text to commit beside the offset that `logic` has reached."""
    rebuild_point = logic.rebuild_from()
    return _text(
        Note(
            settings,
            partitions,
            logic.open_sessions,
            logic.newest,
            None if rebuild_point is None else (rebuild_point.offset, rebuild_point.newest),
            logic.closings,
            UNKNOWN if rebuild_point is None else rebuild_point.closings,
            bool(logic.early),
        )
    )


def empty_note(settings: str, partitions: int, newest: int) -> str:
    """The text beside an offset before which nothing is needed."""
    return _text(Note(settings, partitions, 0, newest))


def read_note(committed: CommittedOffset | None) -> Note | None:
    """The note beside an offset; None where somebody else committed it, or nobody did."""
    if committed is None or not committed.metadata:
        return None
    return _read(committed.metadata.encode(errors="replace"))


def _text(note: Note) -> str:
    return msgspec.json.encode(note).decode()
