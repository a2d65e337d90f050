"""AuditReport: what an audit found, in numbers and by the first examples of each kind."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from clickstream.audit.verdict import Kind, Letters, Verdict, is_flawed, verdict_on

EXAMPLES = 10
"""Findings of one kind that are told one by one; all are counted."""

What = Literal["score", "dead letter"]


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
    """One score or dead letter that is not as it must be.

    `cause` is the record of the clicks topic that produces it, `found` the record that was published; None
    where there is none, or where it is not known.
    """

    kind: Kind
    what: What
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


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found.

    Attributes:
        clicks: valid click records on the topic, up to the end noted at the start.
        heartbeats: heartbeats there.
        windows: sessions that the log closes (T3), by our own reading of it.
        scored: windows with a score; `wrong` ones are among them.
        missing, duplicate, unexpected, wrong: scores that are not as they must be.
        torn: windows of a session that are one visit, and lie on two partitions: producers disagree.
        pending: windows without a score, whose closing record the group has not committed yet.
        open: sessions still open at the end of the log.
        rebuilt_partly: scores marked as made from a part of their clicks, after a loss of all of Redis.
        online_restarts: how often the online models of a partition began again under the same bundle, as
            after such a loss.
        errors: scores without predictions, by what they say is the cause.
        other_settings: scores made under other settings, which cannot be compared.
        other_topics: scores and dead letters of another clicks topic.
        unchecked: windows, scores and dead letters that reach back to where the log no longer tells what
            must be: before its first record, into other settings, or before what the scores topic keeps.
        predictions_checked: scores whose batch and reference predictions were computed again, or whose error.
        online_checked: scores whose online predictions were.
        read_twice: windows that the audit's own interpreter made again from their clicks.
        predictions_unchecked: scores for which they were not, by the reason.
        bundles: scores compared, by the bundle that they name.
        dead_letters: by reason.
        digests: over all scores compared, by the name of the comparison.
        findings: the first few of each kind.
        notes: what a reader must know to judge the figures.
    """

    clicks_topic: str
    scores_topic: str
    group: str
    settings: str
    clicks: int
    heartbeats: int
    windows: int
    scored: int
    missing: int
    duplicate: int
    unexpected: int
    wrong: int
    torn: int
    pending: int
    open: int
    rebuilt_partly: int
    online_restarts: int
    errors: Mapping[str, int]
    other_settings: int
    other_topics: int
    unchecked: int
    predictions_checked: int
    online_checked: int
    read_twice: int
    predictions_unchecked: Mapping[str, int]
    bundles: Mapping[str, int]
    dead_letters: Mapping[str, Letters]
    digests: Mapping[str, str]
    ledger: LedgerReport | None
    baseline: BaselineReport | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def flawed(self) -> bool:
        """Something is missing, duplicate, unexpected or wrong, or ledger or baseline do not hold."""
        return (
            is_flawed(self)
            or (self.ledger is not None and bool(self.ledger.absent))
            or (self.baseline is not None and bool(self.baseline.differ))
        )

    @property
    def verdict(self) -> Verdict:
        """Of the whole."""
        return verdict_on(self, self.flawed)

    @property
    def clean(self) -> bool:
        """Everything was checked and is as it must be."""
        return self.verdict == "exactly once"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"verdict": self.verdict, "clean": self.clean} | asdict(self)


@dataclass(slots=True)
class Tally:
    """Counts while an audit runs.

    `is_first_wrong` says whether a digest is new to it: a score can be wrong in more than one way.
    """

    is_first_wrong: Callable[[bytes], bool]
    clicks: int = 0
    heartbeats: int = 0
    windows: int = 0
    scored: int = 0
    missing: int = 0
    duplicate: int = 0
    unexpected: int = 0
    wrong: int = 0
    torn: int = 0
    pending: int = 0
    rebuilt_partly: int = 0
    online_restarts: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    other_settings: int = 0
    other_topics: int = 0
    unchecked: int = 0
    predictions_checked: int = 0
    online_checked: int = 0
    read_twice: int = 0
    predictions_unchecked: Counter[str] = field(default_factory=Counter)
    bundles: Counter[str] = field(default_factory=Counter)
    dead_letters: dict[str, Letters] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _told: Counter[tuple[str, str]] = field(default_factory=Counter)

    def counts(self) -> dict[str, Any]:
        """The fields of AuditReport that were counted here."""
        return {
            "clicks": self.clicks,
            "heartbeats": self.heartbeats,
            "windows": self.windows,
            "scored": self.scored,
            "missing": self.missing,
            "duplicate": self.duplicate,
            "unexpected": self.unexpected,
            "wrong": self.wrong,
            "torn": self.torn,
            "pending": self.pending,
            "rebuilt_partly": self.rebuilt_partly,
            "online_restarts": self.online_restarts,
            "errors": dict(self.errors),
            "other_settings": self.other_settings,
            "other_topics": self.other_topics,
            "unchecked": self.unchecked,
            "predictions_checked": self.predictions_checked,
            "online_checked": self.online_checked,
            "read_twice": self.read_twice,
            "predictions_unchecked": dict(self.predictions_unchecked),
            "bundles": dict(sorted(self.bundles.items())),
            "dead_letters": dict(sorted(self.dead_letters.items())),
        }

    def take_findings(self) -> tuple[Finding, ...]:
        """The examples found since the last call."""
        found = tuple(self.findings)
        self.findings.clear()
        self._told.clear()
        return found

    def add_wrong(self, score_id: str) -> None:
        """Count a score that is wrong, once."""
        digest = hashlib.blake2b(score_id.encode(), digest_size=16).digest()
        self.wrong += self.is_first_wrong(digest)

    def letters(self, reason: str) -> Letters:
        """The counts of one reason."""
        return self.dead_letters.setdefault(reason, Letters())

    def wants(self, kind: Kind, what: str) -> bool:
        """Whether another example of this kind would be kept."""
        return self._told[kind, what] < EXAMPLES

    def tell(self, finding: Finding) -> None:
        """Keep `finding` as an example, unless there are enough of its kind."""
        if self.wants(finding.kind, finding.what):
            self._told[finding.kind, finding.what] += 1
            self.findings.append(finding)
