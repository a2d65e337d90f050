"""An audit in rounds, which can be taken up again. Pure, no I/O of its own but the spill.

A round has three parts, in this order: everything that was published by now (`add_score`, `add_letter`), the
clicks that the group has committed (`begin`, then `take`), and the verdict (`settle`). A verdict is
final; what the rest of the log may still account for waits for the next round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clickstream.audit.answers import AnswerCheck
from clickstream.audit.compare import LogComparison
from clickstream.audit.mismatches import Mismatches, RecordLookup
from clickstream.audit.online import OnlineCheck
from clickstream.audit.partition import CommittedRange
from clickstream.audit.predictions import PredictionCheck, Predictor
from clickstream.audit.published import PublishedRecords
from clickstream.audit.report import Tally
from clickstream.audit.sessions import SessionSums
from clickstream.audit.spill import Spill
from clickstream.audit.twice import SecondReading
from clickstream.infra.kafka import Record
from clickstream.infra.settings import Settings
from clickstream.windows.fingerprint import fingerprint, rules_of

REMEMBERED = 10_000_000
"""Published records that are accounted for and remembered, by which a copy is recognised."""


@dataclass(frozen=True, slots=True)
class TopicsAtStart:
    """What is known of the topics at the start.

    Attributes:
        ranges: the clicks topic by partition.
        aligned: the scores topic has as many partitions as the clicks topic.
        scores_cut, letters_cut: the topic has lost its first records.
    """

    ranges: Mapping[int, CommittedRange]
    aligned: bool = True
    scores_cut: bool = False
    letters_cut: bool = False


class AuditRounds:
    """The state of an audit between two rounds. Bounded in memory: see docs/audit.md.

    Attributes:
        tally: what was found so far.
        settings: fingerprint of the settings that scores must have been made under.
    """

    def __init__(
        self,
        settings: Settings,
        topics: TopicsAtStart,
        spill: Spill,
        bundle: Callable[[str], Predictor | str],
        sessions: SessionSums | None = None,
        digests: bool = False,
        remembered: int = REMEMBERED,
        independent: bool = False,
    ) -> None:
        """
        Args:
            bundle: gives a bundle by its id, or says why it cannot.
            sessions: also gets every score and dead letter that is compared.
            digests: keep what the digests of all scores are made from.
            independent: read every session a second time, not only those drawn.
        """
        self.settings = fingerprint(settings)
        self.tally = Tally(spill.is_first_wrong)
        self._spill = spill
        self._mismatches = Mismatches()
        self._remembered = remembered
        self._notes_two_groups = False
        rules = rules_of(settings)
        self._published = PublishedRecords(
            settings.clicks_topic,
            rules.shop,
            self.settings,
            topics.aligned,
            spill,
            self.tally,
            sessions or SessionSums(),
            digests,
        )
        predictions = PredictionCheck(self._published, bundle, self._mismatches.add, self.tally)
        self._comparison = LogComparison(
            rules=rules,
            clicks_topic=settings.clicks_topic,
            scores_topic=settings.scores_topic,
            dead_letter_topic=settings.dead_letter_topic,
            settings=self.settings,
            published=self._published,
            spill=spill,
            ranges=topics.ranges,
            answers=AnswerCheck(
                settings.clicks_topic,
                settings.scores_topic,
                self._published,
                predictions,
                OnlineCheck(predictions.load),
                self._mismatches.add,
                self.tally,
            ),
            second=SecondReading(rules, independent, settings.clicks_topic, self.settings, self.tally),
            mismatch=self._mismatches.add,
            tally=self.tally,
            scores_cut=topics.scores_cut,
            letters_cut=topics.letters_cut,
        )

    def add_score(self, record: Record, shows_progress: bool = True) -> None:
        """As `PublishedRecords.add_score`."""
        self._published.add_score(record, shows_progress)

    def add_letter(self, record: Record) -> None:
        """As `PublishedRecords.add_dead_letter`."""
        self._published.add_dead_letter(record)

    def begin(self, committed: Mapping[int, int]) -> None:
        """As `LogComparison.begin`."""
        self._comparison.begin(committed)

    def take(self, record: Record) -> None:
        """As `LogComparison.take`."""
        self._comparison.take(record)

    @property
    def open_sessions(self) -> int:
        """Sessions that are open where the clicks were read to."""
        return self._comparison.open_sessions

    @property
    def published_to(self) -> Mapping[int, int]:
        """Clicks partition -> the offset up to which something published shows that the log was processed."""
        return self._published.published_to

    def settle(self, lookup: RecordLookup, ends: Mapping[int, int] | None = None) -> None:
        """Decide what can be decided now. `ends` as in `LogComparison.settle`."""
        self._comparison.settle(ends)
        self._mismatches.explain(lookup, self.tally)
        tally = self.tally
        if not self._notes_two_groups and tally.duplicate and tally.duplicate * 2 >= tally.scored:
            self._notes_two_groups = True
            tally.notes.append(
                f"{tally.duplicate:,} scores are there twice: do two groups write to one topic of scores?"
                " `clickstream doctor` names them"
            )
        self._spill.forget(self._remembered)
