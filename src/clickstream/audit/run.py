"""An audit up to now: reads topics, offsets, bundles, a ledger and a baseline, and has them evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from clickstream.audit.bundles import bundle_finder
from clickstream.audit.evaluation import AuditedLogs, evaluate_run
from clickstream.audit.ledger import read_ledger
from clickstream.audit.partition import CommittedRange, TopicsAtStart
from clickstream.audit.report import AuditReport
from clickstream.infra.kafka import Admin, Record
from clickstream.infra.kafka.topic_log import Extent, ReadingProgress, extent, read, silent
from clickstream.infra.settings import Settings, opens


def run_audit(
    settings: Settings,
    *,
    bundle: str | None = None,
    ledger: Path | None = None,
    baseline: str | None = None,
    independent: bool = False,
    progress: ReadingProgress = silent,
) -> AuditReport:
    """Audit what the group of `settings` published about its clicks topic, up to now.

    May run beside producers and consumers: what the group has not committed yet counts as pending.

    Args:
        bundle: id or path of a bundle to recompute predictions with, besides those in the folder of bundles.
        ledger: the file of faults that the producer wrote.
        baseline: a topic with the scores of the same clicks without faults.
        independent: read every session a second time with the audit's own interpreter, not only those drawn.
        progress: called with how far each topic is read.

    Raises:
        UnavailableError: a server does not answer, or a topic is missing.
        BundleError: `bundle` cannot be used.
        MissingFileError, InputError: `ledger` cannot be used.

    >>> from clickstream import Settings, run_audit
    >>> report = run_audit(Settings())
    >>> report.clean, report.missing, report.duplicate, report.wrong
    (True, 0, 0, 0)
    """
    lines = None if ledger is None else read_ledger(ledger)
    find = bundle_finder(settings, bundle)
    # Read in this order, what is committed has its scores, and these have their clicks; a dead letter has the
    # scores that were published with it, and a score that lies before `witnessed` its dead letters.
    with closing(Admin(settings)) as admin:
        offsets = admin.group_offsets(settings.group, settings.clicks_topic)
    witnessed = extent(settings, settings.scores_topic).end
    opened = extent(settings, settings.open_scores_topic) if opens(settings) else None
    letters = extent(settings, settings.dead_letter_topic)
    scores = extent(settings, settings.scores_topic)
    clicks = extent(settings, settings.clicks_topic)
    committed = {p: found.offset for p, found in offsets.items()}
    ranges = {p: CommittedRange(begin, committed.get(p)) for p, begin in clicks.begin.items()}
    parts = {
        settings.clicks_topic: clicks,
        settings.scores_topic: scores,
        settings.dead_letter_topic: letters,
    }

    if opened is not None:
        parts[settings.open_scores_topic] = opened

    def records(topic: str, part: Extent) -> Callable[[], Iterable[Record]]:
        return partial(read, settings, topic, part, progress)

    cut = any(scores.begin.values()), any(letters.begin.values())
    logs = AuditedLogs(
        clicks=records(settings.clicks_topic, clicks),
        scores=records(settings.scores_topic, scores),
        letters=records(settings.dead_letter_topic, letters),
        open_scores=tuple if opened is None else records(settings.open_scores_topic, opened),
        topics=TopicsAtStart(
            ranges,
            len(scores.end) == len(clicks.end),
            *cut,
            open_aligned=opened is None or len(opened.end) == len(clicks.end),
        ),
        witnessed=witnessed,
        baseline=None if baseline is None else (baseline, records(baseline, extent(settings, baseline))),
        notes=[*_notes(settings, ranges, parts)],
    )
    return evaluate_run(settings, logs, find, lines, independent=independent)


def _notes(
    settings: Settings, ranges: Mapping[int, CommittedRange], parts: Mapping[str, Extent]
) -> Iterator[str]:
    """What bounds the proof."""
    ends = parts[settings.clicks_topic].end
    if unknown := sorted(p for p, end in ends.items() if end and ranges[p].committed is None):
        yield (
            f"group {settings.group} has no committed offset for partitions"
            f" {', '.join(map(str, unknown))} of {settings.clicks_topic}: the last record that was"
            " published stands in for it, and all after that counts as pending."
            " Is the name of the group right?"
        )
    if parts[settings.scores_topic].held or parts[settings.dead_letter_topic].held:
        yield (
            "a transaction that is open holds back what others have published: it may be reported as"
            " missing. Audit again when it has timed out."
        )
    for topic, part in parts.items():
        if gone := sum(part.begin.values()):
            yield f"{topic} no longer holds its first {gone:,} records: what hangs on them is unchecked"
