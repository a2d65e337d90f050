"""One session click by click, and how the predictions moved with each."""

from __future__ import annotations

import altair
import pandas as pd
import streamlit as st

from clickstream.bundles.bundle import Bundle
from clickstream.dashboard import theme
from clickstream.dashboard.results import ScoredFile
from clickstream.infra.words import counted
from clickstream.offline import SessionTrace, trace_session
from clickstream.records.scorers import SCORERS


def show(key: str, place: int | None, result: ScoredFile, bundle: Bundle) -> None:
    """Show the session at `place` of the result called `key`, click by click."""
    if place is None:
        return
    trace = _trace(key, place, result, bundle)
    st.subheader("One session")
    window = f", window {trace.window}" if trace.window > 1 else ""
    theme.words(f"{trace.session_id}{window} · {trace.day} · {counted(len(trace.clicks), 'click')}")
    _moved(trace, result.currency)
    _clicks(trace)
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


def _moved(trace: SessionTrace, currency: str) -> None:
    rows = [
        {
            "click": click.number,
            "scorer": name,
            "conversion": click.predictions[name].conversion,
            "revenue": click.predictions[name].revenue,
            "cluster": click.predictions[name].cluster_name,
        }
        for click in trace.clicks
        for name in SCORERS
    ]
    frame = pd.DataFrame(rows)
    tip = [
        "click:Q",
        "scorer:N",
        altair.Tooltip("conversion:Q", format=".1%"),
        altair.Tooltip("revenue:Q", format=",.2f"),
        "cluster:N",
    ]
    base = (
        altair.Chart(frame)
        .mark_line(
            point=len(trace.clicks) <= 60, interpolate="step-after" if len(trace.clicks) > 1 else "linear"
        )
        .encode(
            x=altair.X("click:Q", title="click", axis=altair.Axis(tickMinStep=1, format="d")),
            color=altair.Color("scorer:N", scale=theme.scale(SCORERS), title=None),
            tooltip=tip,
        )
    )
    left, right = st.columns(2)
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
    with right:
        st.caption("Revenue, had the session ended with this click")
        theme.chart(
            base.encode(y=altair.Y("revenue:Q", title=None, axis=altair.Axis(format=f"{currency},.0f"))),
            "Predicted revenue after each click, a line for each scorer.",
        )


def _clicks(trace: SessionTrace) -> None:
    rows = [
        {
            "click": click.number,
            "time": None if click.event_time is None else pd.Timestamp(click.event_time, unit="ms", tz="UTC"),
            "product": click.product,
            "category": click.category,
            "price": click.price,
            "price_2": click.price_2,
            "page": click.page,
            **{name: 100 * click.predictions[name].conversion for name in SCORERS},
            "cluster": click.predictions["batch"].cluster_name,
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
            "price": st.column_config.NumberColumn("price", format="%.2f"),
            "price_2": st.column_config.NumberColumn("price 2", help="1: above the category's mean, 2: not"),
            "time": st.column_config.DatetimeColumn("time (UTC)", format="YYYY-MM-DD HH:mm:ss"),
        }
        | {name: st.column_config.NumberColumn(f"conv. {name}", format="%.1f%%") for name in SCORERS},
        key="trace_clicks",
        alt="The clicks of the session in order, with what each scorer said after each",
    )


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
