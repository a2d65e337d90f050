"""What all plots share: one palette, one size of text, and SVG that follows the colours of its page.

A plot is an ordinary matplotlib Figure in the colours of a light page. In SVG each colour becomes a CSS
variable, so a page can show the same plot in the dark, and a file carries both palettes with it. The hues
are chosen after Okabe and Ito (2008), which colour-blind people can tell apart; no plot depends on colour
alone. No pyplot, and no lasting change of matplotlib's settings.
"""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clickstream.models.scorers import REGISTRY

INK = "#1f2328"
MUTED = "#5b6570"
RULE = "#d5dae0"
SURFACE = "#ffffff"
SOFT = "#bcd9ea"

COLOURS: Mapping[str, str] = {name: scorer.colour for name, scorer in REGISTRY.items()}
"""Of each scorer, in every plot."""

BATCH, ONLINE, REFERENCE = (COLOURS[name] for name in ("batch", "online", "reference"))

LIGHT = {
    "ink": INK,
    "muted": MUTED,
    "rule": RULE,
    "surface": SURFACE,
    "soft": SOFT,
    **COLOURS,
}
DARK = {
    "ink": "#e8eaed",
    "muted": "#a3adb8",
    "rule": "#363d46",
    "surface": "#14181d",
    "soft": "#274a60",
    **{name: scorer.colour_on_dark for name, scorer in REGISTRY.items()},
}
"""CSS variable -> colour; the same names in both."""

CHANCE: dict[str, Any] = {"color": MUTED, "lw": 1, "ls": (0, (3, 3))}
"""The line of what guessing gives, or of a perfect forecast."""

WIDTH, HEIGHT = 5.4, 3.5
"""Inches; 389 by 252 points, shown at up to 560 pixels."""

_TEXT = 9.0
_STYLE: dict[Any, Any] = {
    "font.size": _TEXT,
    "font.family": "sans-serif",
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": MUTED,
    "axes.labelsize": _TEXT,
    "axes.titlesize": _TEXT,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": _TEXT - 0.5,
    "ytick.labelsize": _TEXT - 0.5,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
}
_HEADER = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_SHEET = re.compile(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", re.DOTALL)
_GROUP_ID = re.compile(r'(?<=<g) id="[^"]*"')
_FAMILY = re.compile(r"font-family: [^;\"]*;?\s*")
_FONT = re.compile(r"font: (?:(\w+) )?([\d.]+px) [^;\"]*")
_OPENING = re.compile(r"<svg [^>]*>")


_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Plot:
    """A figure and the words that belong to it.

    Attributes:
        name: unique on a page; letters and hyphens.
        title: the finding, one sentence.
        note: how to read it: axes, units, what the intervals are.
    """

    name: str
    title: str
    note: str
    figure: Figure

    def inline_svg(self) -> str:
        """As an `svg` element for a page that defines the CSS variables of LIGHT.

        Equal plots give equal text. Text stays text, in the font of the page.
        """
        text = _GROUP_ID.sub("", _SHEET.sub("", _HEADER.sub("", _drawn(self.figure, self.name))))
        text = text.replace("xlink:href", "href").replace("rotate(-0 ", "rotate(0 ")
        text = _FAMILY.sub("", text)
        text = _FONT.sub(lambda found: f"font-weight: {found[1] or 'normal'}; font-size: {found[2]}", text)
        for variable, colour in LIGHT.items():
            text = text.replace(colour, f"var(--{variable}, {colour})")
        opening = (
            f'<svg viewBox="0 0 {WIDTH * 72:g} {self._height:g}" role="img"'
            f' aria-label="{html.escape(self.title)}" style="stroke-linejoin: round; stroke-linecap: butt">'
        )
        return opening + _OPENING.sub("", text, count=1).strip()

    def standalone_svg(self) -> str:
        """As an SVG file with its title, in the colours that the reader's screen prefers."""
        lines = textwrap.wrap(self.title, 50)
        width, top = WIDTH * 72, 16 * len(lines) + 14
        heading = "".join(
            f'<text x="10" y="{22 + 16 * place}" style="font-size: 12px; font-weight: 600; fill: var(--ink)">'
            f"{html.escape(line)}</text>"
            for place, line in enumerate(lines)
        )
        light, dark = (
            ";".join(f"--{key}:{value}" for key, value in theme.items()) for theme in (LIGHT, DARK)
        )
        place = f'<svg y="{top}" width="{width:g}" height="{self._height:g}" '
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {self._height + top:g}"'
            f' width="{2 * width:g}" height="{2 * (self._height + top):g}"'
            " font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n"
            f"<style>svg{{{light}}}@media (prefers-color-scheme: dark){{svg{{{dark}}}}}</style>\n"
            f'<rect width="100%" height="100%" rx="6" style="fill: var(--surface)"/>\n{heading}\n'
            f"{self.inline_svg().replace('<svg ', place, 1)}\n</svg>\n"
        )

    def _repr_png_(self) -> bytes:
        """How a notebook shows it."""
        raw = io.BytesIO()
        with matplotlib.rc_context(_STYLE):
            heading = self.figure.text(
                0.02, 1.03, textwrap.fill(self.title, 62), va="bottom", weight="bold", size=_TEXT + 1
            )
            self.figure.savefig(raw, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
        heading.remove()
        return raw.getvalue()

    @property
    def _height(self) -> float:
        return float(self.figure.get_figheight()) * 72


class Margins(NamedTuple):
    """Inches around and between axes."""

    left: float = 0.62
    right: float = 0.14
    bottom: float = 0.5
    top: float = 0.14
    between: float = 0.5


_MARGINS = Margins()


def styled(draw: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
    """A function that draws, in the style of all plots: matplotlib reads it as each part is made."""

    @wraps(draw)
    def drawn(*args: _Given.args, **kwargs: _Given.kwargs) -> _Made:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def line_of(scorer: str) -> str:
    """The line of each scorer, so that they differ without colour too."""
    return REGISTRY[scorer].line if scorer in REGISTRY else "-"


def name_ends(axes: Axes, ends: dict[str, float], x: float) -> None:
    """Write each name beside the end of its line, at least a line of text apart."""
    low, high = axes.get_ylim()
    apart = 0.075 * (high - low)
    below = high + apart
    for name, y in sorted(ends.items(), key=lambda end: -end[1]):
        below = min(y, below - apart)
        axes.annotate(
            name, (x, below), va="center", color=COLOURS.get(name, INK), weight="bold", annotation_clip=False
        )


def blank(
    rows: int = 1,
    columns: int = 1,
    height: float = HEIGHT,
    margins: Margins = _MARGINS,
    ratios: tuple[float, ...] | None = None,
) -> tuple[Figure, list[Axes]]:
    """An empty figure with its axes, row by row. `height` in inches; `ratios` of the heights of rows."""
    figure = Figure(figsize=(WIDTH, height), facecolor=SURFACE)
    # Fixed, because matplotlib's own layout draws each figure twice to measure it.
    inner = (WIDTH - margins.left - margins.right - (columns - 1) * margins.between) / columns
    inner_height = (height - margins.bottom - margins.top - (rows - 1) * margins.between) / rows
    figure.subplots_adjust(
        left=margins.left / WIDTH,
        right=1 - margins.right / WIDTH,
        bottom=margins.bottom / height,
        top=1 - margins.top / height,
        wspace=margins.between / inner,
        hspace=margins.between / inner_height,
    )
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False, height_ratios=ratios).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(length=0, pad=4)
    return figure, axes


def _drawn(figure: Figure, salt: str) -> str:
    raw = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure.savefig(raw, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return raw.getvalue()
