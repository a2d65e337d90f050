"""What only the report of any shop shows: models beside one feature, quality at numbers of clicks seen."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from clickstream.models.evaluation import ClusterProfile
from clickstream.models.shop.evaluation import BySeenClicks, ShopEvaluation
from clickstream.records.scorers import ScorerName
from clickstream.report.plots.canvas import CHANCE, COLOURS, INK, MUTED, Margins, Plot, blank, styled
from clickstream.report.plots.quality import seen_lines
from clickstream.report.wording import clicks_words, figure_name, number

_LONGEST_NAME = 22

_MOST_COLUMNS = 3


@styled
def compared(evaluation: ShopEvaluation) -> Plot | None:
    """ROC-AUC of each scorer and of the most telling feature alone, with their intervals, a line each."""
    alone = evaluation.one_feature
    rows = {name: of["auc"] for name, of in evaluation.figures.items() if "auc" in of}
    if "batch" not in rows or "auc" not in alone.figures:
        return None
    rows[f"{alone.feature} alone"] = alone.figures["auc"]
    figure, (axes,) = blank(height=0.75 + 0.38 * len(rows), margins=Margins(left=1.75, right=0.45))
    for place, (name, known) in enumerate(rows.items()):
        colour = COLOURS.get(name, MUTED)
        axes.plot([known.low, known.high], [place, place], color=colour, lw=5, alpha=0.4)
        axes.plot([known.value], [place], "o", color=colour, ms=6)
        axes.annotate(
            number(known.value, 3),
            (known.high, place),
            (7, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            weight="bold",
            annotation_clip=False,
        )
    axes.axvline(0.5, **CHANCE)
    axes.set_xlim(min(0.48, *(one.low - 0.02 for one in rows.values())), 1)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [textwrap.shorten(one, _LONGEST_NAME) for one in rows], color=INK)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{figure_name('auc').title}; dashed: chance, and the base rate")
    batch, one = rows["batch"].value, alone.figures["auc"].value
    return Plot(
        "compared",
        f"batch reaches {number(batch, 3)}, {alone.feature} alone {number(one, 3)}",
        "ROC-AUC over the decision points of held-out sessions; bars are 95 % intervals by bootstrap over"
        " sessions.",
        figure,
    )


@styled
def by_clicks(evaluation: ShopEvaluation) -> Plot | None:
    """ROC-AUC after so many clicks, and at the last decision point."""
    known = [one for one in evaluation.by_seen if one.auc is not None]
    seen = list(dict.fromkeys(one.seen for one in known))
    if not seen:
        return None
    lines: dict[ScorerName, list[BySeenClicks]] = {}
    for one in known:
        lines.setdefault(one.scorer, []).append(one)
    figure = seen_lines(
        {
            scorer: [(seen.index(one.seen), one.auc) for one in found if one.auc is not None]
            for scorer, found in lines.items()
        },
        ["last" if one is None else str(one) for one in seen],
        "auc",
    )
    scorer, found = next(iter(lines.items()))
    return Plot(
        "by-clicks",
        f"{figure_name('auc').title} of {scorer}: {_ending(found[0])}, {_ending(found[-1])}",
        "Held-out sessions at the moment after so many clicks, each of them once; last: at the last decision"
        " point of each. Bars are 95 % intervals by bootstrap. Sessions that go on are other sessions.",
        figure,
    )


def shop_columns(profiles: Sequence[ClusterProfile]) -> Mapping[str, str]:
    """The features in which the centres lie furthest apart, with titles for the columns of a plot."""

    def spread(name: str) -> float:
        values = [one.centre[name] for one in profiles]
        return (max(values) - min(values)) / (sum(map(abs, values)) or 1.0)

    names = list(profiles[0].centre) if profiles else []
    chosen = sorted(names, key=lambda name: -spread(name))[:_MOST_COLUMNS]
    return {name: textwrap.fill(name.replace("_", " "), 10) for name in names if name in chosen}


def _ending(one: BySeenClicks) -> str:
    value = number(one.auc.value, 3) if one.auc is not None else ""
    return (
        f"{value} {'at the last point' if one.seen is None else 'after ' + clicks_words(one.seen, one.seen)}"
    )
