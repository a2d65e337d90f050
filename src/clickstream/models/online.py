"""What all online models share: what they have learned as bytes, and how those are read back.

Guarantees: after `state()` and a restore, every prediction is bit-identical, in another process too.
Restoring resolves no name outside a given list.
"""

from __future__ import annotations

import io
import pickle
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clickstream.features.outcome import Outcome
from clickstream.features.vector import Features
from clickstream.infra.errors import BundleError
from clickstream.models.case import Case, Floats, ScorerOutput
from clickstream.models.lessons import LESSON
from clickstream.models.reasons import Attribution

Global = tuple[str, str]
"""(module, name) of a class that a pickle refers to."""

_STATE = b"clickstream-online-1"
_NUMBER = re.compile(rb"[0-9]{1,18}")

# What unpickling damaged bytes may raise, by the documentation of `pickle` and by trial.
_UNREADABLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
)


class BaseRates(NamedTuple):
    """Share of converted sessions and mean revenue in training: the answer where there is no evidence.

    `revenue` is None where the goal of the shop has no value.
    """

    conversion: float
    revenue: float | None


class Table(NamedTuple):
    """What online models look at of n sessions.

    Attributes:
        seen: which have evidence, shape (n,); what is said of the others means nothing.
        numbers: of the evidence, shape (n, f).
        places: of the texts among the inputs, shape (n, t); the place after the last where one is not known.
        points: among the centres, shape (n, inputs of the clusters).
    """

    seen: NDArray[np.bool_]
    numbers: Floats
    places: NDArray[np.intp]
    points: Floats

    def part(self, first: int, last: int) -> Table:
        """Its sessions from `first` to before `last`, as a table of its own."""
        at = slice(first, last)
        seen, numbers, texts, points = self
        return Table(seen[at].copy(), numbers[at].copy(), texts[at].copy(), points[at].copy())


class Noted(NamedTuple):
    """A session of a lesson: where it stands in a table, and what became of it, in plain numbers."""

    table: Table
    place: int
    truth: tuple[Any, ...]


class OnlineModels(ABC):
    """The River models of one partition.

    Attributes:
        bundle_id: the bundle whose warm start these models began from.
        lessons: sessions since the warm start, those of the lesson that is filling included.
    """

    def __init__(self, bundle_id: str) -> None:
        self.bundle_id = bundle_id
        self.lessons = 0
        self._lesson: list[Noted] = []
        self._cases: Sequence[Case] = ()
        # By identity: features are dictionaries. As the cases are kept, no other object gets their ids.
        self._places: dict[int, int] = {}
        # Set by `expect`: where no case is known, it is not asked for.
        self._table: Table
        # Answers to the cases from place `_first` on, by what was learned so far.
        self._answers: list[ScorerOutput] = []
        self._first = 0

    def expect(self, cases: Sequence[Case], table: Table | None = None, first: int = 0) -> None:
        """Make ready for cases that will be asked about, in this order, and learned from.

        They are answered a lesson at a time, each as if it were asked about alone, at a fraction of the cost.
        In `table`, which other models of this bundle may have made, they stand from place `first` on.
        """
        made = self.tabled(cases) if table is None else table
        self._table = made.part(first, first + len(cases))
        self._places = {id(case): at for at, case in enumerate(cases)}
        self._cases, self._answers = cases, []

    def predict(self, case: Case) -> ScorerOutput:
        """Predict a session by what was learned so far."""
        at = self._places.get(id(case))
        if at is None:
            return self._answered(self.tabled([case]), slice(None))[0]
        if not self._first <= at < self._first + len(self._answers):
            self._first = at
            self._answers = self._answered(self._table, slice(at, at + LESSON))
        return self._answers[at - self._first]

    @abstractmethod
    def attribution(self, evidence: Features) -> Attribution:
        """How far each feature moved the log-odds of conversion, by what was learned so far."""

    def learn(self, case: Case, outcome: Outcome) -> None:
        """Note what became of a session, and learn with it what was noted before, once a lesson is full.

        Without evidence only the clusters learn.
        """
        at = self._places.get(id(case))
        table, place = (self.tabled([case]), 0) if at is None else (self._table, at)
        self._lesson.append(Noted(table, place, self._truth(case, outcome)))
        self.lessons += 1
        if len(self._lesson) == LESSON:
            self.end_lesson()

    def end_lesson(self) -> None:
        """Learn the lesson that is filling, full or not. Training ends with it: a stream begins anew."""
        if self._lesson:
            self._teach(_gathered(self._lesson), [noted.truth for noted in self._lesson])
            self._lesson.clear()
            self._answers = []

    @abstractmethod
    def models(self) -> tuple[Any, ...]:
        """The River models, what else has learned, and the lesson that is filling, as they are pickled."""

    def _kept(self) -> list[tuple[Any, ...]]:
        """The lesson that is filling, in plain numbers."""
        return [self._row(*noted) for noted in self._lesson]

    def _go_on(self, rows: list[Any]) -> None:
        """Go on with a lesson of which these rows were kept.

        Raises:
            BundleError: they are none.
        """
        try:
            noted = [self._noted(*row) for row in rows]
        except (TypeError, ValueError) as error:
            raise BundleError(
                f"the lesson of the online models cannot be read: {type(error).__name__}: {error}",
                "Delete the state: the models begin again from the bundle's warm start.",
            ) from error
        self._lesson = noted

    @abstractmethod
    def tabled(self, cases: Sequence[Case]) -> Table:
        """What all models of this bundle look at of sessions, whatever each has learned."""

    @abstractmethod
    def _answered(self, table: Table, places: slice) -> list[ScorerOutput]:
        """What the models say of the sessions in these places of a table: of each as if it were alone."""

    @abstractmethod
    def _truth(self, case: Case, outcome: Outcome) -> tuple[Any, ...]:
        """What a lesson keeps of what became of a session: plain numbers."""

    @abstractmethod
    def _row(self, table: Table, place: int, truth: tuple[Any, ...]) -> tuple[Any, ...]:
        """A session of a lesson as the state keeps it: plain numbers."""

    @abstractmethod
    def _noted(self, *row: Any) -> Noted:
        """The reverse of `_row`."""

    @abstractmethod
    def _teach(self, lesson: Table, truths: Sequence[tuple[Any, ...]]) -> None:
        """Learn all sessions of a lesson."""

    def state(self) -> bytes:
        """Everything learned, some tens of KB; `Bundle.online` reads it back."""
        payload = self.payload()
        head = b"%s %s %d %d\n" % (_STATE, self.bundle_id.encode(), self.lessons, zlib.crc32(payload))
        return head + payload

    def payload(self) -> bytes:
        """The pickled models, which is the file of a bundle."""
        return pickle.dumps(self.models(), protocol=5)


