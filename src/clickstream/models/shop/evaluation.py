"""Everything that training found out about the models of a shop: `evaluation.json` of its bundle.

All of it was measured on sessions that the models had not seen, over decision points of which those of one
session weigh as much as those of another, unless a field says otherwise.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clickstream.models.evaluation import (
    ChoiceOfK,
    ClusterProfile,
    Estimate,
    EvaluationPart,
    Importances,
    Reliability,
    Roc,
    TuningTrial,
)
from clickstream.records.scorers import ScorerName


class SplitPart(EvaluationPart):
    """A part of the split. `without_evidence`: sessions whose first click met the goal already."""

    sessions: int
    converted: int
    points: Annotated[int, Field(description="decision points that were used")]
    without_evidence: int


class BySeenClicks(EvaluationPart):
    """Quality at the decision points after a given number of clicks; a session has one of them at most."""

    scorer: ScorerName
    seen: Annotated[int | None, Field(description="None: at the last decision point of each session")]
    sessions: int
    converted: int
    auc: Annotated[Estimate | None, Field(description="None: too few sessions of a kind")]


class OneFeature(EvaluationPart):
    """How well the best single feature predicts, by a model of its own."""

    feature: str
    figures: dict[str, Estimate]


class ShopEvaluation(EvaluationPart):
    """The findings of one training.

    Attributes:
        shop: its name; `goal` in words.
        figures: scorer -> figure -> estimate. `lift`: how much more often the tenth with the highest
            forecasts converts than all do.
        roc: over decision points as they weigh, by scorer.
        importances: of the inputs of `batch conversion` and, where the goal has a value, `batch revenue`.
        base_rate: figures of a model that always says the share of training.
        shuffled: ROC-AUC of models that learn and are judged with what follows each session's evidence taken
            from another session: chance, or something leaks.
        trials: ways to model conversion, by cross-validation on the training part; one was chosen.
        notes: what must be known to read the figures right.
    """

    shop: str
    goal: str
    currency: str | None
    train: SplitPart
    held_out: SplitPart
    figures: dict[str, dict[str, Estimate]]
    base_rate: dict[str, Estimate]
    one_feature: OneFeature
    by_seen: list[BySeenClicks]
    roc: dict[str, Roc]
    reliability: dict[str, Reliability]
    importances: dict[str, Importances]
    shuffled: float
    trials: list[TuningTrial]
    choice_of_k: list[ChoiceOfK]
    clusters: list[ClusterProfile]
    notes: list[str]

    def beside(self) -> dict[str, dict[str, Estimate]]:
        """The figures of the scorers, and those of what they are held against, by what they are shown as."""
        alone = self.one_feature
        return {**self.figures, f"{alone.feature} alone": alone.figures, "base rate": self.base_rate}
