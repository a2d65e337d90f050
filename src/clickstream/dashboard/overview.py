"""What became of the rows of a file, and what the scorers predict for it."""

from __future__ import annotations

import io
from collections.abc import Callable

import altair
import pandas as pd
import streamlit as st

from clickstream.bundles.bundle import Bundle
from clickstream.dashboard import theme
from clickstream.dashboard.results import ScoredFile
from clickstream.dashboard.unseen import Unseen, unseen_of
from clickstream.files.cleaning import CleaningReport
from clickstream.infra.words import counted
from clickstream.offline.scoring import FileScores
from clickstream.offline.writing import write_refused
from clickstream.terminal.summary_view import conversion_in_words

_REASONS_SHOWN = 100
_ROWS_SHOWN = 200
_WORTH_A_WARNING = 0.01


def show(result: ScoredFile, bundle: Bundle) -> None:
    """Show cleaning, figures and clusters of a scored file."""
    scores = result.scores
    _cleaning(scores.cleaning)
    unseen = unseen_of(result, bundle)
    _warnings(scores, unseen)
    _figures(result, unseen)
    _clusters(result)
    theme.words(conversion_in_words(scores.summary, result.shop))
    theme.words(f"Bundle {bundle.id}.")


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


def _warnings(scores: FileScores, unseen: Unseen | None) -> None:
    if unseen is not None and not unseen.withholds:
        if unseen.share < _WORTH_A_WARNING:
            st.caption(unseen.words)
        else:
            st.warning(
                f"{unseen.words} Train your own models with `clickstream train`.", icon=":material/help:"
            )
    if scores.summary.without_predictions:
        st.warning(
            f"{theme.count(scores.summary.without_predictions)} sessions have no predictions: the download"
            " says why in its column *error*.",
            icon=":material/warning:",
        )


def _figures(result: ScoredFile, unseen: Unseen | None) -> None:
    summary = result.scores.summary
    st.subheader(f"{counted(summary.sessions, 'session')}")
    if unseen is not None and unseen.withholds:
        st.warning(
            f"Averages are withheld. {unseen.words} So an average would say little of this file. Train models"
            " on it with `clickstream train`. The table and the downloads hold what was answered.",
            icon=":material/visibility_off:",
        )
        return
    honest = [name for name in result.scorers if name != theme.PUBLISHED]
    # A row a figure, a column a scorer: side by side is what they are for.
    figures: list[tuple[str, Callable[[str], str]]] = [
        ("Average conversion probability", lambda name: theme.percent(summary.mean_conversion(name))),
        ("Most common cluster", lambda name: (summary.shares(name) or [("none", 0.0)])[0][0]),
    ]
    if result.has_revenue:
        figures.insert(
            1,
            (
                "Average predicted revenue",
                lambda name: theme.money(summary.mean_revenue(name), result.currency),
            ),
        )
    for label, of in figures:
        tiles = st.columns(len(honest))
        for tile, name in zip(tiles, honest, strict=True):
            tile.metric(f"{label} · {name}", of(name), border=True)
    if theme.PUBLISHED in result.scorers:
        with st.container(border=True):
            st.caption(
                "Apart from these, the published work: it sees the click that decides, and so recovers a rule"
                " rather than predicts."
            )
            # It has the clusters of batch.
            shown = [figure for figure in figures if figure[0] != "Most common cluster"]
            for tile, (label, of) in zip(st.columns(len(shown)), shown, strict=True):
                tile.metric(f"{label} · {theme.PUBLISHED}", of(theme.PUBLISHED))


def _clusters(result: ScoredFile) -> None:
    scores = result.scores
    honest = [name for name in result.scorers if name != theme.PUBLISHED]
    rows = [
        {
            "cluster": cluster,
            "scorer": name,
            "share": share,
            "sessions": scores.summary.clusters[name][cluster],
        }
        for name in honest
        for cluster, share in scores.summary.shares(name)
    ]
    if not rows:
        return
    st.subheader("Clusters")
    drawn = (
        altair.Chart(pd.DataFrame(rows))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=altair.X(
                "cluster:N",
                sort=result.clusters,
                title=None,
                axis=altair.Axis(labelAngle=0, labelLimit=260),
            ),
            xOffset=altair.XOffset("scorer:N", sort=honest),
            y=altair.Y("share:Q", title="share of sessions", axis=altair.Axis(format="%")),
            color=altair.Color("scorer:N", scale=theme.scale(honest), title=None),
            tooltip=[
                "cluster:N",
                "scorer:N",
                altair.Tooltip("share:Q", format=".1%"),
                altair.Tooltip("sessions:Q", format=",d"),
            ],
        )
    )
    theme.chart(drawn, "Share of sessions in each cluster, by scorer.")
