"""A partition that loses all of its state, at one place or several, and is rebuilt as recovery does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from oracle import Read

from clickstream.consumer.note import Note, note_of, read_note
from clickstream.consumer.rebuild import begin_rebuild, rebuild_point_of
from clickstream.infra.kafka import CommittedOffset
from clickstream.windows.partition import ClosedWindow, Partition, PublishedClosing, RefusedRecord
from clickstream.windows.rules import Rules


@dataclass
class Run:
    """A partition's life: what is published of it, and the note beside its offset."""

    rules: Rules
    log: Sequence[Read]
    horizon: int = 0
    from_the_middle: bool = False
    windows: list[ClosedWindow] = field(default_factory=list)
    letters: list[RefusedRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.logic = self.adjusted(Partition(self.rules, horizon=self.horizon))

    def adjusted(self, logic: Partition) -> Partition:
        logic._rebuild_point_every = 1  # five minutes are for ever in these logs
        return logic

    def read(self, begin: int, end: int, publish_from: int) -> None:
        """Process the records with offsets from `begin` up to `end`."""
        for read in self.log:
            if begin <= read.offset < end:
                self.logic.advance(*read)
        self.windows += [one for one in self.logic.closed if one.offset >= publish_from]
        self.letters += [one for one in self.logic.refused if one.offset >= publish_from]
        self.logic.closed, self.logic.refused = [], []

    def note(self) -> Note:
        note = read_note(CommittedOffset(0, note_of(self.logic, "", 1)))
        assert note is not None
        return note

    def lose_all(self, committed: int) -> None:
        """Redis is empty; all that is left is the log, the note and what was published."""
        note = self.note()
        published: dict[int, list[PublishedClosing]] = {}
        for one in self.windows:
            if note.rebuild_point is not None and one.offset >= note.rebuild_point[0]:
                published.setdefault(one.offset, []).append(
                    PublishedClosing(
                        one.session_id, one.session.last.event_time, one.closed_by, one.session.clicks
                    )
                )
        start = rebuild_point_of(note, committed)
        count = sum(map(len, published.values()))
        if note.open:
            assert note.closings - start.closings == count, "the count does not tell of a gap in the scores"
            self.from_the_middle = self.from_the_middle or start.newest >= 0
        logic = begin_rebuild(self.rules, note, committed, self.horizon, published)
        self.logic = self.adjusted(logic)
        self.read(start.offset, committed, committed)


class Outcome(NamedTuple):
    """What was published, and what would have been."""

    windows: list[ClosedWindow]
    letters: list[RefusedRecord]
    right: list[ClosedWindow]
    right_letters: list[RefusedRecord]
    from_the_middle: bool


def with_losses(rules: Rules, log: Sequence[Read], places: Sequence[int], horizon: int = 0) -> Outcome:
    """`log`, with all of Redis lost after each of the numbers of records in `places`."""
    log = [read._replace(offset=at) for at, read in enumerate(log)]
    end = len(log)
    undisturbed, run = Run(rules, log, horizon), Run(rules, log, horizon)
    undisturbed.read(0, end, 0)
    begin = 0
    for place in sorted(at for at in places if 0 < at <= end):
        run.read(begin, place, begin)
        run.lose_all(place)
        begin = place
    run.read(begin, end, begin)
    return Outcome(run.windows, run.letters, undisturbed.windows, undisturbed.letters, run.from_the_middle)
