"""Which of two bundles predicts better, on sessions that neither has learned from.

The bootstrap is paired: both are measured on each resample of sessions, and their difference is reported.
What makes some sessions harder than others is then in neither's favour, so a small difference can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clickstream.bundles.bundle import Bundle
from clickstream.bundles.manifest import Manifest
from clickstream.infra.errors import InputError
from clickstream.models.case import Example, Floats, ScorerOutput
from clickstream.models.evaluation import Estimate
from clickstream.models.examples import FEWEST, FEWEST_OF_A_KIND, TrainingSession, example
from clickstream.training.bootstrap import WeightedFigures, estimates, weighted_conversion, weighted_revenue
from clickstream.training.split import held_out

DECIDES = ("batch", "log_loss")
"""Scorer and figure that say whether a bundle is better.

A probability is published, and log-loss measures it whole, order and calibration; AUC sees the order alone.
"""

HIGHER_IS_BETTER = frozenset({"auc", "r2"})

CONVERSION, REVENUE = ("auc", "log_loss", "brier", "ece"), ("r2", "mae")

_SEED = 42


class FigureComparison(NamedTuple):
    """A figure of both bundles, and `difference`, the other's less the one's, with its paired interval."""

    one: float
    other: float
    difference: Estimate


class UnseenSessions(NamedTuple):
    """Sessions that bundles have not learned from, in time order, and what `notes` could not be made sure."""

    sessions: list[TrainingSession]
    notes: list[str]


class BundleComparison(NamedTuple):
    """The result: scorer -> figure -> both bundles, on so many `sessions`, all with evidence."""

    one: str
    other: str
    sessions: int
    notes: list[str]
    figures: dict[str, dict[str, FigureComparison]]

    @property
    def other_is_better(self) -> bool:
        """Whether the other's log-loss is lower for certain: the interval of the difference is below 0."""
        scorer, figure = DECIDES
        return self.figures[scorer][figure].difference.high < 0

    @property
    def one_is_better(self) -> bool:
        """Whether the log-loss of the first bundle is lower for certain."""
        scorer, figure = DECIDES
        return self.figures[scorer][figure].difference.low > 0


def unseen(sessions: Sequence[TrainingSession], sha256: str, *manifests: Manifest) -> UnseenSessions:
    """Select the sessions that no bundle of `manifests` has learned from, as far as that is known.

    Of a bundle that was trained on these very sessions, those that it held out. Of another, those from the
    day on that it held out, and all where it was divided at random, with a note.

    Args:
        sessions: of one source, in its order.
        sha256: of that source.
    """
    ordered = sorted(sessions, key=lambda session: session.day)
    days = [session.day for session in ordered]
    kept, notes = [True] * len(ordered), []
    for manifest in manifests:
        split = manifest.split
        if manifest.data.sha256 == sha256:
            out = held_out(days, split.kind, manifest.seed)
        elif split.held_out_from is not None:
            out = [day >= split.held_out_from for day in days]
        else:
            notes.append(
                f"{manifest.id} learned from other data, divided at random: it may know some of these"
                " sessions, which favours it"
            )
            continue
        kept = [one and another for one, another in zip(kept, out, strict=True)]
    return UnseenSessions([session for session, keep in zip(ordered, kept, strict=True) if keep], notes)


def compare(one: Bundle, other: Bundle, fresh: UnseenSessions) -> BundleComparison:
    """Compare two bundles on sessions that neither has learned from.

    `online` is measured progressively, from the warm start of its bundle: each session is predicted before it
    is learned. Sessions without evidence, of which all bundles say the base rates, do not count.

    Raises:
        InputError: there are too few sessions, or only one kind of them.
    """
    examples = [example(session.session) for session in fresh.sessions]
    evident = [case for case in examples if case.case.evidence is not None]
    converted = np.array([case.outcome.converted for case in evident], dtype=np.float64)
    revenue = np.array([case.outcome.revenue for case in evident])
    kinds = int(converted.sum()), len(evident) - int(converted.sum())
    if len(evident) < FEWEST or min(kinds) < FEWEST_OF_A_KIND:
        raise InputError(
            f"{one.id} and {other.id} have both not learned from {len(evident)} of these sessions,"
            f" {kinds[0]} of which convert; {FEWEST} are needed, {FEWEST_OF_A_KIND} of each kind",
            "Give more data, or data of later days.",
        )
    figures = {}
    for scorer, ask in (("batch", _batch), ("online", _online)):
        first, second = ask(one, examples), ask(other, examples)
        resampled = [weighted_conversion(converted, predicted.conversion) for predicted in (first, second)]
        earned = [weighted_revenue(revenue, predicted.revenue) for predicted in (first, second)]
        figures[scorer] = {
            **compared_figures(len(evident), resampled, CONVERSION),
            **compared_figures(len(evident), earned, REVENUE),
        }
    return BundleComparison(one.id, other.id, len(evident), fresh.notes, figures)


class _Predicted(NamedTuple):
    conversion: Floats
    revenue: Floats


def compared_figures(
    sessions: int, resampled: Sequence[WeightedFigures], names: Sequence[str]
) -> dict[str, FigureComparison]:
    """Compute the named figures of two bundles, on the same resamples of the sessions."""
    one, other = resampled

    def difference(weights: Floats) -> dict[str, Floats]:
        first, second = one(weights), other(weights)
        return {name: second[name] - first[name] for name in names}

    whole = np.ones((1, sessions))
    first, second = one(whole), other(whole)
    reported = estimates(
        sessions, difference, {name: float(found[0]) for name, found in difference(whole).items()}, _SEED
    )
    return {
        name: FigureComparison(float(first[name][0]), float(second[name][0]), reported[name])
        for name in names
    }


def _batch(bundle: Bundle, examples: Sequence[Example]) -> _Predicted:
    evident = [one.case for one in examples if one.case.evidence is not None]
    predicted = [answers["batch"] for answers in bundle.predict(evident)]
    return _predicted(predicted)


def _online(bundle: Bundle, examples: Sequence[Example]) -> _Predicted:
    models = bundle.online()
    predicted = []
    for one in examples:
        answer = models.predict(one.case)
        models.learn(one.case, one.outcome)
        if one.case.evidence is not None:
            predicted.append(answer)
    return _predicted(predicted)


def _predicted(answers: Sequence[ScorerOutput]) -> _Predicted:
    return _Predicted(
        np.array([one.conversion for one in answers]), np.array([one.revenue for one in answers])
    )
