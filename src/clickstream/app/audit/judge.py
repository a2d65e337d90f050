"""Judge: topics as streams of records -> a report. Pure, no I/O of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from clickstream.app.audit.compare import Comparison
from clickstream.app.audit.expected import NOT_FACTS, Facts, differences
from clickstream.app.audit.lane import Range
from clickstream.app.audit.ledger import LedgerLine, check_ledger, compare_runs
from clickstream.app.audit.predictions import PredictionCheck, Predictor
from clickstream.app.audit.published import SCORERS, Published, read_score
from clickstream.app.audit.report import EXAMPLES, AuditReport, BaselineReport, Finding, Place, Tally
from clickstream.app.audit.sessions import SessionSums
from clickstream.consumer.partition import Rules
from clickstream.consumer.score import digest
from clickstream.features.session import FOLD_VERSION
from clickstream.infra.kafka import Record
from clickstream.infra.settings import Settings, fingerprint

Log = Callable[[], Iterable[Record]]
"""The records of a topic, in offset order within each partition; the same at each call."""


@dataclass(frozen=True)
class Logs:
    """What is audited.

    Attributes:
        ranges: the clicks topic by partition.
        aligned: the scores topic has as many partitions as the clicks topic.
        scores_cut, letters_cut: the topic has lost its first records.
        baseline: scores of the same clicks without faults, and their topic.
    """

    clicks: Log
    scores: Log
    letters: Log
    ranges: Mapping[int, Range]
    aligned: bool = True
    scores_cut: bool = False
    letters_cut: bool = False
    baseline: tuple[str, Log] | None = None
    notes: Iterable[str] = field(default=())


def judge(
    settings: Settings,
    logs: Logs,
    bundle: Callable[[str], Predictor | str],
    lines: Iterable[LedgerLine] | None = None,
) -> AuditReport:
    """Compare what was published with what the clicks make of it.

    Args:
        bundle: gives a bundle by its id, or says why it cannot.
        lines: faults that were put into the clicks on purpose.
    """
    lines = None if lines is None else list(lines)
    rules = fingerprint(settings.rules | {"fold": FOLD_VERSION})
    tally, suspects = Tally(), _Suspects()
    sums = SessionSums({line.session_id for line in lines or ()}, compare=logs.baseline is not None)
    published = Published(settings.clicks_topic, rules, logs.aligned, tally, sums)

    scores = (published.add_score(record) for record in logs.scores())
    digests = {"same-log": digest((score for score in scores if score is not None), "same-log")}
    for record in logs.letters():
        published.add_dead_letter(record)

    comparison = Comparison(
        rules=Rules(**settings.rules),
        clicks_topic=settings.clicks_topic,
        scores_topic=settings.scores_topic,
        dead_letter_topic=settings.dead_letter_topic,
        settings=rules,
        published=published,
        ranges=logs.ranges,
        predictions=PredictionCheck(published, bundle, suspects.add, tally),
        suspect=suspects.add,
        tally=tally,
        scores_cut=logs.scores_cut,
        letters_cut=logs.letters_cut,
    )
    for record in logs.clicks():
        comparison.take(record)
    still_open = comparison.finish()

    # The scores a second time: for the other digest, and to show what is in those that differ.
    looked_at = (read_score(record) for record in suspects.explain(logs.scores(), tally))
    digests["across-logs"] = digest(
        (score for score in looked_at if isinstance(score, dict) and published.concerns(score)), "across-logs"
    )
    if any(one.what == "dead letter" for one in suspects.left):
        for _ in suspects.explain(logs.letters(), tally):
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
        baseline=None if logs.baseline is None else _baseline(*logs.baseline, lines or [], sums),
        notes=(*logs.notes, *tally.notes),
    )


def _baseline(topic: str, log: Log, lines: Iterable[LedgerLine], ours: SessionSums) -> BaselineReport:
    theirs = SessionSums(compare=True)
    for record in log():
        score = read_score(record)
        if isinstance(score, dict):
            theirs.add(score)
    return compare_runs(lines, ours.compared, theirs.compared, topic)


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
