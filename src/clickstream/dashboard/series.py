"""The stream over the last minutes: rates, lag, open sessions and latency, each as a line over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from clickstream.dashboard import theme
from clickstream.dashboard.feed import HISTORY_S, Sample

_HEIGHT, _LEGEND = 120, 36
_FEW = 12
"""Values of a line that would hardly be seen without a point each; of one alone there is no line."""

_BLUE, _ORANGE = theme.COLOURS["batch"], theme.COLOURS["online"]


def show(history: Sequence[Sample]) -> None:
    """Show the samples, each line in a place of its own."""
    if len(history) < 2:
        return
    rows = {
        "clicks topic": [one.records for one in history],
        "scores": [one.scores for one in history],
        "lag": [one.lag for one in history],
        "open": [one.open_sessions for one in history],
        "median": [one.delay_ms and one.delay_ms[0] for one in history],
        "99 % within": [one.delay_ms and one.delay_ms[1] for one in history],
    }
    at = pd.to_datetime([one.at for one in history], unit="s", utc=True)
    frame = pd.DataFrame(rows, dtype=float).assign(at=at)
    left, right = st.columns(2, gap="large")
    with left:
        _lines(frame, ("clicks topic", "scores"), "Records per second")
        _lines(frame, ("lag",), "Lag, records")
    with right:
        _lines(frame, ("median", "99 % within"), "Latency, ms")
        _lines(frame, ("open",), "Open sessions")
    st.caption(
        f"The last {HISTORY_S // 60} minutes at most, since a page looks. Heartbeats are records, too."
    )


def _lines(frame: pd.DataFrame, names: tuple[str, ...], title: str) -> None:
    table = frame.melt("at", list(names), "line", "value").dropna()
    st.caption(title)
    encoding: dict[str, Any] = {
        "x": alt.X(
            "at:T",
            title=None,
            axis=alt.Axis(format="%H:%M:%S", tickCount=4, labelOverlap=True, labelFlush=True),
            scale=alt.Scale(domain=[_on_axis(frame["at"].iloc[0]), _on_axis(frame["at"].iloc[-1])]),
        ),
        "y": alt.Y("value:Q", title=None, scale=alt.Scale(domainMin=0), axis=alt.Axis(tickCount=3)),
        "color": alt.Color(
            "line:N",
            scale=alt.Scale(domain=list(names), range=[_BLUE, _ORANGE][: len(names)]),
            legend=None if len(names) == 1 else alt.Legend(title=None),
        ),
        "tooltip": [alt.Tooltip("at:T", format="%H:%M:%S"), "line:N", alt.Tooltip("value:Q", format=",.1f")],
    }
    # A second without a score has no latency: the line goes on to the next that has.
    drawn = (
        alt.Chart(table).mark_line(point=len(table) <= _FEW, strokeWidth=1.5, clip=True).encode(**encoding)
    )
    theme.chart(drawn, f"{title} over the last minutes.", _HEIGHT + (_LEGEND if len(names) > 1 else 0))


def _on_axis(at: pd.Timestamp) -> dict[str, Any]:
    return {"expr": f"{round(at.timestamp() * 1000)}"}
