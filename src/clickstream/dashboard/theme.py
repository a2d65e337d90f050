"""The one visual language of all pages. Numbers with units, colours, charts, and what a page says when
there is nothing, when something takes time, and when something failed.

What comes from a file or a topic goes to the screen through `st.text`, a table or a chart, never through
Markdown or HTML: a page shows it, letter by letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import altair
import streamlit as st

from clickstream.bundles.bundle import Bundle, load_bundle
from clickstream.bundles.champion import CHAMPION, bundle_ids, bundles_of, locate
from clickstream.bundles.store import bring
from clickstream.features.shop import UCI553, Shop
from clickstream.infra.errors import ClickstreamError, of_system
from clickstream.infra.settings import Settings, load_settings
from clickstream.local.servers import with_running_servers
from clickstream.models.clusters import NAMES
from clickstream.models.scorers import REGISTRY
from clickstream.records.shops import load_shop
from clickstream.terminal.printable import printable
from clickstream.terminal.summary_view import currency_of

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

_OTHER_CLUSTERS = (*(COLOURS[name] for name in NAMES), "#2f7fd1", "#d9730d", "#868e99", "#c0392b")
"""Of the clusters of any other shop, in the order of their names."""

PUBLISHED = "reference"
"""The scorer that stands apart: it exists for uci553 alone, and sees what it is asked for."""

HEIGHT = 280
"""Of a chart, in pixels."""

_LINES_SHOWN = 20


def percent(share: float, places: int = 1) -> str:
    """A share as a percentage: 0.4234 -> "42.3%"."""
    return f"{share:.{places}%}"


def money(amount: float, currency: str) -> str:
    """An amount of money: 43.614 -> "$43.61". For a shop whose currency is not known, give an empty one."""
    return f"{currency}{amount:,.2f}"


def count(number: float) -> str:
    """A number with its thousands apart: 24026 -> "24,026"."""
    return f"{number:,.0f}"


@st.cache_resource(ttl=5, show_spinner=False)
def settings() -> Settings:
    """The settings of this process, with the addresses of servers that `up` or `demo` run now."""
    return with_running_servers(load_settings())


def shop() -> Shop:
    """The shop that the settings name.

    Raises:
        ConfigurationError: it cannot be used.
    """
    return load_shop(settings().shop)


def currency(of: Shop) -> str:
    """What stands before an amount of this shop."""
    return "$" if of is UCI553 else currency_of(of)


def bundle() -> Bundle | None:
    """The bundle in use, read once and again when another one is promoted; None where none was trained.

    Raises:
        BundleError: there is one, and it cannot be used here.
        UnavailableError, ConfigurationError: the store of bundles does not answer, or refuses.
    """
    chosen = settings()
    folder = bundles_of(chosen.bundles, shop().definition.name)
    _bring(chosen, shop().definition.name)
    if chosen.bundle == CHAMPION and not bundle_ids(folder):
        return None
    return _load(str(locate(folder, chosen.bundle)), chosen)


@st.cache_resource(ttl=5, show_spinner=False)
def _bring(_chosen: Settings, of: str) -> None:
    bring(_chosen, of, _chosen.bundle)


@st.cache_resource(max_entries=2, show_spinner="reading the models")
def _load(path: str, _chosen: Settings) -> Bundle:
    return load_bundle(_chosen, Path(path))


def scale(names: Sequence[str]) -> altair.Scale:
    """Scorers or clusters in their colours, for `altair.Color("scorer:N", scale=…)`."""
    others = iter(_OTHER_CLUSTERS * (1 + len(names) // len(_OTHER_CLUSTERS)))
    return altair.Scale(domain=list(names), range=[COLOURS.get(name) or next(others) for name in names])


def clusters(of: Shop, seen: Iterable[str] = ()) -> list[str]:
    """Names of the clusters of a shop, in the order in which pages show them; `seen`: those of its scores."""
    return list(NAMES) if of is UCI553 else sorted(set(seen))


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
    named = settings().shop
    if named == UCI553.definition.name:
        how = "Train them once, on the dataset or on your own clicks: `clickstream train`."
    else:
        # A file's name may hold what Markdown reads.
        how = "Train them once, on a log of this shop: `clickstream train --shop … --data … --mapping …`."
    nothing("No models yet", f"{how} This page finds them by itself.")


def words(text: str) -> None:
    """Show text of others as it is: no Markdown, no HTML, no control characters; long ones are cut."""
    lines = text.splitlines()
    shown = [printable(line)[:1_000] for line in lines[:_LINES_SHOWN]]
    if len(lines) > _LINES_SHOWN:
        shown.append(f"… and {len(lines) - _LINES_SHOWN} lines more")
    st.text("\n".join(shown))


@contextmanager
def guarded() -> Iterator[None]:
    """Within the block an error of ours, or of the system, is shown in place of what would follow."""
    try:
        yield
    except ClickstreamError as error:
        problem(error)
    except OSError as error:
        known = of_system(error)
        if known is None:
            raise
        problem(known)
