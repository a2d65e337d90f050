"""The story of one open session: click by click, growing while the visit goes on."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from clickstream.dashboard import theme, trace
from clickstream.dashboard.feed import Feed
from clickstream.dashboard.open_feed import OpenFeed, at_stake
from clickstream.dashboard.session_clicks import SessionClicks
from clickstream.features.shop import Shop
from clickstream.infra.settings import Settings
from clickstream.infra.words import counted
from clickstream.models.case import ScorerOutput
from clickstream.offline.trace import TracedClick, cases_of, traced_clicks

_SCORERS = ("batch", "online")
_READING_S = 0.3

_REASONS = "Against an average session, as this model sees it now. An effect of 0.7 doubles the odds."
AT_STAKE = "What the session is expected to bring: its chance times what those spend who convert."


def show(session_id: str, feed: Feed, opened: OpenFeed, settings: Settings, shop: Shop) -> None:
    """Show what is open of a session; of one that has closed since, how it ended."""
    st.subheader("One session")
    with theme.guarded():
        view = opened.session(session_id)
        last: dict[str, Any] | None = st.session_state.get("story")
        if view is None:
            _closed(session_id, feed, shop)
            view = last if last is not None and last["session_id"] == session_id else None
            if view is None:
                return
            st.caption("What was seen of it while it was open:")
        st.session_state["story"] = view
        theme.words(f"{session_id} · {counted(view['clicks'], 'click')} so far")
        _tiles(view, shop)
        if view["error"] is not None:
            theme.words(f"Nothing is predicted: {view['error']}")
        _why(view)
        of = trace.TracedShop(shop, _SCORERS, theme.currency(shop))
        clicks = _clicks(view, opened, settings, shop)
        if clicks:
            trace.moved(clicks, of, "as the models of now would have said after this click")
            trace.clicks_table(clicks, of)
        trace.features_table(view["features"], "Features of the session so far")


def _tiles(view: dict[str, Any], shop: Shop) -> None:
    predictions = view["predictions"] or {}
    currency = theme.currency(shop)
    tiles = [
        (f"Chance now · {name}", theme.percent(predictions[name]["conversion"]))
        for name in _SCORERS
        if name in predictions
    ]
    if (stake := at_stake(view, "batch", shop)) is not None:
        tiles.append(("At stake · batch", theme.money(stake, currency)))
    if view["converted_at"] is not None:
        tiles.append(("Converted (UTC)", _time(view["converted_at"])))
    tiles.append(("Closes after (UTC)", _time(view["closes_at"])))
    for place, (label, value) in zip(st.columns(len(tiles)), tiles, strict=True):
        place.metric(label, value, border=True)


def _why(view: dict[str, Any]) -> None:
    given = {scorer: one for scorer, one in (view["reasons"] or {}).items() if one is not None}
    if not given:
        return
    rows = [
        {
            "scorer": scorer,
            "feature": reason["feature"],
            "value": trace.text(reason["value"]),
            "effect": reason["effect"],
        }
        for scorer, one in given.items()
        for reason in one["strongest"]
    ]
    st.markdown("**What moved its chance most**", help=_REASONS)
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        alt="The features that moved its chance most",
        column_config={"effect": st.column_config.NumberColumn("effect, log-odds", format="%+.2f")},
    )


def _clicks(
    view: dict[str, Any], opened: OpenFeed, settings: Settings, shop: Shop
) -> tuple[TracedClick, ...]:
    """The clicks that are counted in what is shown, with what the models say after each."""
    reading = _session_clicks(settings, view["session_id"], view["partition"], view["opened_at"])
    share = reading.take(view["offset"], _READING_S)
    steps = reading.steps(view["offset"])
    if share < 1:
        st.progress(share, "reading its clicks from the log")
        return ()
    if len(steps) != view["clicks"]:
        st.caption(
            f"The log shows {counted(len(steps), 'click')} of this visit, the consumer counts"
            f" {theme.count(view['clicks'])}: the log keeps records for a time, and"
            " bounds may have cut the visit."
        )
    if not steps:
        return ()
    cases = cases_of(shop, view["session_id"], steps, shop.known)
    answers = [
        {name: ScorerOutput(**answer[name]) for name in _SCORERS}
        for answer in opened.predict(view["partition"], cases)
    ]
    return traced_clicks(shop, steps, cases, answers)


@st.cache_resource(
    show_spinner=False,
    max_entries=8,
    hash_funcs={Settings: lambda one: (one.kafka_bootstrap, one.clicks_topic, one.shop)},
    on_release=SessionClicks.close,
)
def _session_clicks(settings: Settings, session_id: str, partition: int, opened_at: int) -> SessionClicks:
    return SessionClicks(settings, session_id, partition, opened_at)


def _closed(session_id: str, feed: Feed, shop: Shop) -> None:
    score: Any = feed.score_of(session_id)
    if score is None:
        st.info("Nothing is open of this session now.", icon=":material/hourglass_empty:")
        return
    outcome = score["outcome"]
    st.info(
        f"It has closed, and {'converted' if outcome['converted'] else 'did not convert'}.",
        icon=":material/flag:",
    )
    answers = {name: score["predictions"].get(name) or {} for name in _SCORERS}
    foretold = ", ".join(
        f"{name} {theme.percent(answer['conversion'])}" for name, answer in answers.items() if answer
    )
    theme.words(
        f"{session_id} · {counted(score['clicks'], 'click')} · closed by {score['closed_by']}"
        + (f" · foretold: {foretold}" if foretold else "")
        + (
            f" · brought {theme.money(outcome['revenue'], theme.currency(shop))}"
            if outcome["converted"] and outcome["revenue"] is not None
            else ""
        )
    )


def _time(ms: int) -> str:
    return f"{pd.Timestamp(ms, unit='ms'):%H:%M:%S}"
