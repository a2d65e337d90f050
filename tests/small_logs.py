"""Small logs of clicks, and what is published of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from scored_log import MINUTE, START, Oracle, ScoredLog

from clickstream.infra.settings import Settings
from clickstream.records.scorers import SCORERS

Edit = Callable[[dict[str, Any]], None]

ALICE = 2
"""Place of her first window among the scores of `a_day`: four clicks, the last closed of three at once."""

ALICE_REBUILT = 2
"""Place of the same window among the scores of `rebuilt_day`."""

NO_PREDICTIONS: dict[str, None] = dict.fromkeys(SCORERS)


def a_day(bundle: Oracle | None = None) -> ScoredLog:
    """Five sessions, two of them with more than a click, a late one and a copy among them; one stays open."""
    log = ScoredLog(bundle=bundle or Oracle())
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


def a_store() -> ScoredLog:
    """Visits that buy, that do not, that begin with an order, and an order that comes too late."""
    log = ScoredLog(Settings(clicks_topic="clicks", group="group", shop="online-store"))
    for number in range(12):
        name, start = f"visit-{number}", number * 2.0
        events = ["home", "product_view", "add_to_cart", "purchase", "account_page"][: 2 + number % 4]
        for order, event in enumerate(["purchase"] * (number % 6 == 5) + events, 1):
            log.click(name, start + order, order, event=event, platform="mobile" if number % 2 else None)
    log.click("visit-11", 23.5, 9, event="search")
    log.click("visit-11", 23.2, 8, event="purchase")
    log.click("visit-10", 23.1, 1, event=7)
    log.heartbeat(90)
    log.publish()
    return log


def rebuilt_day() -> ScoredLog:
    """A day on which Redis was lost after offset 5, where two minutes are behind the horizon."""
    log = a_day()
    rebuilt = ScoredLog(partial_before=START + 2 * MINUTE)
    rebuilt.clicks = [line for line in log.clicks if line.offset >= 2]
    rebuilt.publish()
    whole = {line.key: line for line in log.scores if line.key in (b"bob",)}
    log.scores = [*whole.values(), *(line for line in rebuilt.scores if line.key not in whole)]
    for at, line in enumerate(log.scores):
        line.offset = at
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
