"""Page *Live*: the scores as they arrive, how far the consumers are, how good the models are."""

from __future__ import annotations

import datetime
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from clickstream.dashboard import theme
from clickstream.dashboard.feed import HISTORY_S, RATE_S, WINDOW, Feed, FeedSnapshot
from clickstream.features.shop import UCI553
from clickstream.features.words import goal_in_words
from clickstream.infra.settings import Settings
from clickstream.infra.words import counted
from clickstream.models.quality import Quality
from clickstream.models.scorers import scorers_of

_EVERY_S = 1.0
_SILENCE_S = 10.0


def page() -> None:
    """Show what the feed knows, and again each second without a reload."""
    st.header("Live")
    _show()


def _subscription(settings: Settings) -> tuple[str | None, ...]:
    return (
        settings.kafka_bootstrap,
        settings.scores_topic,
        settings.clicks_topic,
        settings.group,
        settings.shop,
    )


@st.cache_resource(
    show_spinner=False, max_entries=4, hash_funcs={Settings: _subscription}, on_release=Feed.close
)
def _feed(settings: Settings) -> Feed:
    return Feed(settings, theme.shop())


@st.fragment(run_every=_EVERY_S)
def _show() -> None:
    # Asked each time: servers may come, go, and come back under another address.
    with theme.guarded():
        settings = theme.settings()
        if settings.kafka_bootstrap is None:
            theme.nothing(
                "No Kafka is named, and none of ours runs",
                "Start one with `clickstream up`, or see everything at work with `clickstream demo --keep`:"
                " this page goes on by itself. For your own one set `CLICKSTREAM_KAFKA_BOOTSTRAP` to"
                " host:port.",
            )
            return
        _draw(_feed(settings).snapshot())


def _draw(now: FeedSnapshot) -> None:
    _draw_state(now)
    _tiles(now)
    if not now.window.sessions:
        return
    left, right = st.columns(2, gap="large")
    with left:
        _averages(now)
    with right:
        _quality(now)
    _clusters(now)
    _alarms(now)
    _last(now)


def _draw_state(now: FeedSnapshot) -> None:
    theme.words(f"topic {now.where} · shop {now.shop.definition.name}")
    if now.others:
        st.warning("Scores of other shops arrive, and are not shown here.", icon=":material/alt_route:")
        theme.words("\n".join(f"{theme.count(n)} of shop {label}" for label, n in now.others.items()))
        theme.words(f"This page shows shop {now.shop.label}; --shop and CLICKSTREAM_SHOP name another.")
    if now.state == "away" and now.problem is not None:
        theme.problem(now.problem)
        st.caption("It is tried again each second; this page goes on by itself.")
    elif now.state == "starting":
        st.info("Looking for scores …", icon=":material/hourglass_empty:")
    elif now.silent_s is None:
        st.info(
            "No score of this shop has arrived since this page looks. Does a producer run, such as"
            " `clickstream replay --speed 60`? Does a consumer?",
            icon=":material/hourglass_empty:",
        )
    elif now.silent_s > _SILENCE_S:
        st.warning(
            f"No score for {theme.count(now.silent_s)} s. A session is scored when it closes: has the stream"
            " of clicks ended?",
            icon=":material/pause_circle:",
        )
    else:
        st.success("Scores arrive.", icon=":material/sensors:")


def _tiles(now: FeedSnapshot) -> None:
    group = now.group
    rate, live, open_, lag, delay, letters = st.columns(6)
    rate.metric(
        "Scored per second",
        f"{now.rate:,.1f}",
        chart_data=list(now.history),
        chart_type="bar",
        help=f"Mean of the last {RATE_S} s; the bars are the last {HISTORY_S} s.",
        border=True,
        height="stretch",
    )
    live.metric("Scored since you look", theme.count(now.live), border=True, height="stretch")
    open_.metric(
        "Open sessions",
        "–" if group is None or group.open_sessions is None else theme.count(group.open_sessions),
        help="As of the offsets that the consumers committed last.",
        border=True,
        height="stretch",
    )
    lag.metric(
        "Lag, records",
        "–" if group is None else theme.count(group.lag),
        help="Records on the clicks topic whose scores are not committed yet.",
        border=True,
        height="stretch",
    )
    delay.metric(
        "Latency, median",
        "–" if now.delay_ms is None else f"{now.delay_ms[0]:,} ms",
        None if now.delay_ms is None else f"99 % within {now.delay_ms[1]:,} ms",
        delta_color="off",
        delta_arrow="off",
        help="From the moment of scoring to this page, through Redis and the Kafka transaction.",
        border=True,
        height="stretch",
    )
    letters.metric(
        "Dead letters",
        "–" if group is None else theme.count(group.dead_letters),
        help="Records that could not be counted, since you look.",
        border=True,
        height="stretch",
    )


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
