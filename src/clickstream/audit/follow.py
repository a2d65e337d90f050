"""The audit of a system at work, round after round.

A round first reads what the group has committed, then the ends of scores, dead letters and clicks, in
that order: what was committed was published before. Then it reads what is new of scores and dead letters, and
the clicks up to the committed offset, no further; so each verdict is final.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from clickstream.audit.bundles import bundle_finder
from clickstream.audit.partition import CommittedRange, TopicsAtStart
from clickstream.audit.report import Finding, Place
from clickstream.audit.rounds import AuditRounds
from clickstream.audit.spill import Spill
from clickstream.audit.verdict import AuditCounts
from clickstream.infra.errors import RefusedError, UnavailableError
from clickstream.infra.kafka import Admin, Extent, Record, TopicLog
from clickstream.infra.memory import resident_bytes
from clickstream.infra.settings import Settings, opens


class TopicProgress(NamedTuple):
    """How far a round has read a topic, in offsets."""

    topic: str
    passed: int
    total: int


@dataclass(kw_only=True)
class RoundReport(AuditCounts):
    """What was found since the start; `findings` since the last report, the first few of each kind.

    Attributes, besides those of AuditCounts:
        round: rounds that came to their end.
        at: wall clock, ms.
        open: sessions open at the place in the log that was audited.
        waiting: scores whose window closes beyond that place.
        lag: records of clicks that the group has not committed.
        behind: committed records that are not audited yet.
        held: an open transaction holds back what others published; the clicks wait for it.
        memory: resident bytes of this process.
        disk: bytes of the temporary database, cached or on the disk.
    """

    round: int
    at: int
    open: int
    waiting: int
    lag: int
    behind: int
    held: bool
    memory: int
    disk: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


class _Followed(TopicLog):
    """A topic, and how far it was read: `position` is the next offset, by partition."""

    def __init__(self, settings: Settings, topic: str) -> None:
        super().__init__(settings, topic)
        self.position: dict[int, int] = {}
        self.begin = self.extent().begin
        self.position = dict(self.begin)

    def extent(self) -> Extent:
        """Where the topic begins and ends now.

        Raises:
            RefusedError: what comes next was deleted.
            UnavailableError: the broker does not answer, or the log is shorter than it was: its broker has
                just begun, or it is another one.
        """
        there = super().extent()
        if self.position and self.position.keys() != there.end.keys():
            raise RefusedError(
                f"{self.topic} has {len(there.end)} partitions, and had {len(self.position)}",
                "Start the audit again.",
            )
        for partition, offset in self.position.items():
            if offset < there.begin[partition]:
                raise RefusedError(
                    f"{self.topic}/{partition} begins at {there.begin[partition]}, and the audit was at"
                    f" {offset}: records were deleted before they were audited",
                    "Start the audit again, and keep the topic for longer.",
                )
            if offset > there.end[partition]:
                raise UnavailableError(
                    f"{self.topic}/{partition} ends at {there.end[partition]}, and was read to {offset}",
                    "Was the topic created anew? Then start the audit again.",
                )
        return there

    def read_on(self, end: Mapping[int, int]) -> Iterator[tuple[list[Record], TopicProgress]]:
        """Batches of what comes up to `end`, each of them only once, with how much of it that is."""
        ahead = {p: offset for p, offset in end.items() if offset > self.position[p]}
        if not ahead:
            return
        total, passed = sum(offset - self.position[p] for p, offset in ahead.items()), 0
        for batch in self.read({p: self.position[p] for p in ahead}, ahead):
            for record in batch:
                self.position[record.partition] = record.offset + 1
            passed += len(batch)
            yield batch, TopicProgress(self.topic, passed, total)
        self.position |= ahead

    def lookup(self, places: Iterable[Place]) -> Iterator[Record]:
        """The records at these places, those that are still there."""
        for _, partition, offset in places:
            for batch in self.read({partition: offset}, {partition: offset + 1}):
                yield from (record for record in batch if record.offset == offset)


class Follower:
    """The audit of one group's work from the first record of its topics. To be closed.

    Raises:
        BundleError: `bundle` cannot be used.
        UnavailableError: the broker does not answer, or a topic is missing.
    """

    def __init__(
        self, settings: Settings, bundle: str | None, spill: Spill, independent: bool = False
    ) -> None:
        self._settings = settings
        self._admin: Admin | None = None
        self._spill = spill
        self._scores = _Followed(settings, settings.scores_topic)
        self._letters = _Followed(settings, settings.dead_letter_topic)
        self._clicks = _Followed(settings, settings.clicks_topic)
        self._opened = _Followed(settings, settings.open_scores_topic) if opens(settings) else None
        ranges = {partition: CommittedRange(begin) for partition, begin in self._clicks.begin.items()}
        cut = any(self._scores.begin.values()), any(self._letters.begin.values())
        topics = TopicsAtStart(
            ranges,
            len(self._scores.begin) == len(ranges),
            *cut,
            open_aligned=self._opened is None or len(self._opened.begin) == len(ranges),
        )
        self._rounds = AuditRounds(
            settings, topics, spill, bundle_finder(settings, bundle), independent=independent
        )
        self._ended = self._lag = self._others = 0
        self._others_reported = False
        self._behind: Mapping[int, int] = {}
        self._held = False

    def round(self) -> Iterator[TopicProgress]:
        """One round; says after each batch how far it is. It may be left there, the next one goes on.

        Raises:
            UnavailableError: the broker does not answer; the next round tries again.
            RefusedError: records were deleted before they were audited.
        """
        try:
            yield from self._round()
        except UnavailableError:
            self.close()
            raise

    def report(self) -> RoundReport:
        """What was found so far."""
        rounds = self._rounds
        counts = rounds.tally.counts()
        del counts["pending"]  # what is not committed is not audited
        return RoundReport(
            **counts,
            round=self._ended,
            at=time.time_ns() // 1_000_000,
            open=rounds.comparison.open_sessions,
            waiting=self._spill.waiting,
            lag=self._lag,
            behind=sum(max(0, end - self._clicks.position[p]) for p, end in self._behind.items()),
            held=self._held,
            memory=resident_bytes(),
            disk=self._spill.size,
            findings=rounds.tally.take_findings(),
            notes=tuple(rounds.tally.notes),
        )

    def close(self) -> None:
        """Drop the connections; the next round opens them again."""
        for topic in (self._scores, self._letters, self._clicks, self._opened):
            if topic is not None:
                topic.close()
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _round(self) -> Iterator[TopicProgress]:
        committed = self._committed()
        witnessed = self._scores.extent().end
        opened = None if self._opened is None else self._opened.extent()
        letters = self._letters.extent()
        scores, clicks = self._scores.extent(), self._clicks.extent()
        self._held = scores.held or letters.held or (opened is not None and opened.held)
        self._lag = sum(max(0, end - committed.get(p, clicks.begin[p])) for p, end in clicks.end.items())
        rounds = self._rounds
        for batch, progress in self._scores.read_on(scores.end):
            for record in batch:
                rounds.published.add_score(record, record.offset < witnessed[record.partition])
            yield progress
        for batch, progress in self._letters.read_on(letters.end):
            for record in batch:
                rounds.published.add_dead_letter(record)
            yield progress
        if self._opened is not None and opened is not None:
            for batch, progress in self._opened.read_on(opened.end):
                for record in batch:
                    rounds.published.add_open_score(record)
                yield progress
        others = rounds.tally.other_settings
        if self._ended and others > self._others and not self._others_reported:
            self._others_reported = True
            rounds.tally.notes.append(
                "scores under other settings come in: where they are the group's, sessions look missing from"
                " now on; start again with the settings that the consumers have now"
            )
        self._others = others
        # Where the group has no offset, what was published shows how far it came.
        until = {
            p: min(committed.get(p, rounds.published.published_to.get(p, 0)), end)
            for p, end in clicks.end.items()
        }
        self._behind = until
        if not self._held:
            rounds.comparison.begin(until)
            for batch, progress in self._clicks.read_on(until):
                for record in batch:
                    rounds.comparison.take(record)
                yield progress
            rounds.settle(self._lookup, clicks.end)
        self._ended += 1

    def _committed(self) -> dict[int, int]:
        if self._admin is None:
            self._admin = Admin(self._settings)
        found = self._admin.group_offsets(self._settings.group, self._settings.clicks_topic)
        return {partition: committed.offset for partition, committed in found.items()}

    def _lookup(self, topic: str, places: Iterable[Place]) -> Iterator[Record]:
        topics = (self._scores, self._letters, self._opened)
        (found,) = (one for one in topics if one is not None and one.topic == topic)
        return found.lookup(places)
