"""Ledger: the faults that a producer put in on purpose, held against what was published.

Each line of the file is one fault: `{"fault", "session_id", "order", "event_time", "shows_in", "reason"?,
"also_in"?}`. `shows_in` names a counter of the session's scores (`score.late`), `dead-letter`, or `nothing`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clickstream.audit.report import EXAMPLES, BaselineReport, LedgerReport
from clickstream.audit.sessions import SessionSums
from clickstream.audit.spill import SessionSum
from clickstream.infra.errors import InputError, MissingFileError

_HARMLESS = ("reorder", "duplicate")
"""Faults after which a session scores as it would have without them, but for `duplicates`."""

LedgerEffect = Literal["score.late", "score.duplicates", "score.missing", "dead-letter", "nothing"]


class LedgerLine(BaseModel):
    """One fault, and where it must show."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    fault: str
    session_id: str
    order: int | None = None
    event_time: int
    shows_in: LedgerEffect
    reason: str | None = None
    also_in: Annotated[LedgerEffect | None, Field(description="a second place")] = None

    @property
    def places(self) -> tuple[LedgerEffect, ...]:
        """Everywhere that it must show."""
        return (self.shows_in,) if self.also_in is None else (self.shows_in, self.also_in)


def read_ledger(file: Path) -> list[LedgerLine]:
    """The lines of a ledger.

    Raises:
        MissingFileError: it is not there.
        InputError: a line is not what the producer writes; names it.
    """
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(
            f"there is no ledger {file}", "Name the file that `clickstream replay --ledger` wrote."
        ) from None
    except OSError as error:
        raise InputError(f"the ledger {file} cannot be read: {error}", "Name a file.") from error
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            lines.append(LedgerLine.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            field = ".".join(map(str, problem["loc"])) or "line"
            raise InputError(
                f"line {number} of {file} is no line of a ledger: {field}: {problem['msg']}",
                "Name the file that `clickstream replay --ledger` wrote, when it is written to its end.",
            ) from error
    return lines


def check_ledger(lines: Iterable[LedgerLine], sums: SessionSums) -> LedgerReport:
    """Whether as many faults show as the ledger names, by session and place."""
    left: Counter[tuple[str, str, str | None]] = Counter()
    for (session_id, counter), count in sums.counts.items():
        left[session_id, f"score.{counter}", None] = count
    for (session_id, reason), count in sums.letters.items():
        left[session_id, "dead-letter", reason] = count
    shown: Counter[str] = Counter()
    absent: Counter[str] = Counter()
    silent = total = 0
    examples: list[str] = []
    for line in lines:
        total += 1
        if line.places == ("nothing",):
            silent += 1
            continue
        lacking = []
        for place in line.places:
            key = (line.session_id, place, line.reason if place == "dead-letter" else None)
            left[key] -= 1
            if place != "nothing" and left[key] < 0:
                lacking.append(place)
        if not lacking:
            shown[line.fault] += 1
            continue
        absent[line.fault] += 1
        if len(examples) < EXAMPLES:
            reason = f" with reason {line.reason}" if "dead-letter" in lacking and line.reason else ""
            examples.append(
                f"{line.fault} of session {line.session_id}, order {line.order},"
                f" event time {line.event_time}: does not show in {' and '.join(lacking)}{reason}"
            )
    return LedgerReport(total, dict(shown), dict(absent), silent, tuple(examples))


class _Compared(NamedTuple):
    """All scores of a session in one run: a sum over the digests of what compares across logs, and copies
    dropped."""

    content: int
    duplicates: int


def compare_runs(lines: Iterable[LedgerLine], sums: Iterable[SessionSum], topic: str) -> BaselineReport:
    """Whether nothing differs from the run without faults but what the ledger's faults change.

    Args:
        sums: the scores of both runs, by session.
    """
    changed, copies = set(), Counter[str]()
    for line in lines:
        if line.fault not in _HARMLESS:
            changed.add(line.session_id)
        elif line.shows_in == "score.duplicates":
            copies[line.session_id] += 1
    equal = differ = excused = 0
    examples: list[str] = []
    for session_id, ours, theirs in _by_session(sums):
        if session_id in changed and ours is not None and theirs is not None:
            excused += 1
            continue
        difference = _difference(ours, theirs, copies[session_id])
        if not difference:
            equal += 1
            continue
        differ += 1
        if len(examples) < EXAMPLES:
            examples.append(f"session {session_id}: {difference}")
    return BaselineReport(topic, equal, differ, excused, tuple(examples))


def _by_session(sums: Iterable[SessionSum]) -> Iterator[tuple[str, _Compared | None, _Compared | None]]:
    for session_id, group in groupby(sums, attrgetter("session")):
        found: dict[str, _Compared] = {}
        for one in group:
            before = found.get(one.run, _Compared(0, 0))
            found[one.run] = _Compared(
                (before.content + int.from_bytes(one.content)) % (1 << 128),
                before.duplicates + one.duplicates,
            )
        yield session_id, found.get("ours"), found.get("baseline")


def _difference(ours: _Compared | None, theirs: _Compared | None, copies: int) -> str:
    if theirs is None:
        return "not scored in the baseline"
    if ours is None:
        return "scored in the baseline only"
    if ours.content != theirs.content:
        return "its scores differ in what must be equal across logs"
    if ours.duplicates != theirs.duplicates + copies:
        return f"{ours.duplicates} duplicates; {theirs.duplicates} in the baseline, {copies} in the ledger"
    return ""
