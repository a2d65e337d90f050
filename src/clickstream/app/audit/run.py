"""The whole of an audit: topics, a group's offsets, bundles, a ledger, a baseline -> a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from clickstream.app.audit.compare import Comparison, Range
from clickstream.app.audit.expected import NOT_FACTS, Facts, differences
from clickstream.app.audit.ledger import LedgerLine, check_ledger, compare_runs, read_ledger
from clickstream.app.audit.predictions import PredictionCheck, Predictor
from clickstream.app.audit.published import SCORERS, Published, read_score
from clickstream.app.audit.reading import Extent, Progress, extent, read, silent
from clickstream.app.audit.report import EXAMPLES, AuditReport, BaselineReport, Finding, Place, Tally
from clickstream.app.audit.sessions import SessionSums
from clickstream.consumer.partition import Rules
from clickstream.consumer.score import digest
from clickstream.features.session import FOLD_VERSION
from clickstream.infra.errors import BundleError
from clickstream.infra.kafka import Admin, Record
from clickstream.infra.settings import Settings, fingerprint
from clickstream.models.bundle import load_bundle
from clickstream.models.champion import bundle_ids


def run_audit(
    settings: Settings,
    *,
    bundle: str | None = None,
    ledger: Path | None = None,
    baseline: str | None = None,
    progress: Progress = silent,
) -> AuditReport:
    """Audit what the group of `settings` published about its clicks topic, up to now.

    May run beside producers and consumers: what the group has not committed yet counts as pending.

    Args:
        bundle: id or path of a bundle to recompute predictions with, besides those in the folder of bundles.
        ledger: the file of faults that the producer wrote.
        baseline: a topic with the scores of the same clicks without faults.
        progress: told how far each topic is read.

    Raises:
        UnavailableError: a server does not answer, or a topic is missing.
        BundleError: `bundle` cannot be used.
        MissingFileError, InputError: `ledger` cannot be used.
    """
    lines = None if ledger is None else read_ledger(ledger)
    find = _bundles(settings, bundle)
    topics = _Topics.look(settings)
    rules = fingerprint(settings.rules | {"fold": FOLD_VERSION})
    tally, suspects = Tally(), _Suspects()
    sums = SessionSums({line.session_id for line in lines or ()}, compare=baseline is not None)
    published = Published(settings.clicks_topic, rules, topics.aligned, tally, sums)

    scores = (published.add_score(r) for r in read(settings, settings.scores_topic, topics.scores, progress))
    digests = {"same-log": digest((score for score in scores if score is not None), "same-log")}
    for record in read(settings, settings.dead_letter_topic, topics.letters, progress):
        published.add_dead_letter(record)

    comparison = Comparison(
        rules=Rules(**settings.rules),
        clicks_topic=settings.clicks_topic,
        scores_topic=settings.scores_topic,
        dead_letter_topic=settings.dead_letter_topic,
        settings=rules,
        published=published,
        ranges={p: Range(begin, topics.committed.get(p)) for p, begin in topics.clicks.begin.items()},
        predictions=PredictionCheck(published, find, suspects.add, tally),
        suspect=suspects.add,
        tally=tally,
        scores_cut=any(topics.scores.begin.values()),
        letters_cut=any(topics.letters.begin.values()),
    )
    for record in read(settings, settings.clicks_topic, topics.clicks, progress):
        comparison.take(record)
    still_open = comparison.finish()

    # The scores a second time: for the other digest, and to show what is in those that differ.
    records = read(settings, settings.scores_topic, topics.scores, progress)
    looked_at = (read_score(record) for record in suspects.explain(records, tally))
    digests["across-logs"] = digest(
        (score for score in looked_at if isinstance(score, dict) and published.concerns(score)), "across-logs"
    )
    if any(one.what == "dead letter" for one in suspects.left):
        records = read(settings, settings.dead_letter_topic, topics.letters, progress)
        for _ in suspects.explain(records, tally):
            pass

    return AuditReport(
        **tally.counts(),
        clicks_topic=settings.clicks_topic,
        scores_topic=settings.scores_topic,
        group=settings.group,
        settings=rules,
        open=still_open,
        digests=digests,
        ledger=None if lines is None else check_ledger(lines, sums),
        baseline=None if baseline is None else _baseline(settings, baseline, lines or [], sums, progress),
        notes=tuple(topics.notes(settings)),
    )


class _Topics(NamedTuple):
    """What there is to read, and the offsets that the group has committed."""

    committed: Mapping[int, int]
    scores: Extent
    letters: Extent
    clicks: Extent

    @classmethod
    def look(cls, settings: Settings) -> _Topics:
        """In this order: what is committed first has its scores before their ends, and those their clicks."""
        with closing(Admin(settings)) as admin:
            offsets = admin.group_offsets(settings.group, settings.clicks_topic)
        return cls(
            {partition: committed.offset for partition, committed in offsets.items()},
            extent(settings, settings.scores_topic),
            extent(settings, settings.dead_letter_topic),
            extent(settings, settings.clicks_topic),
        )

    @property
    def aligned(self) -> bool:
        """Whether a score lies in the partition of its clicks."""
        return len(self.scores.end) == len(self.clicks.end)

    def notes(self, settings: Settings) -> Iterator[str]:
        """What bounds the proof."""
        unknown = sorted(p for p, end in self.clicks.end.items() if end and p not in self.committed)
        if unknown:
            yield (
                f"group {settings.group} has no committed offset for partitions"
                f" {', '.join(map(str, unknown))} of {settings.clicks_topic}: the last record that was"
                " published stands in for it, and all after that counts as pending."
                " Is the name of the group right?"
            )
        for topic, part in (
            (settings.clicks_topic, self.clicks),
            (settings.scores_topic, self.scores),
            (settings.dead_letter_topic, self.letters),
        ):
            gone = sum(part.begin.values())
            if gone:
                yield f"{topic} no longer holds its first {gone:,} records: what hangs on them is unchecked"


class _Suspected(NamedTuple):
    what: str
    id: str
    cause: Place
    found: Place
    expected: Facts


class _Suspects:
    """Published records that differ from what is expected, until they are looked at field by field."""

    def __init__(self) -> None:
        self.left: list[_Suspected] = []

    def add(self, what: str, id: str, cause: Place, found: Place, expected: Facts) -> None:
        """Keep one, unless there are enough examples."""
        if sum(one.what == what for one in self.left) < EXAMPLES:
            self.left.append(_Suspected(what, id, cause, found, expected))

    def explain(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Pass `records` through; where one is suspected, tell how it differs."""
        for record in records:
            here = Place(record.topic, record.partition, record.offset)
            for one in [one for one in self.left if one.found == here]:
                self.left.remove(one)
                found = _part(orjson.loads(record.value or b"null"), one.expected)
                tally.tell(
                    Finding(
                        "wrong",
                        "score" if one.what == "score" else "dead letter",
                        one.id,
                        one.cause,
                        here,
                        differences=differences(one.expected, found),
                    )
                )
            yield record


