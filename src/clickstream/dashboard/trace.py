"""One session click by click, and how the predictions moved with each."""

from __future__ import annotations

from typing import Any

import altair
import pandas as pd
import streamlit as st

from clickstream.bundles.bundle import Bundle
from clickstream.dashboard import theme
from clickstream.dashboard.results import ScoredFile
from clickstream.features.shop import UCI553
from clickstream.infra.words import counted
from clickstream.offline import SessionTrace, trace_session

_AMOUNT = {"$": "$,.0f"}
"""Of a chart; it knows the sign of the dollar alone."""

_FIELDS: dict[str, dict[str, Any]] = {
    UCI553.definition.name: {
        "price": st.column_config.NumberColumn("price", format="%.2f"),
        "price_2": st.column_config.NumberColumn("price 2", help="1: above the category's mean, 2: not"),
    }
}


def show(key: str, place: int | None, result: ScoredFile, bundle: Bundle) -> None:
    """Show the session at `place` of the result called `key`, click by click."""
    if place is None:
        return
    trace = _trace(key, place, result, bundle)
    st.subheader("One session")
    window = f", window {trace.window}" if trace.window > 1 else ""
    theme.words(f"{trace.session_id}{window} · {trace.day} · {counted(len(trace.clicks), 'click')}")
    _moved(trace, result)
    _clicks(trace, result)
    with st.expander("Features of the session at its end", icon=":material/functions:"):
        # As texts: the values are of several kinds.
        features = [(name, _text(value)) for name, value in trace.clicks[-1].features.items()]
        st.dataframe(
            pd.DataFrame(features, columns=["feature", "value"]),
            hide_index=True,
            alt="Features and their values",
        )


def _trace(key: str, place: int, result: ScoredFile, bundle: Bundle) -> SessionTrace:
    """The trace, made once: it takes up to half a second, and a tab draws it at each interaction."""
    kept: tuple[str, int, SessionTrace] | None = st.session_state.get("trace")
    if kept is not None and kept[:2] == (key, place):
        return kept[2]
    with st.spinner("reading the session's clicks again"):
        trace = trace_session(result.scores, place, bundle)
    st.session_state["trace"] = (key, place, trace)
    return trace


def _moved(trace: SessionTrace, result: ScoredFile) -> None:
    rows = [
        {
            "click": click.number,
            "scorer": name,
            "conversion": click.predictions[name].conversion,
            "revenue": click.predictions[name].revenue,
            "cluster": click.predictions[name].cluster_name,
        }
        for click in trace.clicks
        for name in result.scorers
    ]
    frame = pd.DataFrame(rows)
    tip = [
        "click:Q",
        "scorer:N",
        altair.Tooltip("conversion:Q", format=".1%"),
        *([altair.Tooltip("revenue:Q", format=",.2f")] if result.has_revenue else []),
        "cluster:N",
    ]
    base = (
        altair.Chart(frame)
        .mark_line(
            point=len(trace.clicks) <= 60, interpolate="step-after" if len(trace.clicks) > 1 else "linear"
        )
        .encode(
            x=altair.X("click:Q", title="click", axis=altair.Axis(tickMinStep=1, format="d")),
            color=altair.Color("scorer:N", scale=theme.scale(result.scorers), title=None),
            tooltip=tip,
        )
    )
    left, right = st.columns(2) if result.has_revenue else (st.container(), None)
    with left:
        st.caption("Conversion, had the session ended with this click")
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
        st.caption("Revenue, had the session ended with this click")
        theme.chart(
            base.encode(
                y=altair.Y(
                    "revenue:Q", title=None, axis=altair.Axis(format=_AMOUNT.get(result.currency, ",.0f"))
                )
            ),
            "Predicted revenue after each click, a line for each scorer.",
        )


def _clicks(trace: SessionTrace, result: ScoredFile) -> None:
    rows = [
        {
            "click": click.number,
            "time": None if click.event_time is None else pd.Timestamp(click.event_time, unit="ms", tz="UTC"),
            **{_field(name): value for name, value in click.fields.items()},
            **{f"conv. {name}": 100 * click.predictions[name].conversion for name in result.scorers},
            "cluster, batch": click.predictions["batch"].cluster_name,
        }
        for click in trace.clicks
    ]
    frame = pd.DataFrame(rows)
    if trace.clicks[0].event_time is None:
        frame = frame.drop(columns="time")
    st.dataframe(
        frame,
        hide_index=True,
        height=min(38 + 35 * len(frame), 320),
        column_config={
            **_FIELDS.get(result.shop.definition.name, {}),
            "time": st.column_config.DatetimeColumn("time (UTC)", format="YYYY-MM-DD HH:mm:ss"),
        }
        | {f"conv. {name}": st.column_config.NumberColumn(format="%.1f%%") for name in result.scorers},
        key="trace_clicks",
        alt="The clicks of the session in order, with what each scorer said after each",
    )


def _field(name: str) -> str:
    """A column for a field, which may be called like another one."""
    return f"{name} " if name in ("click", "time") else name


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
