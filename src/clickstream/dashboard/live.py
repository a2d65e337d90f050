"""Page *Live*: the stream as it flows, who is in the shop now, and what came of those who left."""

from __future__ import annotations

from functools import partial

import streamlit as st

from clickstream.dashboard import closed, open_sessions, series, theme
from clickstream.dashboard.feed import RATE_S, Feed, FeedSnapshot
from clickstream.dashboard.missing import missing
from clickstream.dashboard.open_feed import OpenFeed
from clickstream.infra.settings import Settings

_EVERY_S = 1.0
_TILE = 170
"""Pixels: six beside each other where there is room, else in two rows."""
_UNFADED = "<style>[data-stale=true] { opacity: 1 !important; transition: none !important; }</style>"
"""What waits to be drawn anew would fade: here that is all of the page, each second."""

_OPEN, _CLOSED = "Open sessions", "Closed sessions"


def page() -> None:
    """Show what the feeds know, and again each second without a reload."""
    st.header("Live")
    st.html(_UNFADED)
    _show()


def _subscription(settings: Settings) -> tuple[str | None, ...]:
    return (
        settings.kafka_bootstrap,
        None if settings.redis_url is None else settings.redis_url.get_secret_value(),
        settings.scores_topic,
        settings.clicks_topic,
        settings.group,
        settings.shop,
        settings.bundle,
    )


@st.cache_resource(
    show_spinner=False, max_entries=4, hash_funcs={Settings: _subscription}, on_release=Feed.close
)
def _feed(settings: Settings) -> Feed:
    return Feed(settings, theme.shop())


@st.cache_resource(
    show_spinner=False, max_entries=4, hash_funcs={Settings: _subscription}, on_release=OpenFeed.close
)
def _open_feed(settings: Settings) -> OpenFeed:
    return OpenFeed(settings)


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
        feed, opened = _feed(settings), _open_feed(settings)
        now = feed.snapshot()
        _draw_state(now, opened, settings)
        _tiles(now)
        series.show(now.history)
        chosen = st.segmented_control(
            "What is shown",
            (_OPEN, _CLOSED),
            default=_OPEN,
            required=True,
            key="view",
            bind="query-params",
            label_visibility="collapsed",
        )
        if chosen == _CLOSED:
            closed.show(now)
        else:
            open_sessions.show(feed, opened, settings, now.shop)


def _draw_state(now: FeedSnapshot, opened: OpenFeed, settings: Settings) -> None:
    theme.words(f"topic {now.where} · group {settings.group} · shop {now.shop.definition.name}")
    if now.others:
        st.warning("Scores of other shops arrive, and are not shown here.", icon=":material/alt_route:")
        theme.words("\n".join(f"{theme.count(n)} of shop {label}" for label, n in now.others.items()))
        theme.words(f"This page shows shop {now.shop.label}; --shop and CLICKSTREAM_SHOP name another.")
    found = list(missing(now, opened.snapshot(), settings))
    if found:
        away = now.state == "away"
        draw, icon = (st.error, ":material/error:") if away else (st.warning, ":material/pause_circle:")
        draw("**Something is missing.** This page looks again each second, and goes on by itself.", icon=icon)
        for one in found:
            theme.words(f"{one.what}\n{one.remedy}")
    elif now.state == "starting":
        st.info("Looking for scores …", icon=":material/hourglass_empty:")
    elif now.silent_s is None:
        st.info(
            "No score of this shop has arrived since this page looks. A session is scored when it closes.",
            icon=":material/hourglass_empty:",
        )
    else:
        st.success("Scores arrive.", icon=":material/sensors:")


def _tiles(now: FeedSnapshot) -> None:
    group = now.group
    tile = partial(st.metric, border=True, width=_TILE, height="stretch")
    with st.container(horizontal=True):
        tile(
            "Scored per second",
            f"{now.rate:,.1f}",
            help=f"Mean of the last {RATE_S} s.",
        )
        tile("Scored since you look", theme.count(now.live))
        tile(
            "Open sessions",
            "–" if group is None or group.open_sessions is None else theme.count(group.open_sessions),
            help="As of the offsets that the consumers committed last.",
        )
        tile(
            "Lag, records",
            "–" if group is None else theme.count(group.lag),
            help="Records on the clicks topic whose scores are not committed yet.",
        )
        tile(
            "Latency, median",
            "–" if now.delay_ms is None else f"{now.delay_ms[0]:,} ms",
            None if now.delay_ms is None else f"99 %: {now.delay_ms[1]:,} ms",
            delta_color="off",
            delta_arrow="off",
            help="From the moment of scoring to this page, through Redis and the Kafka transaction.",
        )
        tile(
            "Dead letters",
            "–" if group is None else theme.count(group.dead_letters),
            help="Records that could not be counted, since you look.",
        )
