"""The one visual language of all pages. Numbers with units, colours, charts, and what a page says when
there is nothing, when something takes time, and when something failed.

What comes from a file or a topic goes to the screen through `st.text`, a table or a chart, never through
Markdown or HTML: a page shows it, letter by letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import altair
import streamlit as st

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.bundles.champion import CHAMPION, bundle_ids, locate
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.settings import Settings, load_settings
from clickstream.local.servers import with_running_servers
from clickstream.models.clusters import NAMES
from clickstream.models.scorers import REGISTRY
from clickstream.terminal.printable import printable

COLOURS: dict[str, str] = {
    **{name: scorer.colour_on_any for name, scorer in REGISTRY.items()},
    "long": "#7f63cf",
    "exploratory": "#1b998b",
    "short_premium": "#b97d10",
    "short_budget": "#cf4f8b",
}
"""Colours of the scorers and clusters, which the colour-blind can tell apart, with a contrast of 3 and more
on both backgrounds.
"""

CLUSTERS = NAMES

HEIGHT = 280
"""Of a chart, in pixels."""

_LINES_SHOWN = 20


def percent(share: float, places: int = 1) -> str:
    """A share as a percentage: 0.4234 -> "42.3%"."""
    return f"{share:.{places}%}"


def dollars(amount: float, currency: str = "$") -> str:
    """An amount: 43.614 -> "$43.61". For a shop whose currency is not known, give an empty one."""
    return f"{currency}{amount:,.2f}"


def count(number: float) -> str:
    """A number with its thousands apart: 24026 -> "24,026"."""
    return f"{number:,.0f}"


@st.cache_resource(ttl=5, show_spinner=False)
def settings() -> Settings:
    """The settings of this process, with the addresses of servers that `up` or `demo` run now."""
    return with_running_servers(load_settings())


def bundle() -> Bundle | None:
    """The bundle in use, read once and again when another one is promoted; None where none was trained.

    Raises:
        BundleError: there is one, and it cannot be used here.
    """
    chosen = settings()
    if chosen.bundle == CHAMPION and not bundle_ids(chosen.bundles):
        return None
    return _load(str(locate(chosen.bundles, chosen.bundle)), chosen)


@st.cache_resource(max_entries=2, show_spinner="reading the models")
def _load(path: str, _chosen: Settings) -> Bundle:
    return load_bundle(_chosen, Path(path))


def scale(names: tuple[str, ...]) -> altair.Scale:
    """Scorers or clusters in their colours, for `altair.Color("scorer:N", scale=…)`."""
    return altair.Scale(domain=list(names), range=[COLOURS[name] for name in names])


def chart(drawn: altair.Chart | altair.LayerChart, alt: str, height: int = HEIGHT) -> None:
    """A chart over the full width of its place; `alt` says in a sentence what it shows, for a screen reader.

    Altair's own texts (axes, tooltips) are drawn as text: names and values of others may be in them.
    """
    placed = drawn.properties(height=height).configure_legend(orient="top", title=None, padding=0, offset=8)
    st.altair_chart(placed, width="stretch", alt=alt)


def problem(error: ClickstreamError) -> None:
    """Show what failed, and what to do. The error may hold text of others."""
    st.error("**This did not work**", icon=":material/error:")
    words(error.what)
    if error.remedy:
        words(error.remedy)


def nothing(title: str, what_to_do: str) -> None:
    """Show that there is nothing yet. Both texts are ours, and may be Markdown."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"#### {title}", text_alignment="center")
        st.markdown(what_to_do, text_alignment="center")


def no_bundle() -> None:
    """Show that there are no models yet."""
    nothing(
        "No models yet",
        "Train them once, on the dataset or on your own clicks: `clickstream train`. This page finds them by"
        " itself.",
    )


def words(text: str) -> None:
    """Show text of others as it is: no Markdown, no HTML, no control characters; long ones are cut."""
    lines = text.splitlines()
    shown = [printable(line)[:1_000] for line in lines[:_LINES_SHOWN]]
    if len(lines) > _LINES_SHOWN:
        shown.append(f"… and {len(lines) - _LINES_SHOWN} lines more")
    st.text("\n".join(shown))


@contextmanager
def guarded() -> Iterator[None]:
    """Within the block an error of ours is shown in place of what would follow."""
    try:
        yield
    except ClickstreamError as error:
        problem(error)
