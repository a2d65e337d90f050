"""Plots: titles that are true, colours that can be read, files that stand alone."""

from __future__ import annotations

import pytest

from clickstream.report import plots
from clickstream.report.plots.canvas import DARK, LIGHT
from clickstream.report.plots.curves import wilson
from report.judged import evaluation


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: from 1, no contrast, to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("name", "least"), [("ink", 7), ("muted", 4.5), ("batch", 4.5), ("online", 4.3), ("reference", 3.9)]
)
def test_text_is_readable_on_light_and_dark(theme: dict[str, str], name: str, least: float) -> None:
    assert contrast(theme[name], theme["surface"]) >= least


def test_a_plot_for_a_talk_carries_its_title_and_both_palettes() -> None:
    plot = plots.roc(evaluation())
    assert plot is not None
    svg = plot.standalone_svg()
    assert "Of 100 pairs of sessions" in svg
    assert "prefers-color-scheme: dark" in svg
    assert "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_titles_say_what_the_numbers_say() -> None:
    found = evaluation()
    plot = plots.choice_of_k(found.choice_of_k, 4)
    assert plot is not None
    assert plot.title == "Both measures favour k = 4, which is in use"
    other = [one.model_copy(update={"davies_bouldin": one.k / 10}) for one in found.choice_of_k]
    plot = plots.choice_of_k(other, 4)
    assert plot is not None
    assert plot.title == "Silhouette favours k = 4, Davies–Bouldin k = 2; 4 is in use"


def test_the_interval_of_a_share_is_wilsons() -> None:
    # 10 of 20: Wilson (1927) gives 0.299 to 0.701.
    bins = (
        evaluation()
        .reliability["batch"]
        .model_copy(update={"forecast": [0.5], "observed": [0.5], "sessions": [20]})
    )
    low, high = wilson(bins)
    assert low == pytest.approx([0.2993], abs=1e-4)
    assert high == pytest.approx([0.7007], abs=1e-4)