def _gathered(lesson: Sequence[Noted]) -> Table:
    """The sessions of a lesson as one table, from those of the steps in which they closed."""
    steps = [list(of) for _, of in groupby(lesson, key=lambda noted: id(noted.table))]
    parts = [_rows(of[0].table, [noted.place for noted in of]) for of in steps]
    if len(parts) == 1:
        return parts[0]
    return Table(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _rows(table: Table, places: list[int]) -> Table:
    seen, numbers, texts, points = table
    return Table(seen[places], numbers[places], texts[places], points[places])


def read_online_state(state: bytes, bundle_id: str) -> tuple[int, bytes]:
    """Read lessons and payload from what `OnlineModels.state` gave; no pickle is opened.

    Raises:
        BundleError: the bytes are no such state, are damaged, or belong to another bundle.
    """
    head, _, payload = state.partition(b"\n")
    parts = head.split(b" ")
    if len(parts) != 4 or parts[0] != _STATE or not all(map(_NUMBER.fullmatch, parts[2:])):
        raise BundleError(
            f"the online state ({len(state)} bytes, starting {state[:24]!r}) is none that this version wrote",
            "Delete it: the models begin again from the bundle's warm start.",
        )
    owner = parts[1].decode(errors="replace")
    if owner != bundle_id:
        raise BundleError(
            f"the online state belongs to bundle {owner}, in use is {bundle_id}",
            f"Use bundle {owner} again, or delete the state to begin from the warm start of {bundle_id}.",
        )
    if zlib.crc32(payload) != int(parts[3]):
        raise BundleError(
            f"the online state of bundle {bundle_id} is damaged: its checksum does not match",
            "Delete it: the models begin again from the bundle's warm start.",
        )
    return int(parts[2]), payload


def globals_of(payload: bytes) -> list[Global]:
    """The classes that a payload of our own making refers to. Never ask this of bytes from elsewhere."""
    reader = _Recorder(io.BytesIO(payload))
    reader.load()
    return sorted(reader.seen)


class _Recorder(pickle.Unpickler):
    def __init__(self, source: io.BytesIO) -> None:
        super().__init__(source)
        self.seen: set[Global] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.seen.add((module, name))
        return super().find_class(module, name)


class _Restricted(pickle.Unpickler):
    def __init__(self, source: io.BytesIO, allowed: Collection[Global]) -> None:
        super().__init__(source)
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise BundleError(
                f"the online state refers to {module}.{name}, which the bundle's own models do not hold",
                "These models did not write it. Find out who writes to the store, then delete the state.",
            )
        return super().find_class(module, name)


def restore(payload: bytes, allowed: Collection[Global], *kinds: type) -> tuple[Any, ...]:
    """Unpickle a payload that must hold models of exactly these `kinds`.

    Raises:
        BundleError: it is unreadable, holds something else, or a class outside `allowed`.
    """
    try:
        models = _Restricted(io.BytesIO(payload), allowed).load()
    except _UNREADABLE as error:
        raise BundleError(
            f"the online models cannot be read: {type(error).__name__}: {error}",
            "Delete the state: the models begin again from the bundle's warm start.",
        ) from error
    if not isinstance(models, tuple) or tuple(map(type, models)) != kinds:
        raise BundleError(
            "the online state holds something other than the three models and their lesson",
            "Delete it: the models begin again from the bundle's warm start.",
        )
    return models
