"""The verdict on what was counted: exactly once, not clean, or not all of it checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["missing", "duplicate", "unexpected", "wrong", "torn"]
KINDS: tuple[Kind, ...] = ("missing", "duplicate", "unexpected", "wrong")
Verdict = Literal["exactly once", "unchecked", "not clean"]
"""`unchecked`: nothing is known to be false, and not everything could be checked."""

EXIT_CODES: Mapping[Verdict, int] = {"exactly once": 0, "not clean": 1, "unchecked": 3}


@dataclass(slots=True)
class Letters:
    """Dead letters of one reason. `pending`: the group has not committed the record yet."""

    expected: int = 0
    found: int = 0
    missing: int = 0
    duplicate: int = 0
    unexpected: int = 0
    wrong: int = 0
    pending: int = 0
    unchecked: int = 0


class _Counted(Protocol):
    @property
    def missing(self) -> int: ...
    @property
    def duplicate(self) -> int: ...
    @property
    def unexpected(self) -> int: ...
    @property
    def wrong(self) -> int: ...
    @property
    def dead_letters(self) -> Mapping[str, Letters]: ...
    @property
    def torn(self) -> int: ...
    @property
    def windows(self) -> int: ...
    @property
    def scored(self) -> int: ...
    @property
    def rebuilt_partly(self) -> int: ...
    @property
    def online_restarts(self) -> int: ...
    @property
    def errors(self) -> Mapping[str, int]: ...
    @property
    def other_settings(self) -> int: ...
    @property
    def unchecked(self) -> int: ...
    @property
    def predictions_unchecked(self) -> Mapping[str, int]: ...


def is_flawed(counted: _Counted) -> bool:
    """Whether a score or a dead letter is missing, duplicate, unexpected or wrong, or a session is torn."""
    return counted.torn > 0 or any(
        getattr(one, kind) for one in (counted, *counted.dead_letters.values()) for kind in KINDS
    )


AFTER_A_LOSS = ("rebuilt partly", "online models that began again")
"""What a loss of all of Redis leaves unchecked."""


def unchecked_parts(counted: _Counted) -> dict[str, int]:
    """What nobody can vouch for, by its name; empty where everything was checked."""
    letters = sum(letters.unchecked for letters in counted.dead_letters.values())
    parts = {
        "beyond what the log tells": counted.unchecked + letters,
        "scores under other settings": counted.other_settings,
        "predictions": sum(counted.predictions_unchecked.values()),
        "rebuilt partly": counted.rebuilt_partly,
        "online models that began again": counted.online_restarts,
    }
    if counted.windows and not counted.scored:
        parts["all sessions: none was scored"] = counted.windows
    if counted.scored and sum(counted.errors.values()) >= counted.scored:
        parts["all predictions: each score has an error"] = counted.scored
    return {name: count for name, count in parts.items() if count}


def verdict_on(counted: _Counted, flawed: bool) -> Verdict:
    """The verdict, given whether there is a flaw."""
    return "not clean" if flawed else "unchecked" if unchecked_parts(counted) else "exactly once"
