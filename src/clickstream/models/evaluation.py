"""Everything that training found out about its models: the numbers behind the report.

One file of a bundle, `evaluation.json`. Training fills it, the report and the model card only show it, so a
figure in a plot and the same figure in a table cannot differ. All of it was measured on sessions that the
models had not seen, unless a field says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from clickstream.records.scorers import ScorerName

EVALUATION = "evaluation.json"


class EvaluationPart(BaseModel):
    """Base of the models that the findings of a training are written as."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(EvaluationPart):
    """A figure with its 95 % interval by bootstrap over sessions."""

    value: float
    low: float
    high: float


class Roc(EvaluationPart):
    """Receiver operating characteristic: rates of false and true positives, from (0, 0) to (1, 1)."""

    false_positive_rate: list[float]
    true_positive_rate: list[float]


class Reliability(EvaluationPart):
    """Sessions in bins of their forecast: mean forecast, share that converted, and how many."""

    forecast: list[float]
    observed: list[float]
    sessions: list[int]


class RevenueFit(EvaluationPart):
    """Sessions in tenths of their expected revenue: means of the forecast and of what came, US dollars."""

    expected: list[float]
    actual: list[float]
    low: Annotated[list[float], Field(description="lower quartile of what came")]
    high: Annotated[list[float], Field(description="upper quartile of what came")]
    sessions: list[int]


class Importance(EvaluationPart):
    """How much worse the figure becomes when one input is shuffled between sessions (Breiman 2001)."""

    feature: str
    mean: float
    sd: float


class Importances(EvaluationPart):
    """The inputs of one model, the most important first, and the figure that they are measured by."""

    figure: Literal["auc", "r2"]
    inputs: list[Importance]


class BySeen(EvaluationPart):
    """Quality on the sessions in which a scorer had seen a given number of clicks; `figures` by name."""

    scorer: ScorerName
    fewest: int
    most: Annotated[int | None, Field(description="None: without an upper end")]
    sessions: int
    auc: Estimate | None
    r2: Estimate | None


class ChoiceOfK(EvaluationPart):
    """How k-means with one number of clusters does on the training sessions."""

    k: int
    silhouette: float
    davies_bouldin: float
    inertia: float


class ClusterProfile(EvaluationPart):
    """One cluster over all sessions of the dataset: its centre in original units, and what became of it."""

    number: int
    name: str
    sessions: int
    share: float
    centre: dict[str, float]
    converted: Annotated[float, Field(description="share of its sessions that convert")]
    revenue: Annotated[float, Field(description="mean revenue, in the currency of the shop")]


class Matching(EvaluationPart):
    """How the clusters agree with those of the bundle that was in use, on the same sessions."""

    bundle: str
    agreement: Annotated[float, Field(description="adjusted Rand index of the two assignments")]
    same_name: Annotated[float, Field(description="share of sessions with the same name in both")]
    optimal: Annotated[
        dict[str, str], Field(description="name here -> name there by optimal matching (Kuhn 1955)")
    ]


class PublishedFigure(EvaluationPart):
    """One published figure beside what its protocol gives here."""

    model: str
    inputs: Literal["all", "category columns blank"]
    figure: str
    published: Annotated[str, Field(description="as published; empty where nothing was")]
    measured: float


class TuningTrial(EvaluationPart):
    """One setting of a grid or one idea that was tried, by cross-validation on the training sessions."""

    model: str
    setting: str
    figure: str
    mean: float
    sd: float
    chosen: bool


class Evaluation(EvaluationPart):
    """The findings of one training.

    Attributes:
        figures: scorer or `clusters` -> figure -> estimate.
        roc, reliability, revenue: by scorer; `reliability` also holds `batch, uncalibrated` where the
            probabilities were calibrated.
        importances: `batch conversion`, `batch revenue`, `reference conversion`, `reference revenue`.
        shuffled: figures of the batch models when the deciding clicks are shuffled between sessions:
            chance, or something leaks.
        trials: empty without --grid.
    """

    figures: dict[str, dict[str, Estimate]]
    published: list[PublishedFigure]
    roc: dict[str, Roc]
    reliability: dict[str, Reliability]
    revenue: dict[str, RevenueFit]
    importances: dict[str, Importances]
    by_seen: list[BySeen]
    choice_of_k: list[ChoiceOfK]
    clusters: list[ClusterProfile]
    matching: Matching | None
    shuffled: dict[str, float]
    trials: list[TuningTrial]
