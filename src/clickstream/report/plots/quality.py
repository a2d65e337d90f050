"""How much of the proxy outcome is predicted: by scorer, by clicks seen, and in money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from matplotlib.figure import Figure

from clickstream.models.evaluation import BySeen, Estimate, Evaluation
from clickstream.models.scorers import HONEST
from clickstream.records.scorers import SCORERS, ScorerName
from clickstream.report.plots.canvas import (
    CHANCE,
    COLOURS,
    INK,
    MUTED,
    Margins,
    Plot,
    blank,
    line_of,
    name_ends,
    styled,
)
from clickstream.report.wording import clicks_words, estimate, figure_name, number

_TICKS = {"auc": (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), "r2": (0.0, 0.25, 0.5, 0.75, 1.0)}

_SHORT = {"auc": "ROC-AUC", "r2": "R²"}

_CHANCE = {"auc": 0.5, "r2": 0.0}


@styled
def scorers(evaluation: Evaluation) -> Plot | None:
    """AUC and R² of each scorer with their intervals, a line each."""
    figure, axes = blank(1, 2, height=1.9, margins=Margins(left=0.8, between=0.2))
    for one, (name, chance) in zip(axes, _CHANCE.items(), strict=True):
        least = chance
        for place, scorer in enumerate(SCORERS):
            known = estimate(evaluation, scorer, name)
            if known is None:
                continue
            least = min(least, known.low)
            colour = COLOURS[scorer]
            one.plot([known.low, known.high], [place, place], color=colour, lw=5, alpha=0.4)
            one.plot([known.value], [place], "o", color=colour, ms=6)
            inside = known.high > 0.85
            one.annotate(
                number(known.value, 3),
                (known.low if inside else known.high, place),
                (-7 if inside else 7, 0),
                textcoords="offset points",
                ha="right" if inside else "left",
                va="center",
                color=colour,
                weight="bold",
            )
        one.axvline(chance, **CHANCE)
        one.set_xlim(least - 0.06, 1.08)
        one.set_ylim(len(SCORERS) - 0.5, -0.5)
        one.set_yticks(range(len(SCORERS)), SCORERS, color=INK)
        one.spines["left"].set_visible(False)
        one.set_xticks(_TICKS[name])
        one.set_xlabel(f"{figure_name(name).title}{' of conversion' if name == 'auc' else ''}")
    axes[1].set_yticks([])
    batch, reference = (estimate(evaluation, scorer, "auc") for scorer in ("batch", "reference"))
    if batch is None or reference is None:
        return None
    return Plot(
        "scorers",
        f"Who sees the deciding click scores {number(reference.value, 3)};"
        f" who must foretell it scores {number(batch.value, 3)}",
        "Points are figures on held-out sessions, bars 95 % intervals by bootstrap over sessions, dashed"
        " lines chance. Only reference sees the click that decides the proxy outcome.",
        figure,
    )


@styled
def revenue(evaluation: Evaluation, scorer: ScorerName, currency: str = "$") -> Plot | None:
    """Expected revenue against what came, in tenths; axes equal for all scorers, so plots can be compared."""
    fit = evaluation.revenue.get(scorer)
    if fit is None or not fit.expected:
        return None
    figure, (axes,) = blank(height=3.6)
    every = [amount for one in evaluation.revenue.values() for amount in (*one.expected, *one.low, *one.high)]
    margin = 0.06 * (max(every) - min(every)) or 1.0
    bounds = (min(every) - margin, max(every) + margin)
    colour = COLOURS[scorer]
    axes.plot(bounds, bounds, **CHANCE)
    axes.vlines(fit.expected, fit.low, fit.high, color=colour, lw=5, alpha=0.25)
    axes.plot(fit.expected, fit.actual, "o", color=colour, ms=5)
    for text, height in (("mean", fit.actual[-1]), ("middle half", fit.low[-1])):
        axes.annotate(
            text,
            (fit.expected[-1], height),
            (8, 0),
            textcoords="offset points",
            va="center" if text == "mean" else "bottom",
            color=colour,
        )
    axes.set_xlim(bounds[0], bounds[1] + 3 * margin)
    axes.set_ylim(*bounds)
    unit = f", {currency}" if currency else ""
    axes.set_xlabel(f"mean of what {scorer} expected{unit}")
    axes.set_ylabel(f"price of the last click{unit}")
    known = estimate(evaluation, scorer, "r2")
    amounts = [f"{currency}{number(fit.expected[end], 0)}" for end in (0, -1)]
    came = [f"{currency}{number(fit.actual[end], 0)}" for end in (0, -1)]
    explained = "" if known is None else f" (R² {number(known.value, 3)})"
    return Plot(
        f"revenue-{scorer}",
        f"Where {scorer} expects {amounts[0]}, {came[0]} came; where {amounts[1]}, {came[1]}{explained}",
        "Held-out sessions in tenths of their expected revenue (proxy): mean of what was expected against"
        " mean and middle half of what came. On the dashed line both are equal.",
        figure,
    )


@styled
def by_seen(evaluation: Evaluation, name: Literal["auc", "r2"] = "auc") -> Plot | None:
    """Quality of those that foretell the deciding click, by the number of clicks that they had seen."""
    known = {
        scorer: [
            (one, found)
            for one in evaluation.by_seen
            if one.scorer == scorer and (found := one.auc if name == "auc" else one.r2) is not None
        ]
        # Beside reference, which sees the deciding click, their differences could not be seen.
        for scorer in HONEST
    }
    lines = {scorer: sorted(ones, key=lambda pair: pair[0].fewest) for scorer, ones in known.items() if ones}
    if not lines:
        return None
    bands = sorted({(one.fewest, one.most or 0) for ones in lines.values() for one, _ in ones})
    figure = seen_lines(
        {
            scorer: [(bands.index((one.fewest, one.most or 0)), estimate) for one, estimate in ones]
            for scorer, ones in lines.items()
        },
        [_band(*band) for band in bands],
        name,
    )
    scorer, ones = next(iter(lines.items()))
    return Plot(
        f"seen-{name}",
        f"{_SHORT[name]} of {scorer}: {_ending(*ones[0])}, {_ending(*ones[-1])}",
        "Held-out sessions by the number of clicks that went into the prediction; bars are 95 % intervals by"
        " bootstrap. Longer sessions are other sessions, not the same ones later.",
        figure,
    )


def seen_lines(
    lines: Mapping[ScorerName, Sequence[tuple[int, Estimate]]],
    bands: Sequence[str],
    name: Literal["auc", "r2"],
) -> Figure:
    """Lines of a figure over numbers of clicks seen, with their intervals.

    Args:
        lines: of each scorer, places in `bands` with what was found there.
    """
    figure, (axes,) = blank(margins=Margins(right=0.5))
    for shift, (scorer, found) in enumerate(lines.items()):
        xs = [place + 0.12 * (shift - 1) for place, _ in found]
        estimates = [one for _, one in found]
        colour = COLOURS[scorer]
        axes.vlines(
            xs, [one.low for one in estimates], [one.high for one in estimates], color=colour, lw=3, alpha=0.4
        )
        values = [one.value for one in estimates]
        axes.plot(xs, values, color=colour, marker="o", ms=4.5, ls=line_of(scorer), lw=1)
    axes.axhline(_CHANCE[name], **CHANCE)
    axes.annotate("chance", (0, _CHANCE[name]), (0, 3), textcoords="offset points", color=MUTED, ha="center")
    name_ends(axes, {scorer: found[-1][1].value for scorer, found in lines.items()}, len(bands) - 0.7)
    axes.set_xlim(-0.4, len(bands) - 0.2)
    axes.set_xticks(range(len(bands)), bands)
    axes.set_xlabel("clicks that the scorer had seen of the session")
    axes.set_ylabel(figure_name(name).title)
    return figure


def _ending(one: BySeen, known: Estimate) -> str:
    return f"{number(known.value, 3)} after {clicks_words(one.fewest, one.most)}"


def _band(fewest: int, most: int | None) -> str:
    if not most:
        return f"{fewest}+"
    return str(fewest) if fewest == most else f"{fewest}–{most}"
