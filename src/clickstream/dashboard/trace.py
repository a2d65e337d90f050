"""One session click by click, and how the predictions moved with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair
import pandas as pd
import streamlit as st

from clickstream.bundles.bundle import Bundle
from clickstream.dashboard import theme
from clickstream.dashboard.results import ScoredFile
from clickstream.features.shop import UCI553, Shop
from clickstream.infra.words import counted
from clickstream.offline.trace import SessionTrace, TracedClick, trace_session

_AMOUNT = {"$": "$,.0f"}
"""Of a chart; it knows the sign of the dollar alone."""

_FIELDS: dict[str, dict[str, Any]] = {
    UCI553.definition.name: {
        "price": st.column_config.NumberColumn("price", format="%.2f"),
        "price_2": st.column_config.NumberColumn("price 2", help="1: above the category's mean, 2: not"),
    }
}


class TracedShop(NamedTuple):
    """Whose sessions are shown: the shop, the scorers that answered, and what stands before an amount."""

    shop: Shop
    scorers: Sequence[str]
    currency: str

    @property
    def has_revenue(self) -> bool:
        """Whether a conversion of the shop has a value."""
        return self.shop.definition.goal.value is not None


def show(key: str, place: int | None, result: ScoredFile, bundle: Bundle) -> None:
    """Show the session at `place` of the result called `key`, click by click."""
    if place is None:
        return
    trace = _trace(key, place, result, bundle)
    st.subheader("One session")
    window = f", window {trace.window}" if trace.window > 1 else ""
    theme.words(f"{trace.session_id}{window} · {trace.day} · {counted(len(trace.clicks), 'click')}")
    of = TracedShop(result.shop, result.scorers, result.currency)
    moved(trace.clicks, of, "had the session ended with this click")
    clicks_table(trace.clicks, of)
    features_table(trace.clicks[-1].features, "Features of the session at its end")


def _trace(key: str, place: int, result: ScoredFile, bundle: Bundle) -> SessionTrace:
    """The trace, made once: it takes up to half a second, and a tab draws it at each interaction."""
    kept: tuple[str, int, SessionTrace] | None = st.session_state.get("trace")
    if kept is not None and kept[:2] == (key, place):
        return kept[2]
    with st.spinner("reading the session's clicks again"):
        trace = trace_session(result.scores, place, bundle)
    st.session_state["trace"] = (key, place, trace)
    return trace


def moved(clicks: Sequence[TracedClick], of: TracedShop, when: str) -> None:
    """Draw how the predictions moved with each click; `when` says in words what each of them is."""
    rows = [
        {
            "click": click.number,
            "scorer": name,
            "conversion": click.predictions[name].conversion,
            "revenue": click.predictions[name].revenue,
            "cluster": click.predictions[name].cluster_name,
        }
        for click in clicks
        for name in of.scorers
    ]
    frame = pd.DataFrame(rows)
    tip = [
        "click:Q",
        "scorer:N",
        altair.Tooltip("conversion:Q", format=".1%"),
        *([altair.Tooltip("revenue:Q", format=",.2f")] if of.has_revenue else []),
        "cluster:N",
    ]
    base = (
        altair.Chart(frame)
        .mark_line(point=len(clicks) <= 60, interpolate="step-after" if len(clicks) > 1 else "linear")
        .encode(
            x=altair.X("click:Q", title="click", axis=altair.Axis(tickMinStep=1, format="d")),
            color=altair.Color("scorer:N", scale=theme.scale(of.scorers), title=None),
            tooltip=tip,
        )
    )
    left, right = st.columns(2) if of.has_revenue else (st.container(), None)
    with left:
        st.caption(f"Conversion, {when}")
        theme.chart(
            base.encode(
                y=altair.Y(
                    "conversion:Q",
                    title=None,
                    axis=altair.Axis(format="%"),
                    scale=altair.Scale(domain=[0, 1]),
                )
            ),
            "Conversion probability after each click, a line for each scorer.",
        )
    if right is None:
        return
    with right:
        st.caption(f"Revenue, {when}")
        theme.chart(
            base.encode(
                y=altair.Y("revenue:Q", title=None, axis=altair.Axis(format=_AMOUNT.get(of.currency, ",.0f")))
            ),
            "Predicted revenue after each click, a line for each scorer.",
        )


def clicks_table(clicks: Sequence[TracedClick], of: TracedShop) -> None:
    """Show the clicks in order, with what each scorer said after each."""
    rows = [
        {
            "click": click.number,
            "time": None if click.event_time is None else pd.Timestamp(click.event_time, unit="ms", tz="UTC"),
            **{_field(name): value for name, value in click.fields.items()},
            **{f"conv. {name}": 100 * click.predictions[name].conversion for name in of.scorers},
            "cluster, batch": click.predictions["batch"].cluster_name,
        }
        for click in clicks
    ]
    frame = pd.DataFrame(rows)
    if clicks[0].event_time is None:
        frame = frame.drop(columns="time")
    st.dataframe(
        frame,
        hide_index=True,
        height=min(38 + 35 * len(frame), 320),
        column_config={
            **_FIELDS.get(of.shop.definition.name, {}),
            "time": st.column_config.DatetimeColumn("time (UTC)", format="YYYY-MM-DD HH:mm:ss"),
        }
        | {f"conv. {name}": st.column_config.NumberColumn(format="%.1f%%") for name in of.scorers},
        key="trace_clicks",
        alt="The clicks of the session in order, with what each scorer said after each",
    )


def features_table(features: Mapping[str, Any], title: str) -> None:
    """Show features and their values, below a title that opens them."""
    with st.expander(title, icon=":material/functions:"):
        # As texts: the values are of several kinds.
        rows = [(name, text(value)) for name, value in features.items()]
        st.dataframe(
            pd.DataFrame(rows, columns=["feature", "value"]),
            hide_index=True,
            alt="Features and their values",
        )


def _field(name: str) -> str:
    """A column for a field, which may be called like another one."""
    return f"{name} " if name in ("click", "time") else name


def text(value: object) -> str:
    """A value as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
