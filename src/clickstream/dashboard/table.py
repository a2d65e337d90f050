"""The sessions of a scored file, to filter, sort, choose one of, and download."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from clickstream.dashboard import theme
from clickstream.dashboard.results import ScoredFile
from clickstream.infra.words import counted
from clickstream.offline.writing import FileFormat, as_bytes

MOST_SHOWN = 50_000
"""Rows sent to the browser; the download has all."""

_CLUSTERING = ("batch", "online")
_FORMATS: tuple[tuple[FileFormat, str, str], ...] = (
    ("csv", "CSV", "text/csv"),
    ("jsonl", "JSON lines", "application/jsonl"),
    ("parquet", "Parquet", "application/vnd.apache.parquet"),
)


def show(result: ScoredFile) -> int | None:
    """Show filters, table and downloads; return the place of the chosen session, None where none passes."""
    st.subheader("Sessions")
    frame = result.frame
    found = frame[_filters(result)]
    whole = len(found) == len(frame)
    st.caption(
        (
            f"All {counted(len(frame), 'session')}."
            if whole
            else f"{theme.count(len(found))} of {counted(len(frame), 'session')}."
        )
        + (f" The first {theme.count(MOST_SHOWN)} are shown." if len(found) > MOST_SHOWN else "")
        + " Select a row to see its clicks below; a click on a heading sorts."
    )
    if found.empty:
        theme.nothing("No session passes", "Widen the filters above.")
        return None
    shown = found.head(MOST_SHOWN)
    event = st.dataframe(
        _view(result, shown),
        hide_index=True,
        height=360,
        column_config=_columns(result),
        on_select="rerun",
        selection_mode="single-row",
        key="sessions",
        alt="The sessions with what each scorer says of them",
    )
    _downloads(result, found, whole)
    rows = event.selection.rows
    place = rows[0] if rows and rows[0] < len(shown) else 0
    return int(shown.index[place])


def _filters(result: ScoredFile) -> pd.Series[bool]:
    frame = result.frame
    first, second, third, fourth, fifth = st.columns([2, 3, 3, 3, 3])
    scorer = first.selectbox(
        "Scorer",
        result.scorers,
        key="scorer",
        persist_state="session",
        help="Whose cluster and conversion are meant",
    )
    # What was chosen of one file may be no choice of the next: then it is another filter.
    clusters = second.multiselect(
        "Cluster",
        result.clusters,
        key=f"clusters {result.clusters}",
        persist_state="session",
        placeholder="any",
    )
    low, high = third.slider("Conversion, %", 0, 100, (0, 100), key="conversion", persist_state="session")
    most = max(int(frame["clicks"].max()), 2)
    fewest, longest = fourth.slider(
        "Clicks", 1, most, (1, most), key=f"clicks {most}", persist_state="session"
    )
    text = fifth.text_input(
        "Session id contains", key="contains", persist_state="session", placeholder="any"
    ).strip()
    passes = frame["clicks"].between(fewest, longest)
    if clusters:
        passes &= frame[f"{scorer}_cluster_name"].isin(clusters)
    if (low, high) != (0, 100):
        passes &= frame[f"{scorer}_conversion"].between(low / 100, high / 100)
    if text:
        passes &= frame["session_id"].str.contains(text, regex=False)
    return passes


def _view(result: ScoredFile, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that fit on a screen. batch and reference share their clusters."""
    names = ["session_id", "window", "day", "clicks"]
    if frame["window"].max() == 1:
        names.remove("window")
    names += [f"{scorer}_conversion" for scorer in result.scorers]
    if result.has_revenue:
        names += [f"{scorer}_revenue" for scorer in result.scorers]
    names += [f"{scorer}_cluster_name" for scorer in _CLUSTERING]
    view = frame[[*names, "converted"]].copy()
    for scorer in result.scorers:
        view[f"{scorer}_conversion"] *= 100
    return view


def _columns(result: ScoredFile) -> dict[str, Any]:
    column = st.column_config
    config: dict[str, Any] = {
        "session_id": column.TextColumn("session", pinned=True),
        "day": column.DateColumn("day", format="YYYY-MM-DD"),
        "converted": (
            column.CheckboxColumn("goal met", help="Whether a click met the goal of the shop")
            if result.shop.is_event_goal
            else column.CheckboxColumn("rule met", help="The proxy outcome, by the last click")
        ),
    }
    for scorer in result.scorers:
        config[f"{scorer}_conversion"] = column.NumberColumn(f"conv. {scorer}", format="%.1f%%")
        config[f"{scorer}_revenue"] = column.NumberColumn(f"rev. {scorer}", format=f"{result.currency}%.2f")
    for name in _CLUSTERING:
        config[f"{name}_cluster_name"] = column.TextColumn(f"cluster {name}")
    return config


def _downloads(result: ScoredFile, found: pd.DataFrame, whole: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        for format, label, mime in _FORMATS:
            st.download_button(
                f"{counted(len(found), 'session')}, {label}",
                partial(written, result, None if whole else found.index.tolist(), format),
                f"sessions.{format}",
                mime,
                on_click="ignore",
                icon=":material/download:",
                key=f"download-{format}",
            )


def written(result: ScoredFile, places: list[int] | None, format: FileFormat) -> bytes:
    """The sessions at `places`, None for all, as a file."""
    sessions = result.scores.sessions
    if places is not None:
        sessions = sessions.at(places)
    return as_bytes(sessions, format)
