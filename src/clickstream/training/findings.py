"""Evaluations in parts: what one half of a training found, put together with the other half."""

from __future__ import annotations

from typing import Any

from clickstream.models.evaluation import Evaluation

EMPTY = Evaluation(
    figures={},
    published=[],
    roc={},
    reliability={},
    revenue={},
    importances={},
    by_seen=[],
    choice_of_k=[],
    clusters=[],
    matching=None,
    shuffled={},
    trials=[],
)

KMEANS = "k-means"
"""The name of the clusters' model among the published ones."""


def together(*parts: Evaluation) -> Evaluation:
    """Join the findings of all parts; no two parts report the same thing."""
    whole = dict(EMPTY)
    for part in parts:
        for field, found in part:
            if isinstance(found, dict):
                whole[field] = {**whole[field], **found}
            elif isinstance(found, list):
                whole[field] = [*whole[field], *found]
            elif found is not None:
                whole[field] = found
    return Evaluation(**whole)


def of_scorers(evaluation: Evaluation, *scorers: str) -> Evaluation:
    """Select what an evaluation reports of the named scorers."""

    def about(found: dict[str, Any]) -> dict[str, Any]:
        # Names are `batch`, `batch conversion` or `batch, uncalibrated`.
        return {name: one for name, one in found.items() if name.replace(",", " ").split()[0] in scorers}

    return EMPTY.model_copy(
        update={
            "figures": about(evaluation.figures),
            "roc": about(evaluation.roc),
            "reliability": about(evaluation.reliability),
            "revenue": about(evaluation.revenue),
            "importances": about(evaluation.importances),
            "by_seen": [one for one in evaluation.by_seen if one.scorer in scorers],
            "trials": [one for one in evaluation.trials if one.model.split()[0] in scorers],
            "published": [
                one for one in evaluation.published if "reference" in scorers and one.model != KMEANS
            ],
            "shuffled": evaluation.shuffled if "batch" in scorers else {},
        }
    )
