"""The closed sessions on page *Live*: averages, how good the scorers are, clusters, drift, last scores."""

from __future__ import annotations

import datetime
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from clickstream.dashboard import theme
from clickstream.dashboard.feed import WINDOW, FeedSnapshot
from clickstream.features.shop import UCI553
from clickstream.features.words import goal_in_words
from clickstream.infra.words import counted
from clickstream.models.quality import Quality
from clickstream.models.scorers import scorers_of


def show(now: FeedSnapshot) -> None:
    """Show what the scores that arrived say."""
    if not now.window.sessions:
        st.caption("No session of this shop has been scored since this page looks.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        _averages(now)
    with right:
        _quality(now)
    _clusters(now)
    _alarms(now)
    _last(now)


def _averages(now: FeedSnapshot) -> None:
    window = now.window
    shop, spent, currency = now.shop, now.has_revenue, theme.currency(now.shop)
    st.subheader(f"The last {counted(window.sessions, 'session')}")
    rows = [
        {
            "scorer": _called(scorer),
            "conversion": theme.percent(window.mean_conversion(scorer)),
            **({"revenue": theme.money(window.mean_revenue(scorer), currency)} if spent else {}),
            "most common cluster": shares[0][0] if (shares := window.shares(scorer)) else "–",
        }
        for scorer in scorers_of(shop)
    ]
    rows.append(
        {
            "scorer": "what came of them",
            "conversion": theme.percent(window.converted / window.sessions),
            **({"revenue": theme.money(window.revenue / window.sessions, currency)} if spent else {}),
            "most common cluster": "",
        }
    )
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    if shop is UCI553:
        st.caption(
            "Averages. What came of them is a proxy: a rule over the last click, which reference sees."
        )
    else:
        st.caption("Averages. What came of them:")
        theme.words(goal_in_words(shop.definition))


def _quality(now: FeedSnapshot) -> None:
    rolling, since = now.rolling, now.since_start
    st.subheader("How good the scorers are")
    if rolling is None or since is None:
        st.caption("Nothing to judge yet: sessions of two clicks or more are.")
        return
    rows = []
    for scorer in scorers_of(now.shop):
        row: dict[str, Any] = {"scorer": _called(scorer)}
        for title, quality in (("", rolling), (", all", since)):
            row |= _merits(quality, scorer, title, theme.currency(now.shop))
        rows.append(row)
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    st.caption(
        f"Of the last {counted(rolling.sessions, 'session')} with evidence, and of all"
        f" {theme.count(since.sessions)} seen here. AUC: 0.5 is chance. Log-loss (nats)"
        f"{' and error of the revenue' if now.has_revenue else ''}: lower is better."
    )


def _merits(quality: Quality, scorer: Any, title: str, currency: str) -> dict[str, str]:
    merit = quality.scorers[scorer]
    return {
        f"AUC{title}": "–" if merit.auc is None else f"{merit.auc:.3f}",
        f"log-loss{title}": f"{merit.log_loss:.3f}",
        **({} if merit.mae is None else {f"error{title}": theme.money(merit.mae, currency)}),
    }


def _clusters(now: FeedSnapshot) -> None:
    # The published work has the clusters of batch.
    scorers = [name for name in scorers_of(now.shop) if name != theme.PUBLISHED]
    rows: list[dict[str, Any]] = [
        {"scorer": scorer, "cluster": cluster, "share": share}
        for scorer in scorers
        for cluster, share in now.window.shares(scorer)
    ]
    st.subheader("Clusters")
    theme.chart(
        alt.Chart(pd.DataFrame(rows, columns=["scorer", "cluster", "share"]))
        .mark_bar()
        .encode(
            x=alt.X(
                "share:Q", stack="zero", axis=alt.Axis(format="%", tickCount=10), title="share of sessions"
            ),
            y=alt.Y("scorer:N", sort=scorers, title=None, axis=alt.Axis(labelOverlap=False)),
            color=alt.Color(
                "cluster:N",
                scale=theme.scale(theme.clusters(now.shop, (row["cluster"] for row in rows))),
                title=None,
            ),
            tooltip=["scorer", "cluster", alt.Tooltip("share:Q", format=".1%")],
        ),
        "The share of sessions in each cluster, by scorer.",
        height=240,
    )


def _alarms(now: FeedSnapshot) -> None:
    st.subheader("Drift")
    if not now.alarms:
        st.caption("No watched feature and no error of the models has changed its mean for certain.")
        return
    rows = [
        {
            "what": a.feature,
            "mean before": f"{a.before:.4g}",
            "mean after": f"{a.after:.4g}",
            "sessions": a.sessions,
        }
        for a in reversed(now.alarms)
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    st.caption("Means that changed (ADWIN), the latest first, and over how many sessions that was seen.")


def _last(now: FeedSnapshot) -> None:
    st.subheader("The last scores")
    st.dataframe(
        pd.DataFrame([_row(score, now) for score in now.last]),
        hide_index=True,
        width="stretch",
        height=420,
        column_config={"scored at": st.column_config.DatetimeColumn(format="HH:mm:ss.SSS")}
        | {
            scorer: st.column_config.ProgressColumn(format="percent", min_value=0.0, max_value=1.0)
            for scorer in scorers_of(now.shop)
        },
    )
    st.caption(f"Averages and clusters above are over the last {counted(WINDOW, 'score')} at most.")


def _row(score: Any, now: FeedSnapshot) -> dict[str, Any]:
    predictions = {name: score["predictions"].get(name) or {} for name in scorers_of(now.shop)}
    batch = predictions["batch"]
    return {
        "scored at": datetime.datetime.fromtimestamp(score["scored_at"] / 1_000, datetime.UTC),
        "session": str(score["session_id"]),
        "clicks": score["clicks"],
        "closed by": score["closed_by"],
        **{name: predictions[name].get("conversion") for name in predictions},
        **({"revenue": _revenue(batch, now)} if now.has_revenue else {}),
        "cluster": batch.get("cluster_name", "–"),
    }


def _called(scorer: str) -> str:
    """A scorer in a table; the published work stands apart."""
    return f"{scorer} (published)" if scorer == theme.PUBLISHED else scorer


def _revenue(prediction: Any, now: FeedSnapshot) -> str:
    revenue = prediction.get("revenue")
    return "–" if revenue is None else theme.money(revenue, theme.currency(now.shop))
