"""The report of a bundle: one HTML file that needs no network and no script.

It shows a Manifest and an Evaluation and computes nothing of its own: each figure in a table stands in
full precision in a `data` element, as it stands in `evaluation.json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from clickstream.bundles.manifest import Manifest
from clickstream.features.vector import DEFINITIONS, PREFIX, REFERENCE
from clickstream.models.evaluation import Evaluation, TuningTrial
from clickstream.models.scorers import HONEST
from clickstream.models.shop.evaluation import ShopEvaluation
from clickstream.records.scorers import LEARNING, SCORERS
from clickstream.report import plots, wording
from clickstream.report.plots.canvas import DARK, LIGHT

_MODELS = ("batch conversion", "batch revenue", "reference conversion", "reference revenue")

# The one that predicts beside the one that sees.
_REVENUE_PLOTS = ("batch", *(name for name in SCORERS if name not in HONEST), LEARNING)

_SECTIONS = {
    "summary": "Summary",
    "data": "Data and label",
    "figures": "All figures",
    "published": "Published figures",
    "probabilities": "Conversion",
    "revenue": "Revenue",
    "seen": "By clicks seen",
    "inputs": "Inputs",
    "leakage": "Leakage",
    "clusters": "Clusters",
    "trials": "Trials",
    "not-for": "Not to be used for",
}

_KEY = (
    ("batch", "auc", "ROC-AUC of batch: the deciding click not seen; 0.5 is chance"),
    ("online", "auc", "ROC-AUC of online, predicted before it was learned"),
    ("batch", "r2", "R² of batch for revenue; 0 is the mean"),
    ("reference", "auc", "ROC-AUC of reference: it sees the click that decides"),
)


def render_report(manifest: Manifest, evaluation: Evaluation) -> str:
    """`report.html` of a bundle. Equal arguments give equal text; strings of the data are escaped."""
    return page(
        "report.html.j2",
        **report_values(manifest, evaluation),
        short_sessions=wording.short_sessions_sentence(evaluation),
        beyond=wording.beyond_chance(evaluation),
        contents=[(at, title) for at, title in _SECTIONS.items() if at != "trials" or evaluation.trials],
        key=[entry for entry in _KEY if wording.estimate(evaluation, entry[0], entry[1]) is not None],
        definitions=DEFINITIONS,
        sets=(REFERENCE, PREFIX),
        centre=list(dict.fromkeys(name for one in evaluation.clusters for name in one.centre)),
        trials_by_model=_by_model(evaluation.trials),
        plots=_plots(manifest, evaluation),
    )


def page(template: str, **values: Any) -> str:
    """A page of this package, in the colours of its plots; what is shown is escaped."""
    found = Environment(
        loader=PackageLoader("clickstream.report", "."), autoescape=True, undefined=StrictUndefined
    ).get_template(template)
    return found.render(**values, light=LIGHT, dark=DARK)


def report_values(manifest: Manifest, evaluation: Evaluation) -> dict[str, Any]:
    """What the report and the model card both say, and how they write it, for their templates."""
    return {
        "manifest": manifest,
        "evaluation": evaluation,
        "origin": wording.origin(manifest),
        "source": wording.source_sentence(manifest),
        "label": wording.label_sentence(),
        "held_out": wording.held_out_sentence(manifest),
        "summary": wording.summary(manifest, evaluation),
        "why": wording.reference_sentences(manifest),
        "published": wording.published_rows(manifest, evaluation),
        "published_inputs": wording.PUBLISHED_INPUTS,
        "misuses": wording.misuses(manifest),
        "rows": figure_rows(evaluation),
        "columns": list(evaluation.figures),
        "names": wording.figure_name,
        "number": wording.number,
        "percent": wording.percent,
        "clicks_words": wording.clicks_words,
        "money": partial(wording.money, manifest),
    }


def figure_rows(evaluation: Evaluation | ShopEvaluation) -> list[str]:
    """The figures found for any scorer: those that have a name of their own first, in its order."""
    found = dict.fromkeys(name for figures in evaluation.figures.values() for name in figures)
    known = list(wording.FIGURES)
    return sorted(found, key=lambda name: known.index(name) if name in known else len(known))


def _plots(manifest: Manifest, evaluation: Evaluation) -> dict[str, Any]:
    currency = wording.currency(manifest)
    return {
        "scorers": plots.scorers(evaluation),
        "roc": plots.roc(evaluation),
        "reliability": plots.reliability(evaluation),
        "seen_auc": plots.by_seen(evaluation, "auc"),
        "seen_r2": plots.by_seen(evaluation, "r2"),
        "revenue": [plots.revenue(evaluation, name, currency) for name in _REVENUE_PLOTS],
        "importances": [plots.importance(evaluation, model) for model in _MODELS],
        "clusters": plots.clusters(evaluation.clusters),
        "choice_of_k": plots.choice_of_k(evaluation.choice_of_k, len(evaluation.clusters)),
    }


def _by_model(trials: Iterable[TuningTrial]) -> dict[str, list[TuningTrial]]:
    """The trials of each model, the best first."""
    by_model: dict[str, list[TuningTrial]] = {}
    for trial in sorted(
        trials, key=lambda one: one.mean if one.figure in wording.LESS_IS_BETTER else -one.mean
    ):
        by_model.setdefault(trial.model, []).append(trial)
    return by_model
