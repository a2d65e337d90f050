"""An audit in rounds, which can be taken up again. Pure, no I/O of its own but the spill.

A round has three parts, in this order: everything that was published by now (`published`), the clicks that
the group has committed (`comparison`), and the verdict (`settle`). A verdict is final; what the rest of the
log may still account for waits for the next round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clickstream.audit.answers import AnswerCheck
from clickstream.audit.compare import LogComparison
from clickstream.audit.mismatches import Mismatches, RecordLookup
from clickstream.audit.online import OnlineCheck
from clickstream.audit.open_scores import OpenScoreCheck
from clickstream.audit.partition import TopicsAtStart
from clickstream.audit.predictions import PredictionCheck, Predictor
from clickstream.audit.published import PublishedRecords
from clickstream.audit.report import Tally
from clickstream.audit.sessions import SessionSums
from clickstream.audit.spill import Spill
from clickstream.audit.twice import SecondReading
from clickstream.infra.settings import Settings, opens

REMEMBERED = 10_000_000
"""Published records that are accounted for and remembered, by which a copy is recognised."""


class AuditRounds:
    """The state of an audit between two rounds. Bounded in memory: see docs/audit.md.

    Attributes:
        tally: what was found so far.
        published: where a round adds scores and dead letters.
        comparison: what a round is begun on, and takes the clicks.
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
        self.tally = tally = Tally(spill.is_first_wrong)
        self._spill = spill
        self._remembered = remembered
        self._notes_two_groups = False
        self._mismatches = mismatches = Mismatches(tally)
        self.published = published = PublishedRecords(
            settings, topics.aligned, spill, tally, sessions or SessionSums(), digests, topics.open_aligned
        )
        predictions = PredictionCheck(published, bundle, mismatches, tally)
        online = OnlineCheck(predictions.load)
        self.comparison = LogComparison(
            settings,
            topics,
            published,
            spill,
            AnswerCheck(settings, published, predictions, online, mismatches, tally),
            SecondReading(settings, published.rules, independent, tally),
            OpenScoreCheck(settings, published, spill, predictions, online, mismatches, tally)
            if opens(settings)
            else None,
            mismatches,
            tally,
        )

    def settle(self, lookup: RecordLookup, ends: Mapping[int, int] | None = None) -> None:
        """Decide what can be decided now. `ends` as in `LogComparison.settle`."""
        self.comparison.settle(ends)
        self._mismatches.explain(lookup)
        tally = self.tally
        if not self._notes_two_groups and tally.duplicate and tally.duplicate * 2 >= tally.scored:
            self._notes_two_groups = True
            tally.notes.append(
                f"{tally.duplicate:,} scores are there twice: do two groups write to one topic of scores?"
                " `clickstream doctor` names them"
            )
        self._spill.forget(self._remembered)
