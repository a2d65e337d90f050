"""The registry of scorers: what each sees, its file in a bundle, how it is evaluated, how it is shown.

Bundle, training, quality, audit, views and plots go by it. A new scorer has its name in records/scorers.py,
an entry here, and its fit in training/training.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from clickstream.features.shop import UCI553, Shop
from clickstream.features.vector import PREFIX, REFERENCE, Features, FeatureSet
from clickstream.records.scorers import LEARNING, SCORERS, ScorerName

if TYPE_CHECKING:
    from clickstream.models.case import Artefact, Case, Floats
    from clickstream.models.inputs import Vocabulary
    from clickstream.models.reasons import Attribution


class FittedModels(Protocol):
    """The models of one scorer that was fitted in batch."""

    artefact: Artefact

    def predict(self, rows: Sequence[Features]) -> tuple[Floats, Floats | None]:
        """Probability of conversion and expected revenue of each row, both of shape (n,).

        No revenue where the goal of the shop has no value.
        """
        ...

    def attribution(self, row: Features) -> Attribution:
        """How far each feature of a row moved its conversion."""
        ...


@dataclass(frozen=True, slots=True)
class Scorer:
    """One scorer.

    Attributes:
        feature_set: what its conversion and revenue see. Clusters see `reference`, whoever asks.
        opened: makes its models of what its file holds; None for the one that learns in the stream, whose
            answers depend on what came before and cannot be computed again from a score alone.
        evaluated_on: the sessions that its figures were measured on.
        sentence: what it is, for people.
        colour, colour_on_dark, colour_on_any: on a light page, on a dark one, and where one must do for both.
        line: its kind of line in plots.
        of_any_shop: whether it is there for every shop; the published models are for uci553 alone.
    """

    name: ScorerName
    feature_set: FeatureSet
    file: str
    opened: Callable[[Artefact, Vocabulary], FittedModels] | None
    evaluated_on: Literal["the held-out part", "a random fifth"]
    sentence: str
    colour: str
    colour_on_dark: str
    colour_on_any: str
    line: str
    of_any_shop: bool = True

    @property
    def learns(self) -> bool:
        """Whether it learns from the sessions of the stream."""
        return self.opened is None

    @property
    def sees_all(self) -> bool:
        """Whether its conversion and revenue look at all clicks, that which decides included."""
        return self.feature_set is not PREFIX

    def features_of(self, case: Case) -> Features | None:
        """The features that its conversion and revenue may look at; None where a session has none."""
        return case.whole if self.sees_all else case.evidence


# scikit-learn takes a second to import, and many a command asks for names and colours alone.
def _batch(artefact: Artefact, vocabulary: Vocabulary) -> FittedModels:
    from clickstream.models.batch import BatchModels

    return BatchModels(artefact, vocabulary)


def _reference(artefact: Artefact, vocabulary: Vocabulary) -> FittedModels:
    from clickstream.models.reference import ReferenceModels

    return ReferenceModels(artefact, vocabulary)


REGISTRY: Mapping[str, Scorer] = {
    scorer.name: scorer
    for scorer in (
        Scorer(
            name="batch",
            feature_set=PREFIX,
            file="batch.joblib",
            opened=_batch,
            evaluated_on="the held-out part",
            sentence="scikit-learn, fitted by training; does not see the click that decides",
            colour="#0072b2",
            colour_on_dark="#56b4e9",
            colour_on_any="#2f7fd1",
            line="-",
        ),
        Scorer(
            name="online",
            feature_set=PREFIX,
            file="online.pickle",
            opened=None,
            evaluated_on="the held-out part",
            sentence="River, learns from a session once it is predicted; does not see the click that decides",
            colour="#c75000",
            colour_on_dark="#f08c45",
            colour_on_any="#d9730d",
            line="--",
        ),
        Scorer(
            name="reference",
            feature_set=REFERENCE,
            file="reference.joblib",
            opened=_reference,
            evaluated_on="a random fifth",
            sentence="the published models; sees the click that decides, so it recovers a rule",
            colour="#7a7f87",
            colour_on_dark="#9aa2ac",
            colour_on_any="#868e99",
            line="-.",
            of_any_shop=False,
        ),
    )
}

FITTED: tuple[Scorer, ...] = tuple(scorer for scorer in REGISTRY.values() if not scorer.learns)
"""The scorers whose answers are a function of session and bundle: the audit computes them again."""

LEARNER: Scorer = REGISTRY[LEARNING]
"""The scorer that learns in the stream: there is one, as its state is kept with each partition."""

HONEST: tuple[ScorerName, ...] = tuple(s.name for s in REGISTRY.values() if s.feature_set is PREFIX)
"""The scorers that predict; the others see what they are asked for."""


def scorers_of(shop: Shop) -> tuple[ScorerName, ...]:
    """The scorers that a shop has."""
    return tuple(name for name in SCORERS if shop is UCI553 or REGISTRY[name].of_any_shop)