def _part(found: dict[str, Any], expected: Facts) -> dict[str, Any]:
    """The part of a published record that `expected` speaks of."""
    if "predictions" in expected:
        return {"predictions": {name: found["predictions"][name] for name in SCORERS}}
    return {name: value for name, value in found.items() if name not in NOT_FACTS}


def _bundles(settings: Settings, named: str | None) -> Callable[[str], Predictor | str]:
    given = None if named is None else load_bundle(settings.bundles, named)

    def find(bundle_id: str) -> Predictor | str:
        if given is not None and given.id == bundle_id:
            return given
        # The id comes from the topic: only what is in our own folder is opened by it, never a path.
        if bundle_id not in bundle_ids(settings.bundles):
            return f"bundle {bundle_id!r} is not in {settings.bundles}"
        try:
            return load_bundle(settings.bundles, bundle_id)
        except BundleError as error:
            return error.what

    return find


def _baseline(
    settings: Settings, topic: str, lines: Iterable[LedgerLine], ours: SessionSums, progress: Progress
) -> BaselineReport:
    theirs = SessionSums(compare=True)
    for record in read(settings, topic, extent(settings, topic), progress):
        score = read_score(record)
        if isinstance(score, dict):
            theirs.add(score)
    return compare_runs(lines, ours.compared, theirs.compared, topic)
