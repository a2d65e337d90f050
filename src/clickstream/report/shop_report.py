"""Report and model card of a bundle of any shop, in the shop's words: name, currency, goal.

They show a Manifest, a ShopEvaluation, and what the bundle carries of definition and inputs; they compute
nothing of their own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from clickstream.bundles.manifest import Manifest
from clickstream.features.definition import ShopDefinition
from clickstream.features.words import feature_in_words
from clickstream.models.shop.evaluation import BySeenClicks, ShopEvaluation
from clickstream.models.shop.inputs import MOST_TEXTS, ShopInputs
from clickstream.report import plots, shop_wording, wording
from clickstream.report.card import card
from clickstream.report.plots.shop import by_clicks, compared, shop_columns
from clickstream.report.report import figure_rows, page

_SECTIONS = {
    "summary": "Summary",
    "data": "Data and goal",
    "figures": "All figures",
    "probabilities": "Probabilities",
    "seen": "By clicks seen",
    "certainty": "How certain",
    "leakage": "Control",
    "clusters": "Clusters",
    "inputs": "Inputs",
    "trials": "Trials",
    "not-for": "Not to be used for",
}

_KEY = (
    ("batch", "auc", "ROC-AUC of batch; 0.5 is chance"),
    ("online", "auc", "ROC-AUC of online, predicted before it was learned"),
    ("batch", "lift", "times as often does the best tenth of batch meet the goal"),
    ("batch", "ece", "mean gap between forecast and share of batch (ECE)"),
    ("batch", "r2", "R² of batch for revenue; 0 is the mean"),
)


def render_shop_report(
    manifest: Manifest, evaluation: ShopEvaluation, definition: ShopDefinition, inputs: ShopInputs
) -> str:
    """`report.html` of a bundle. Equal arguments give equal text; strings of the data are escaped."""
    values = _values(manifest, evaluation, definition, inputs)
    return page(
        "shop_report.html.j2",
        **values,
        contents=list(_SECTIONS.items()),
        key=[one for one in _KEY if wording.estimate(evaluation, one[0], one[1]) is not None],
        centre=list(dict.fromkeys(name for one in evaluation.clusters for name in one.centre)),
        plots={
            "compared": compared(evaluation),
            "roc": plots.roc(evaluation),
            "reliability": plots.reliability(evaluation),
            "by_clicks": by_clicks(evaluation),
            "importances": [plots.importance(evaluation, model) for model in evaluation.importances],
            "clusters": plots.clusters(
                evaluation.clusters, shop_columns(evaluation.clusters), "meet\nthe goal", note=""
            ),
            "choice_of_k": plots.choice_of_k(evaluation.choice_of_k, len(evaluation.clusters)),
        },
    )


def render_shop_card(
    manifest: Manifest, evaluation: ShopEvaluation, definition: ShopDefinition, inputs: ShopInputs
) -> str:
    """`model_card.md` of a bundle. Equal arguments give equal text; strings of the data are escaped."""
    return card("shop_model_card.md.j2", **_values(manifest, evaluation, definition, inputs))


def _values(
    manifest: Manifest, evaluation: ShopEvaluation, definition: ShopDefinition, inputs: ShopInputs
) -> dict[str, Any]:
    return {
        "manifest": manifest,
        "evaluation": evaluation,
        "shop": definition,
        "origin": wording.origin(manifest),
        "source": shop_wording.source_sentence(manifest, definition),
        "label": shop_wording.label_sentence(definition),
        "question": shop_wording.question(definition),
        "held_out": shop_wording.held_out_sentence(manifest, evaluation),
        "summary": shop_wording.summary(definition, evaluation),
        "certainty": shop_wording.certainty_sentence(evaluation),
        "control": shop_wording.control_sentence(evaluation),
        "misuses": shop_wording.misuses(manifest, definition),
        "features": [(one.name, feature_in_words(one)) for one in definition.features],
        "inputs": shop_wording.inputs_known(definition, inputs),
        "most_texts": MOST_TEXTS,
        "earns": definition.goal.value is not None,
        "columns": evaluation.beside(),
        "rows": figure_rows(evaluation),
        "seen": _seen(evaluation),
        "names": wording.figure_name,
        "number": wording.number,
        "percent": wording.percent,
        "clicks_words": wording.clicks_words,
        "money": partial(shop_wording.money, definition),
        "with_interval": shop_wording.figure_interval,
    }


def _seen(evaluation: ShopEvaluation) -> dict[int | None, dict[str, BySeenClicks]]:
    """Clicks seen -> scorer -> what was found there."""
    found: dict[int | None, dict[str, BySeenClicks]] = {}
    for one in evaluation.by_seen:
        found.setdefault(one.seen, {})[one.scorer] = one
    return found
