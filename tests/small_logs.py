"""Small logs of clicks, and what is published of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from scored_log import MINUTE, START, ScoredLog

from clickstream.infra.settings import Settings

Edit = Callable[[dict[str, Any]], None]


def a_day() -> ScoredLog:
    """Five sessions, two of them with more than a click, a late one and a copy among them; one stays open."""
    log = ScoredLog()
    log.click("alice", 0, 1)
    log.click("bob", 0.5, 1, price=20.0, price_2=2, page=2)
    log.click("alice", 1, 2, product="B4", category="skirts", price=51.5)
    log.click("alice", 1, 2, product="B4", category="skirts", price=51.5)
    log.click("alice", 6, 5, product="C7", category="blouses")
    log.click("alice", 3, 4)
    log.heartbeat(10)
    log.click("carol", 31, 1, end=True)
    log.click("dave", 50, 1)
    log.click("alice", 90, 1)
    log.heartbeat(121.1)
    log.click("eve", 125, 1)
    log.publish()
    return log


def put(path: str, value: object) -> Edit:
    """Set a field, by its path."""
    *parents, name = path.split(".")

    def change(content: dict[str, Any]) -> None:
        for parent in parents:
            content = content[parent]
        content[name] = value

    return change


def refused_day() -> ScoredLog:
    """A record for each kind of refusal, at offsets 1 to 4."""
    log = ScoredLog()
    log.click("alice", 100, 1)
    log.send(b"alice", b"{", START)
    log.click("alice", 1, 2)
    log.send(b"bob", b"{}", START)
    log.click("carol", 101, 1, event_time=START + 999 * MINUTE)
    log.heartbeat(200)
    log.publish()
    return log


SHOP = Settings(
    clicks_topic="clicks",
    gap=5 * MINUTE,
    allowed_lateness=MINUTE,
    max_ahead=4 * MINUTE,
    max_clicks=4,
    max_pending=3,
    max_open_sessions=3,
)

VISITS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.integers(0, 40),  # tenths of a minute that event time moves on
        st.integers(0, 30),  # tenths of a minute that the click comes behind
        st.integers(1, 6) | st.none(),
        st.sampled_from(["", "", "", "", "end", "flush", "broken"]),
    ),
    max_size=60,
)


def shop_log(visits: list[tuple[str, int, int, int | None, str]]) -> ScoredLog:
    log = ScoredLog(SHOP)
    now = 100
    for session_id, on, behind, order, special in visits:
        now += on
        if special == "flush":
            log.heartbeat(now / 10, flush=True)
        elif special == "broken":
            log.send(session_id.encode(), b"{", START)
        else:
            log.click(session_id, (now - behind) / 10, order, end=special == "end")
    log.publish()
    return log
