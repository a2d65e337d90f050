"""What a model depends on: the importance of its inputs."""

from __future__ import annotations

from matplotlib.ticker import MaxNLocator

from clickstream.models.evaluation import Evaluation
from clickstream.models.shop.evaluation import ShopEvaluation
from clickstream.report.plots.canvas import BATCH, INK, REFERENCE, RULE, Margins, Plot, blank, styled
from clickstream.report.wording import number

_MOST_INPUTS = 10
_LONGEST_NAME = 22
_SHORT = {"auc": "ROC-AUC", "r2": "R²"}


@styled
def importance(evaluation: Evaluation | ShopEvaluation, model: str) -> Plot | None:
    """The inputs that a model leans on, by permutation."""
    found = evaluation.importances.get(model)
    if found is None or not found.inputs:
        return None
    shown = found.inputs[:_MOST_INPUTS]
    title = _SHORT[found.figure]
    figure, (axes,) = blank(height=0.7 + 0.24 * len(shown), margins=Margins(left=1.55))
    places = range(len(shown))
    means = [one.mean for one in shown]
    colour = REFERENCE if model.startswith("reference") else BATCH
    axes.barh(places, means, height=0.62, color=colour, alpha=0.85)
    axes.errorbar(means, places, xerr=[one.sd for one in shown], fmt="none", ecolor=INK, elinewidth=1)
    axes.set_yticks(places, [_name(one.feature) for one in shown], color=INK)
    axes.invert_yaxis()
    axes.axvline(0, color=RULE, lw=1)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(f"loss of {title} when the input is shuffled")
    judged, moved = (
        ("the decision points of held-out sessions", "them")
        if isinstance(evaluation, ShopEvaluation)
        else ("held-out sessions", "sessions")
    )
    return Plot(
        f"importance-{model.replace(' ', '-')}",
        f"{model}: {shown[0].feature} matters most, {number(means[0], 3)} of {title} is lost without it",
        f"Permutation importance on {judged}: by how much {title} falls when one input is shuffled between"
        f" {moved}; thin lines are one standard deviation over the repeats. Inputs that say the same share"
        " their importance.",
        figure,
    )


def _name(feature: str) -> str:
    return feature if len(feature) <= _LONGEST_NAME else f"{feature[: _LONGEST_NAME - 1]}…"
