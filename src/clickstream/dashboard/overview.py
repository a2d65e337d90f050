"""What became of the rows of a file, and what the scorers predict for it."""

from __future__ import annotations

import io
from collections.abc import Callable

import altair
import pandas as pd
import streamlit as st

from clickstream.dashboard import theme
from clickstream.dashboard.results import ScoredFile
from clickstream.files.cleaning import CleaningReport
from clickstream.infra.words import counted
from clickstream.offline import FileScores, write_refused
from clickstream.records.scorers import SCORERS

_REASONS_SHOWN = 100
_ROWS_SHOWN = 200
_WORTH_A_WARNING = 0.01


def show(result: ScoredFile, bundle_id: str) -> None:
    """Show cleaning, figures and clusters of a scored file."""
    scores = result.scores
    _cleaning(scores.cleaning)
    _warnings(scores)
    _figures(result)
    _clusters(scores)
    st.caption(
        "Conversion and revenue are proxies, by a rule over the last click of a session:"
        f" {theme.count(scores.summary.converted)} sessions meet it. batch and online never see that click,"
        f" reference does. Bundle `{bundle_id}`."
    )


def _cleaning(cleaning: CleaningReport) -> None:
    refused = len(cleaning.refused)
    st.subheader("Rows of the file")
    theme.words(cleaning.name)
    tiles = st.columns(4 if cleaning.skipped else 3)
    tiles[0].metric("Rows read", theme.count(cleaning.rows), border=True)
    tiles[1].metric("Kept", theme.count(cleaning.kept), border=True)
    tiles[2].metric("Refused", theme.count(refused), border=True)
    if cleaning.skipped:
        tiles[3].metric("Skipped by the mapping", theme.count(cleaning.skipped), border=True)
    for note in cleaning.notes:
        theme.words(note)
    if not refused:
        return
    with st.expander(
        f"Why {theme.count(refused)} rows were refused", icon=":material/rule:", expanded=refused < 20
    ):
        left, right = st.columns([1, 2])
        left.dataframe(
            pd.DataFrame(list(cleaning.reasons.items())[:_REASONS_SHOWN], columns=["reason", "rows"]),
            hide_index=True,
            alt="Refused rows by reason",
        )
        right.dataframe(
            pd.DataFrame(cleaning.refused[:_ROWS_SHOWN], columns=["line", "reason", "detail", "text"]),
            hide_index=True,
            height=240,
            alt="The first refused rows: line, reason, detail and text",
        )
        if refused > _ROWS_SHOWN:
            right.caption(f"The first {_ROWS_SHOWN}; the download has all.")
        st.download_button(
            "Refused rows, CSV",
            lambda: _refused(cleaning),
            "refused.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/download:",
            key="refused-rows",
        )


def _refused(cleaning: CleaningReport) -> bytes:
    stream = io.BytesIO()
    write_refused(cleaning, stream)
    return stream.getvalue()


def _warnings(scores: FileScores) -> None:
    unknown, summary = scores.unknown, scores.summary
    if unknown is not None and unknown.clicks:
        words = (
            f"{theme.count(unknown.clicks)} of {theme.count(scores.cleaning.kept)} clicks show what the"
            f" models do not know ({counted(unknown.products, 'product')},"
            f" {theme.count(unknown.categories)} categories): they answer as if nothing were shown there."
        )
        if unknown.clicks < _WORTH_A_WARNING * scores.cleaning.kept:
            st.caption(words)
        else:
            st.warning(f"{words} Train your own models with `clickstream train`.", icon=":material/help:")
    if summary.without_predictions:
        st.warning(
            f"{theme.count(summary.without_predictions)} sessions have no predictions: the download says"
            " why in its column *error*.",
            icon=":material/warning:",
        )


def _figures(result: ScoredFile) -> None:
    summary = result.scores.summary
    st.subheader(f"{counted(summary.sessions, 'session')}")
    # A row a figure, a column a scorer: side by side is what they are for.
    figures: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("Average conversion probability", lambda name: theme.percent(summary.mean_conversion(name))),
        (
            "Average predicted revenue",
            lambda name: theme.dollars(summary.mean_revenue(name), result.currency),
        ),
        ("Most common cluster", lambda name: (summary.shares(name) or [("none", 0.0)])[0][0]),
    )
    for label, of in figures:
        tiles = st.columns(len(SCORERS))
        for tile, name in zip(tiles, SCORERS, strict=True):
            tile.metric(f"{label} · {name}", of(name), border=True)


def _clusters(scores: FileScores) -> None:
    rows = [
        {
            "cluster": cluster,
            "scorer": name,
            "share": share,
            "sessions": scores.summary.clusters[name][cluster],
        }
        for name in SCORERS
        for cluster, share in scores.summary.shares(name)
    ]
    if not rows:
        return
    st.subheader("Clusters")
    drawn = (
        altair.Chart(pd.DataFrame(rows))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=altair.X("cluster:N", sort=list(theme.CLUSTERS), title=None, axis=altair.Axis(labelAngle=0)),
            xOffset=altair.XOffset("scorer:N", sort=list(SCORERS)),
            y=altair.Y("share:Q", title="share of sessions", axis=altair.Axis(format="%")),
            color=altair.Color("scorer:N", scale=theme.scale(SCORERS), title=None),
            tooltip=[
                "cluster:N",
                "scorer:N",
                altair.Tooltip("share:Q", format=".1%"),
                altair.Tooltip("sessions:Q", format=",d"),
            ],
        )
    )
    theme.chart(drawn, "Share of sessions in each cluster, by batch, online and reference.")
