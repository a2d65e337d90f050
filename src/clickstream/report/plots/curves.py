"""The probability of conversion: ROC and reliability curves."""

from __future__ import annotations

from math import sqrt

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from clickstream.models.evaluation import Estimate, Evaluation, Reliability
from clickstream.models.shop.evaluation import ShopEvaluation
from clickstream.records.scorers import SCORERS
from clickstream.report.plots.canvas import (
    CHANCE,
    COLOURS,
    MUTED,
    SOFT,
    Margins,
    Plot,
    blank,
    line_of,
    styled,
)
from clickstream.report.wording import estimate, interval, number

UNCALIBRATED = "batch, uncalibrated"

_Z = 1.96


@styled
def roc(evaluation: Evaluation | ShopEvaluation) -> Plot | None:
    """ROC curves of all scorers, over sessions; of a shop over decision points, each as it weighs."""
    named = [scorer for scorer in SCORERS if scorer in evaluation.roc]
    if not named:
        return None
    figure, (axes,) = blank(height=4.0, margins=Margins(right=0.25))
    axes.plot([0, 1], [0, 1], **CHANCE)
    axes.annotate("chance", (0.18, 0.18), (8, -8), textcoords="offset points", color=MUTED)
    for place, scorer in enumerate(named):
        curve = evaluation.roc[scorer]
        colour, line = COLOURS[scorer], line_of(scorer)
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, color=colour, ls=line, clip_on=False)
        known = estimate(evaluation, scorer, "auc")
        label = scorer if known is None else f"{scorer} {_with_interval(known)}"
        _label(axes, 0.4, 0.08 + 0.08 * (len(named) - 1 - place), label, colour, line)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _percent(axes)
    if isinstance(evaluation, ShopEvaluation):
        ranked, judged = "moments", "the decision points of held-out sessions, each as it weighs"
        axes.set_xlabel("share of the moments without the goal after them, taken for ones with it")
        axes.set_ylabel("share of those with it, found")
    else:
        ranked, judged = "sessions", "held-out sessions"
        axes.set_xlabel("share of the sessions that do not convert, taken for converting")
        axes.set_ylabel("share of those that convert, found")
    pairs = [
        f"{scorer} ranks {100 * known.value:.0f}"
        for scorer in named
        if (known := estimate(evaluation, scorer, "auc")) is not None
    ]
    return Plot(
        "roc",
        f"Of 100 pairs of {ranked}, {', '.join(pairs)} right" if pairs else "ROC curves",
        f"ROC curves on {judged}; the labels give the area under each curve and its 95 % interval. The"
        " diagonal is guessing.",
        figure,
    )


@styled
def reliability(evaluation: Evaluation | ShopEvaluation) -> Plot | None:
    """Forecast probability against the share that converted, and how many sessions each forecast got."""
    shown = [name for name in ("batch", "online", UNCALIBRATED) if name in evaluation.reliability]
    if not shown:
        return None
    figure, (axes, below) = blank(2, 1, height=4.0, margins=Margins(right=0.25, between=0.2), ratios=(5, 1))
    axes.plot([0, 1], [0, 1], **CHANCE)
    axes.annotate("dashed: as forecast", (0.98, 0.6), ha="right", color=MUTED)
    for place, name in enumerate(shown):
        bins = evaluation.reliability[name]
        colour, line = (MUTED, ":") if name == UNCALIBRATED else (COLOURS[name], line_of(name))
        axes.plot(bins.forecast, bins.observed, color=colour, ls=line, marker="o", ms=3.5)
        if name != UNCALIBRATED:
            low, high = wilson(bins)
            axes.vlines(bins.forecast, low, high, color=colour, lw=1.2, alpha=0.7)
        known = estimate(evaluation, name, "ece")
        _label(
            axes,
            0.03,
            0.93 - 0.09 * place,
            name if known is None else f"{name}, ECE {number(known.value, 3)}",
            colour,
            line,
        )
    axes.set_ylim(0, 1)
    axes.set_ylabel("share that converted")
    first = evaluation.reliability[shown[0]]
    below.bar(first.forecast, first.sessions, width=0.03, color=SOFT)
    below.set_ylabel("sessions")
    below.set_xlabel("forecast probability of conversion")
    below.yaxis.set_major_locator(MaxNLocator(2))
    for one in (axes, below):
        one.set_xlim(0, 1)
        _percent(one)
    axes.tick_params(labelbottom=False)
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    figure.align_ylabels()
    return Plot(
        "reliability",
        _reliable(evaluation, first, shown[0]),
        "Held-out sessions in bins of their forecast: mean forecast against the share that converted, with"
        f" 95 % intervals (Wilson 1927). Below, the sessions in each bin of {shown[0]}.",
        figure,
    )


def wilson(bins: Reliability) -> tuple[list[float], list[float]]:
    """The 95 % interval of each bin's share (Wilson 1927)."""
    low, high = [], []
    for share, sessions in zip(bins.observed, bins.sessions, strict=True):
        n = max(sessions, 1)
        centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
        low.append(centre - half)
        high.append(centre + half)
    return low, high


def _reliable(evaluation: Evaluation | ShopEvaluation, bins: Reliability, scorer: str) -> str:
    known = estimate(evaluation, scorer, "ece")
    if known is not None:
        return f"What {scorer} forecasts is off by {100 * known.value:.1f} percentage points on average"
    worst = max(abs(one - other) for one, other in zip(bins.forecast, bins.observed, strict=True))
    return f"What {scorer} forecasts is off by at most {100 * worst:.0f} percentage points in a bin"


def _with_interval(known: Estimate) -> str:
    bounds = interval(known, 3)
    return number(known.value, 3) + (f" [{bounds.replace(' to ', ', ')}]" if bounds else "")


def _label(axes: Axes, x: float, y: float, text: str, colour: str, line: str) -> None:
    """A name with a piece of its line, at a place in parts of the axes."""
    axes.plot([x, x + 0.07], [y, y], color=colour, ls=line, transform=axes.transAxes)
    axes.text(x + 0.09, y, text, color=colour, weight="bold", va="center", transform=axes.transAxes)


def _percent(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
