"""The predictions in a score against what its bundle answers now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from clickstream.audit.mismatches import Mismatches
from clickstream.audit.published import PublishedRecords
from clickstream.audit.report import Place, Tally
from clickstream.audit.spill import SpilledScore
from clickstream.bundles.bundle import Case, ScorerOutput
from clickstream.features.outcome import Outcome
from clickstream.records.scorers import LEARNING

TOLERANCE = 1e-9
"""Answers are rounded to ten places; on another processor the last of them may differ."""

_AT_ONCE = 2_000

# Bundles kept loaded: those asked last.
_LOADED = 8

# What a model raises for values that it cannot take; the engine then publishes a score without predictions.
UNSCORABLE = (ValueError, ArithmeticError, LookupError, TypeError)


class Learner(Protocol):
    """The online models of a bundle, as far as they are needed here."""

    lessons: int

    def predict(self, case: Case) -> ScorerOutput:
        """The answer to a case, by what was learned so far."""
        ...

    def learn(self, case: Case, outcome: Outcome) -> None:
        """Learn what became of a session."""
        ...


class Predictor(Protocol):
    """A bundle, as far as it is needed here."""

    def online(self) -> Learner:
        """The online models, as training left them."""
        ...

    def predict(self, cases: Sequence[Case]) -> Sequence[Mapping[str, ScorerOutput]]:
        """What `batch` and `reference` answer to each case."""
        ...


class _Asked(NamedTuple):
    found: SpilledScore
    cases: Sequence[Case]
    cause: Place
    place: Place


class PredictionCheck:
    """Recomputes predictions, many at a time. `bundle` gives one by its id, or the reason why it cannot."""

    def __init__(
        self,
        published: PublishedRecords,
        bundle: Callable[[str], Predictor | str],
        mismatches: Mismatches,
        tally: Tally,
    ) -> None:
        self._published = published
        self._bundle = bundle
        self._mismatches = mismatches
        self._tally = tally
        self._bundles: dict[int, Predictor | str] = {}
        self._asked: dict[int, list[_Asked]] = {}

    def check(self, found: SpilledScore, cases: Sequence[Case], cause: Place, place: Place) -> None:
        """Compare the answers in `found` with those to `cases`, at the latest at the next `flush`."""
        if not found.answers:
            return
        number = found.bundle
        bundle = self.load(number)
        if isinstance(bundle, str):
            self._tally.predictions_unchecked[bundle] += 1
            return
        waiting = self._asked.setdefault(number, [])
        waiting.append(_Asked(found, cases, cause, place))
        if len(waiting) >= _AT_ONCE:
            self._compare_waiting(number)

    def flush(self) -> None:
        """Compare what still waits. A bundle that is not here is searched for again afterwards."""
        for number in list(self._asked):
            self._compare_waiting(number)
        self._bundles = {n: bundle for n, bundle in self._bundles.items() if not isinstance(bundle, str)}

    def answers(
        self, number: int, cases: Sequence[Case]
    ) -> Sequence[Mapping[str, ScorerOutput] | None] | str:
        """What the bundle of this number answers, None where it raises; or why it cannot be asked."""
        bundle = self.load(number)
        return bundle if isinstance(bundle, str) else _predict(bundle, cases)

    def raised(self, number: int, cases: Sequence[Case]) -> Exception | None:
        """What the bundle of this number raises for cases; None where it answers all, or is not here."""
        bundle = self.load(number)
        if not isinstance(bundle, str):
            try:
                bundle.predict(cases)
            except UNSCORABLE as error:
                return error
        return None

    def load(self, number: int) -> Predictor | str:
        """A bundle by its place in `PublishedRecords.bundles`, or the reason why it cannot be used."""
        bundle = self._bundles.pop(number, None)
        if bundle is None:
            while len(self._bundles) >= _LOADED:
                oldest = next(iter(self._bundles))
                self._compare_waiting(oldest)
                del self._bundles[oldest]
            bundle = self._bundle(self._published.bundles[number])
        self._bundles[number] = bundle
        return bundle

    def _compare_waiting(self, number: int) -> None:
        bundle, asked = self._bundles[number], self._asked.pop(number, [])
        if isinstance(bundle, str):
            return
        computed = iter(_predict(bundle, [case for one in asked for case in one.cases]))
        for one in asked:
            self._tally.predictions_checked += 1
            said = self._published.answers_in(one.found)
            answers = [next(computed) for _ in one.cases]
            if not all(map(_all_agree, said, answers)):
                wanted = predictions_by_path(
                    {name: right and right[name].as_dict() for name in published if name != LEARNING}
                    for published, right in zip(said, answers, strict=True)
                )
                self._mismatches.add_score(one.found.score_id, one.cause, one.place, wanted)


def agree(published: ScorerOutput, expected: ScorerOutput) -> bool:
    """Whether an answer is the one expected, but for the last digits."""
    return published[2:] == expected[2:] and all(
        one is other if one is None or other is None else abs(one - other) <= TOLERANCE
        for one, other in zip(published[:2], expected[:2], strict=True)
    )


def predictions_by_path(of_cases: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What is said of the cases of a session, as it stands in its score."""
    closing, *drawn = ({"predictions": said} for said in of_cases)
    return {**closing, "drawn": drawn[0]} if drawn else closing


def _all_agree(published: Mapping[str, ScorerOutput], expected: Mapping[str, ScorerOutput] | None) -> bool:
    return expected is not None and all(
        agree(answer, expected[name]) for name, answer in published.items() if name != LEARNING
    )


def _predict(bundle: Predictor, cases: Sequence[Case]) -> Sequence[Mapping[str, ScorerOutput] | None]:
    if not cases:
        return []
    try:
        return bundle.predict(cases)
    except UNSCORABLE:
        if len(cases) == 1:
            return [None]
        return [_predict(bundle, [case])[0] for case in cases]
