"""AuditReport: what an audit found, in numbers and by the first examples of each kind."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from clickstream.audit.verdict import AuditCounts, FindingKind, RecordCounts

EXAMPLES = 10
"""Findings of one kind that are reported one by one; all are counted."""

RecordKind = Literal["score", "open score", "dead letter"]


class Place(NamedTuple):
    """A record on a topic."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition} at {self.offset}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is not what the log makes it, and the rule that says so."""

    field: str
    expected: object
    found: object
    rule: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One score, open score or dead letter that is not as it must be.

    `cause` is the record of the clicks topic that produces it, `found` the record that was published; None
    where there is none, or where it is not known.
    """

    kind: FindingKind
    what: RecordKind
    id: str
    cause: Place | None = None
    found: Place | None = None
    detail: str = ""
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """Whether each fault of a ledger shows where the ledger says.

    `shown` and `absent` count lines by fault; `silent` are lines that show in nothing, which only a baseline
    can check. `examples` names the first that are absent.
    """

    lines: int
    shown: Mapping[str, int]
    absent: Mapping[str, int]
    silent: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BaselineReport:
    """Sessions against those of a run of the same clicks without faults, compared across logs.

    `excused` are sessions of the ledger whose faults change their score.
    """

    topic: str
    equal: int
    differ: int
    excused: int
    examples: tuple[str, ...]


@dataclass(kw_only=True)
class AuditReport(AuditCounts):
    """What an audit found.

    Attributes, besides those of AuditCounts:
        pending: windows without a score, whose closing record the group has not committed yet.
        open: sessions still open at the end of the log.
        digests: over all scores compared, by the name of the comparison.
        findings: the first few of each kind.
        notes: what a reader must know to weigh the figures.
    """

    clicks_topic: str
    scores_topic: str
    group: str
    settings: str
    pending: int
    open: int
    digests: Mapping[str, str]
    ledger: LedgerReport | None
    baseline: BaselineReport | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def flawed(self) -> bool:
        """Something is missing, duplicate, unexpected or wrong, or ledger or baseline do not hold."""
        differs = (self.ledger and self.ledger.absent) or (self.baseline and self.baseline.differ)
        return super().flawed or bool(differs)


@dataclass
class Tally(AuditCounts):
    """Counts while an audit runs.

    `is_first_wrong` says whether a digest is new to it: a score can be wrong in more than one way.
    """

    is_first_wrong: Callable[[bytes], bool]
    pending: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _reported: Counter[tuple[str, str]] = field(default_factory=Counter)

    def counts(self) -> dict[str, Any]:
        """The fields of AuditCounts, and `pending`."""
        return {one.name: _settled(getattr(self, one.name)) for one in fields(AuditCounts)} | {
            "pending": self.pending
        }

    def take_findings(self) -> tuple[Finding, ...]:
        """The examples found since the last call."""
        found = tuple(self.findings)
        self.findings.clear()
        self._reported.clear()
        return found

    def add_wrong(self, score_id: str) -> None:
        """Count a score that is wrong, once."""
        digest = hashlib.blake2b(score_id.encode(), digest_size=16).digest()
        self.wrong += self.is_first_wrong(digest)

    def letters(self, reason: str) -> RecordCounts:
        """The counts of one reason."""
        return self.dead_letters.setdefault(reason, RecordCounts())

    def report_score(
        self,
        kind: FindingKind,
        score_id: str,
        cause: Place | None,
        found: Place | None,
        detail: str = "",
        differences: tuple[Difference, ...] = (),
    ) -> None:
        """Count a score that is not as it must be, and keep it as an example."""
        if kind == "wrong":
            self.add_wrong(score_id)
        else:
            _count(self, kind)
        self.add_finding(Finding(kind, "score", score_id, cause, found, detail, differences))

    def report_letter(
        self, kind: FindingKind, reason: str, cause: Place | None, found: Place | None, detail: str = ""
    ) -> None:
        """Count a dead letter that is not as it must be, and keep it as an example."""
        _count(self.letters(reason), kind)
        self.add_finding(Finding(kind, "dead letter", reason, cause, found, detail))

    def report_open_score(
        self,
        kind: FindingKind,
        name: str,
        cause: Place | None,
        found: Place | None,
        detail: str = "",
        differences: tuple[Difference, ...] = (),
    ) -> None:
        """Count an open score that is not as it must be, and keep it as an example."""
        _count(self.opened, kind)
        self.add_finding(Finding(kind, "open score", name, cause, found, detail, differences))

    def add_finding(self, finding: Finding) -> None:
        """Keep `finding` as an example, unless there are enough of its kind."""
        if self._reported[finding.kind, finding.what] < EXAMPLES:
            self._reported[finding.kind, finding.what] += 1
            self.findings.append(finding)


def _count(counts: AuditCounts | RecordCounts, kind: FindingKind) -> None:
    setattr(counts, kind, getattr(counts, kind) + 1)


def _settled(count: Any) -> Any:
    """A copy that later counting does not change, in an order that does not depend on that of the log."""
    return dict(sorted(count.items())) if isinstance(count, dict) else count
