"""The open sessions on page *Live*: who is in the shop now, by chance or by what is at stake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from clickstream.dashboard import story, theme
from clickstream.dashboard.feed import Feed
from clickstream.dashboard.open_feed import OpenFeed, OpenSnapshot, at_stake
from clickstream.features.shop import Shop
from clickstream.infra.settings import Settings
from clickstream.infra.words import counted
from clickstream.lookup.service import CONSIDERED

_SHOWN = 200
_SCORERS = ("batch", "online")
_DRAWN = "open-sessions-drawn"


def show(feed: Feed, opened: OpenFeed, settings: Settings, shop: Shop) -> None:
    """Show the open sessions that pass the filters, and the story of the one that is chosen."""
    now = opened.snapshot()
    if now.sessions is None:
        if now.problem is None:
            st.info("Looking for open sessions …", icon=":material/hourglass_empty:")
        return
    scorer, found = _filtered(now, shop)
    _table(found, scorer, now, shop)
    chosen = st.text_input(
        "Story of session",
        key="session",
        bind="query-params",
        placeholder="Press Story in a row, or write a session id",
        help="The address of this page names the session: it can be shared.",
    ).strip()
    if chosen:
        story.show(chosen, feed, opened, settings, shop)


def _filtered(now: OpenSnapshot, shop: Shop) -> tuple[str, list[dict[str, Any]]]:
    """The scorer that is asked, and the sessions that pass, in the order that was chosen."""
    spent = shop.definition.goal.value is not None
    first, second, third, fourth = st.columns([2, 3, 3, 2], vertical_alignment="bottom")
    scorer = first.selectbox("Scorer", _SCORERS, key="by", bind="query-params", help="Whose chance is meant")
    low = second.slider("Chance at least, %", 0, 100, 0, key="chance", bind="query-params")
    text = third.text_input("Session id contains", key="id", bind="query-params", placeholder="any").strip()
    orders = ["chance", *(["value at stake"] if spent else []), "newest click"]
    order = fourth.selectbox("Order by", orders, key="order", bind="query-params")

    def chance(view: dict[str, Any]) -> float:
        return -1.0 if view["predictions"] is None else float(view["predictions"][scorer]["conversion"])

    def place(view: dict[str, Any]) -> float:
        if order == "chance":
            return chance(view)
        return (
            float(view["last_click_at"]) if order == "newest click" else at_stake(view, scorer, shop) or 0.0
        )

    found = [view for view in now.sessions or () if chance(view) >= low / 100 and text in view["session_id"]]
    if not low:
        # Those of which nothing can be said have no chance to be filtered by.
        found += [view for view in now.sessions or () if chance(view) < 0 and text in view["session_id"]]
    # Whoever has converted already is no chance any more.
    found.sort(key=lambda view: (view["converted_at"] is not None, -place(view)))
    return scorer, found


def _table(found: Sequence[dict[str, Any]], scorer: str, now: OpenSnapshot, shop: Shop) -> None:
    asked = f", of which the {theme.count(CONSIDERED)} that close last are asked about"
    shown = found[:_SHOWN]
    st.caption(
        f"{counted(now.count, 'open session')}{asked if now.count > CONSIDERED else ''};"
        f" {theme.count(len(found))} within the filters."
        + (f" The first {_SHOWN} are shown." if len(found) > _SHOWN else "")
    )
    if not found:
        theme.nothing(
            "No open session" if not now.sessions else "No open session passes",
            "One appears with its first click." if not now.sessions else "Widen the filters above.",
        )
        st.session_state[_DRAWN] = []
        return
    if stakes := [stake for view in found if (stake := at_stake(view, scorer, shop)) is not None]:
        theme.words(f"At stake in all: {theme.money(sum(stakes), theme.currency(shop))}")
    # A press on a button says a row: of the table as it was drawn last.
    st.session_state[_DRAWN] = [view["session_id"] for view in shown]
    st.dataframe(
        pd.DataFrame([_row(view, scorer, shop) for view in shown]),
        hide_index=True,
        width="stretch",
        height=min(38 + 35 * len(shown), 360),
        key="open-sessions",
        column_config={
            "story": st.column_config.ButtonColumn(
                "", width="small", type="tertiary", on_click=_choose, key="open-story"
            ),
            "session": st.column_config.TextColumn("session", pinned=True),
            **{
                name: st.column_config.ProgressColumn(format="percent", min_value=0.0, max_value=1.0)
                for name in _SCORERS
            },
            "at stake": st.column_config.NumberColumn(
                format=f"{theme.currency(shop)}%.2f", help=story.AT_STAKE if shop.is_event_goal else None
            ),
            "last click (UTC)": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss"),
        },
        alt="The open sessions with what the scorers say of them now",
    )


def _choose() -> None:
    pressed = st.session_state.get("open-story")
    drawn = st.session_state.get(_DRAWN, [])
    if pressed is not None and pressed["row"] < len(drawn):
        st.session_state["session"] = drawn[pressed["row"]]


def _row(view: dict[str, Any], scorer: str, shop: Shop) -> dict[str, Any]:
    predictions = view["predictions"] or {}
    spent = shop.definition.goal.value is not None
    return {
        "story": "Story",
        "session": view["session_id"],
        **{name: predictions[name]["conversion"] if name in predictions else None for name in _SCORERS},
        **({"at stake": at_stake(view, scorer, shop)} if spent else {}),
        "clicks": view["clicks"],
        "converted": view["converted_at"] is not None,
        "last click (UTC)": pd.Timestamp(view["last_click_at"], unit="ms", tz="UTC"),
        "cluster so far": predictions[scorer]["cluster_name"] if scorer in predictions else view["error"],
    }
