"""An audit of whole topics, as streams of records: one round, and then the rest of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from clickstream.audit.ledger import LedgerLine, check_ledger, compare_runs
from clickstream.audit.partition import TopicsAtStart
from clickstream.audit.predictions import Predictor
from clickstream.audit.published import checked_score
from clickstream.audit.report import AuditReport, BaselineReport, Place
from clickstream.audit.rounds import AuditRounds
from clickstream.audit.sessions import SessionSums
from clickstream.audit.spill import Spill
from clickstream.infra.kafka import Record
from clickstream.infra.settings import Settings
from clickstream.records.score import COMPARISONS, digest_of_lines

RecordSource = Callable[[], Iterable[Record]]
"""The records of a topic, in offset order within each partition; the same at each call."""


@dataclass(frozen=True)
class AuditedLogs:
    """What is audited.

    Attributes:
        witnessed: scores partition -> the offset up to which scores show how far the log was processed;
            with those after it may have been published what was not read. None: all show it.
        baseline: scores of the same clicks without faults, and their topic.
    """

    clicks: RecordSource
    scores: RecordSource
    letters: RecordSource
    topics: TopicsAtStart
    open_scores: RecordSource = tuple
    witnessed: Mapping[int, int] | None = None
    baseline: tuple[str, RecordSource] | None = None
    notes: Iterable[str] = field(default=())


def evaluate_run(
    settings: Settings,
    logs: AuditedLogs,
    bundle: Callable[[str], Predictor | str],
    lines: Iterable[LedgerLine] | None = None,
    spill: Spill | None = None,
    independent: bool = False,
) -> AuditReport:
    """Compare what was published with what the clicks make of it.

    Args:
        bundle: gives a bundle by its id, or says why it cannot.
        lines: faults that were put into the clicks on purpose.
        spill: a fresh one; it is closed at the end.
        independent: read every session a second time with the audit's own interpreter, not only those drawn.

    Raises:
        ClickstreamError: there is no room on the disk.
    """
    lines = None if lines is None else list(lines)
    with spill or Spill() as there:
        sums = SessionSums(
            {line.session_id for line in lines or ()}, None if logs.baseline is None else there
        )
        rounds = AuditRounds(
            settings, logs.topics, there, bundle, sums, digests=True, independent=independent
        )
        published, comparison = rounds.published, rounds.comparison
        for record in logs.scores():
            published.add_score(
                record, logs.witnessed is None or record.offset < logs.witnessed[record.partition]
            )
        for record in logs.letters():
            published.add_dead_letter(record)
        for record in logs.open_scores():
            published.add_open_score(record)
        comparison.begin(published.published_to)
        for record in logs.clicks():
            comparison.take(record)

        def lookup(topic: str, _places: Iterable[Place]) -> Iterable[Record]:
            sources = {settings.scores_topic: logs.scores, settings.open_scores_topic: logs.open_scores}
            return sources.get(topic, logs.letters)()

        rounds.settle(lookup)
        return AuditReport(
            **rounds.tally.counts(),
            findings=rounds.tally.take_findings(),
            clicks_topic=settings.clicks_topic,
            scores_topic=settings.scores_topic,
            group=settings.group,
            settings=published.fingerprint,
            open=comparison.open_sessions,
            digests={name: digest_of_lines(there.lines(name)) for name in COMPARISONS},
            ledger=None if lines is None else check_ledger(lines, sums),
            baseline=None if logs.baseline is None else _baseline(*logs.baseline, lines or [], there),
            notes=(*logs.notes, *rounds.tally.notes),
        )


def _baseline(topic: str, log: RecordSource, lines: Iterable[LedgerLine], spill: Spill) -> BaselineReport:
    theirs = SessionSums(compared_on=spill, run="baseline")
    for record in log():
        score = checked_score(record)
        if isinstance(score, dict):
            theirs.add(score)
    return compare_runs(lines, spill.sums(), topic)
