"""The verdict on what was counted: exactly once, not clean, or not all of it checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

FindingKind = Literal["missing", "duplicate", "unexpected", "wrong", "torn"]
KINDS: tuple[FindingKind, ...] = ("missing", "duplicate", "unexpected", "wrong")
Verdict = Literal["exactly once", "unchecked", "not clean"]
"""`unchecked`: nothing is known to be false, and not everything could be checked."""

EXIT_CODES: Mapping[Verdict, int] = {"exactly once": 0, "not clean": 1, "unchecked": 3}


@dataclass(slots=True)
class RecordCounts:
    """Published records of one kind, each about a record of the clicks topic.

    Attributes:
        expected: how many there must be, by our own reading of the log.
        pending: those about a record that the group has not committed yet.
    """

    expected: int = 0
    found: int = 0
    missing: int = 0
    duplicate: int = 0
    unexpected: int = 0
    wrong: int = 0
    pending: int = 0
    unchecked: int = 0


@dataclass(slots=True)
class OpenCounts(RecordCounts):
    """Open scores.

    Attributes:
        rebuilt_partly: those of sessions that may have lost clicks, with all of Redis.
        predictions_checked: those whose batch predictions were computed again.
        online_unchecked: those of them whose online predictions could not be.
    """

    rebuilt_partly: int = 0
    predictions_checked: int = 0
    online_unchecked: int = 0


@dataclass(kw_only=True)
class AuditCounts:
    """What an audit counted, of the whole or so far.

    Attributes:
        clicks: valid click records on the topic, up to the end noted at the start.
        heartbeats: heartbeats there.
        windows: sessions that the log closes (T3), by our own reading of it.
        scored: windows with a score; `wrong` ones are among them.
        missing, duplicate, unexpected, wrong: scores that are not as they must be.
        torn: windows of a session that are one visit, and lie on two partitions: producers disagree.
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
        opened: scores of sessions while they were open.
    """

    clicks: int = 0
    heartbeats: int = 0
    windows: int = 0
    scored: int = 0
    missing: int = 0
    duplicate: int = 0
    unexpected: int = 0
    wrong: int = 0
    torn: int = 0
    rebuilt_partly: int = 0
    online_restarts: int = 0
    errors: dict[str, int] = field(default_factory=Counter)
    other_settings: int = 0
    other_topics: int = 0
    unchecked: int = 0
    predictions_checked: int = 0
    online_checked: int = 0
    read_twice: int = 0
    predictions_unchecked: dict[str, int] = field(default_factory=Counter)
    bundles: dict[str, int] = field(default_factory=Counter)
    dead_letters: dict[str, RecordCounts] = field(default_factory=dict)
    opened: OpenCounts = field(default_factory=OpenCounts)

    @property
    def flawed(self) -> bool:
        """Something is missing, duplicate, unexpected, wrong or torn."""
        counts = (self, self.opened, *self.dead_letters.values())
        return self.torn > 0 or any(getattr(one, kind) for one in counts for kind in KINDS)

    @property
    def verdict(self) -> Verdict:
        """The verdict on what was counted."""
        return "not clean" if self.flawed else "unchecked" if unchecked_parts(self) else "exactly once"

    @property
    def clean(self) -> bool:
        """Everything counted was checked and is as it must be."""
        return self.verdict == "exactly once"

    def as_dict(self) -> dict[str, Any]:
        """Verdict and counts, for JSON."""
        return {"verdict": self.verdict, "clean": self.clean} | asdict(self)


AFTER_A_LOSS = ("rebuilt partly", "online models that began again")
"""What a loss of all of Redis leaves unchecked."""


def unchecked_parts(counted: AuditCounts) -> dict[str, int]:
    """What nobody can vouch for, by its name; empty where everything was checked."""
    letters = sum(letters.unchecked for letters in counted.dead_letters.values())
    parts = {
        "beyond what the log tells": counted.unchecked + letters + counted.opened.unchecked,
        "scores under other settings": counted.other_settings,
        "predictions": sum(counted.predictions_unchecked.values()) + counted.opened.online_unchecked,
        "rebuilt partly": counted.rebuilt_partly + counted.opened.rebuilt_partly,
        "online models that began again": counted.online_restarts,
    }
    if counted.windows and not counted.scored:
        parts["all sessions: none was scored"] = counted.windows
    if counted.scored and sum(counted.errors.values()) >= counted.scored:
        parts["all predictions: each score has an error"] = counted.scored
    return {name: count for name, count in parts.items() if count}
