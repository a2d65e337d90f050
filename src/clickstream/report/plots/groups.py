"""The behavioural clusters: how many there are, and what lies in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clickstream.models.evaluation import ChoiceOfK, ClusterProfile
from clickstream.report.plots.canvas import BATCH, INK, MUTED, SOFT, Margins, Plot, blank, styled
from clickstream.report.wording import figure_name, number, percent

_PROFILE = {
    "session_length": "clicks",
    "n_unique_categories": "categories",
    "mean_price": "mean\nprice",
    "pct_price2_views": "premium\nviews",
}
"""Shown of a centre of shop uci553, with the title of the column."""

_OVER_ALL = (
    "Centres of k-means in original units, over all clicks of a session, the deciding one included: how"
    " often a cluster converts describes it and forecasts nothing."
)


@styled
def choice_of_k(choices: Sequence[ChoiceOfK], used: int) -> Plot | None:
    """Silhouette and Davies–Bouldin by the number of clusters; `used` is the number in use."""
    if not choices:
        return None
    figure, axes = blank(1, 2, height=2.5, margins=Margins(left=0.5, top=0.35))
    ks = [choice.k for choice in choices]
    for one, name, sense in zip(axes, ("silhouette", "davies_bouldin"), ("more", "less"), strict=True):
        values = [float(getattr(choice, name)) for choice in choices]
        one.plot(ks, values, color=MUTED, lw=1.2, marker="o", ms=4)
        if used in ks:
            value = values[ks.index(used)]
            one.plot([used], [value], "o", color=BATCH, ms=8)
            one.annotate(
                number(value, 3),
                (used, value),
                (0, 9 if sense == "more" else -16),
                textcoords="offset points",
                ha="center",
                color=BATCH,
                weight="bold",
            )
        span = max(values) - min(values) or 0.1
        one.set_ylim(min(values) - 0.25 * span, max(values) + 0.25 * span)
        one.set_xticks(ks)
        one.set_xlabel("number of clusters k")
        one.set_title(f"{figure_name(name).title} ({sense} is better)", loc="left", color=INK)
    return Plot(
        "choice-of-k",
        favoured(choices, used),
        "k-means on the training sessions for each k; the number in use is marked.",
        figure,
    )


def favoured(choices: Sequence[ChoiceOfK], used: int) -> str:
    """Which number of clusters each measure favours, and which is in use."""
    furthest = max(choices, key=lambda choice: choice.silhouette).k
    tightest = min(choices, key=lambda choice: choice.davies_bouldin).k
    if furthest != tightest:
        return f"Silhouette favours k = {furthest}, Davies–Bouldin k = {tightest}; {used} is in use"
    return (
        f"Both measures favour k = {furthest}, "
        + ("which is" if furthest == used else f"{used} is")
        + " in use"
    )


@styled
def clusters(
    profiles: Sequence[ClusterProfile],
    shown: Mapping[str, str] = _PROFILE,
    converts: str = "convert\n(proxy)",
    note: str = " Premium views are clicks on a product priced above the mean of its category.",
) -> Plot | None:
    """Share, centre and outcome of each cluster, as one table of bars.

    Args:
        shown: features of the centre -> title of their column.
        converts: title of the column of the outcome.
        note: what else must be known to read it.
    """
    if not profiles:
        return None
    columns = [("share of\nsessions", [one.share for one in profiles], True)]
    columns += [
        (title, [one.centre[name] for one in profiles], name.startswith("pct"))
        for name, title in shown.items()
        if all(name in one.centre for one in profiles)
    ]
    columns.append((converts, [one.converted for one in profiles], True))
    figure, axes = blank(
        1,
        len(columns),
        height=0.6 + 0.36 * len(profiles),
        # A name of twelve letters takes an inch.
        margins=Margins(
            left=min(max(1.0, max(len(one.name) for one in profiles) / 13), 2.0),
            bottom=0.1,
            top=0.5,
            between=0.12,
        ),
    )
    for one, (title, values, share) in zip(axes, columns, strict=True):
        ends = one in (axes[0], axes[-1])
        one.barh(range(len(values)), values, height=0.66, color=BATCH if ends else SOFT)
        for place, value in enumerate(values):
            text = percent(value, 0) if share else number(value, 1)
            one.annotate(text, (value, place), (3, 0), textcoords="offset points", va="center")
        one.set_xlim(0, 1.9 * max(*values, 1e-9))
        one.set_ylim(len(values) - 0.5, -0.5)
        one.set_title(title, loc="left", color=MUTED)
        one.set_xticks([])
        one.set_yticks([])
        one.spines["bottom"].set_visible(False)
    axes[0].set_yticks(range(len(profiles)), [one.name for one in profiles], color=INK)
    largest = max(profiles, key=lambda one: one.share)
    likeliest = max(profiles, key=lambda one: one.converted)
    return Plot(
        "cluster-profiles",
        f"{largest.name} is the largest cluster ({percent(largest.share, 0)} of sessions),"
        f" {likeliest.name} converts most often ({percent(likeliest.converted, 0)})",
        _OVER_ALL + note,
        figure,
    )
