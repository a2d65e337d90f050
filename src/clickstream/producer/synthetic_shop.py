"""Sessions of the built-in shop `synthetic`, of which the chance of a purchase is known at every click.

A visit is a Markov chain over what the visitor does, whether a product lies in the cart, and what kind of
visitor it is, until it ends in a purchase or without one. So the chance of a purchase after a click is that
of absorption from its state: the solution of linear equations, not an estimate. No model can rank visits
better than that chance does, and a model that is told less than the state cannot reach it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from clickstream.features.definition import ShopDefinition
from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in
from clickstream.files.shop_log import LoggedClick, ShopLog, shop_log
from clickstream.infra.days import DAY_MS

SHOP = "synthetic"

_FIRST_MS = 1_767_225_600_000  # 2026-01-01
_DAYS = 120

VISITORS: Mapping[str, float] = {"new": 0.55, "returning": 0.3, "loyal": 0.15}
"""Shares of the visits."""

# What a visitor does next, with an empty cart and a full one; what is left of 1 leaves.
_NEXT: Mapping[tuple[str, bool], Mapping[str, float]] = {
    ("home", False): {"search": 0.3, "product_view": 0.45},
    ("search", False): {"search": 0.2, "product_view": 0.6},
    ("product_view", False): {"search": 0.15, "product_view": 0.45, "add_to_cart": 0.14},
    ("home", True): {"search": 0.2, "product_view": 0.4, "checkout": 0.2},
    ("search", True): {"search": 0.2, "product_view": 0.5, "checkout": 0.1},
    ("product_view", True): {"search": 0.1, "product_view": 0.45, "add_to_cart": 0.1, "checkout": 0.15},
    ("add_to_cart", True): {"product_view": 0.3, "home": 0.05, "checkout": 0.4},
    ("checkout", True): {"product_view": 0.1, "purchase": 0.55},
}
# How much likelier than others each kind of visitor takes the steps to a purchase.
_EAGER: Mapping[str, float] = {"new": 0.8, "returning": 1.2, "loyal": 1.5}
_TO_PURCHASE = ("add_to_cart", "checkout", "purchase")
_BEGINS = {"home": 0.6, "search": 0.15, "product_view": 0.25}
_THANKED = 0.8
_LONGEST_PAUSE_MS = 600_000

State = tuple[str, bool, str]
"""What the visitor did last, whether a product lies in the cart, and the kind of visitor."""


class KnownSessions(NamedTuple):
    """Session id -> its clicks in order, as the fold of the shop takes them; and, of each click before the
    purchase, the chance that one follows.
    """

    sessions: dict[str, list[Any]]
    chances: dict[str, list[float]]
    sha256: str


def known_sessions(count: int, seed: int = 42, definition: ShopDefinition | None = None) -> KnownSessions:
    """So many sessions, of 120 days: a function of both numbers.

    `definition`: another shop of the same fields, whose fold is to take the clicks.
    """
    draw = random.Random(f"{SHOP} {count} {seed}")
    step = shop_of(definition or built_in(SHOP)).step
    chance = purchase_chances()
    sessions: dict[str, list[Any]] = {}
    chances: dict[str, list[float]] = {}
    for number in range(1, count + 1):
        session_id = f"s{number}"
        time = _FIRST_MS + draw.randrange(_DAYS * DAY_MS)
        visitor = _one_of(VISITORS, draw)
        event, cart, price = _one_of(_BEGINS, draw), False, None
        clicks: list[Any] = []
        known: list[float] = []
        while event:
            if event == "product_view":
                price = round(draw.lognormvariate(3.5, 0.6), 2)
            cart = cart or event == "add_to_cart"
            shown = price if event in ("product_view", "add_to_cart", "purchase") else None
            clicks.append(
                step(
                    event_time=time,
                    order=len(clicks) + 1,
                    event=event,
                    visitor=visitor,
                    price=shown,
                    time_source="synthetic",
                )
            )
            time += min(1_000 + int(draw.expovariate(1 / 30_000)), _LONGEST_PAUSE_MS)
            if event == "purchase":
                event = "thank_you" if draw.random() < _THANKED else ""
            elif event == "thank_you":
                event = ""
            else:
                known.append(chance[event, cart, visitor])
                event = _one_of(_moves(event, cart, visitor), draw)
        sessions[session_id], chances[session_id] = clicks, known
    digest = hashlib.sha256(f"{SHOP} 1 {count} {seed}".encode()).hexdigest()
    return KnownSessions(sessions, chances, digest)


def known_log(count: int, seed: int = 42, definition: ShopDefinition | None = None) -> ShopLog:
    """The clicks of so many sessions, as a replay takes them; `definition` as for `known_sessions`."""
    definition = definition or built_in(SHOP)
    known = known_sessions(count, seed, definition)
    names = [field.name for field in definition.fields]
    sessions = {
        session_id: [LoggedClick(step, tuple(getattr(step, name) for name in names)) for step in steps]
        for session_id, steps in known.sessions.items()
    }
    return shop_log(definition, SHOP, known.sha256, sessions, "synthetic")


def purchase_chances() -> dict[State, float]:
    """The chance of a purchase from each state: x = Qx + r, with Q the moves between states that go on and
    r those into a purchase (Kemeny and Snell 1960).
    """
    states = [(event, cart, visitor) for visitor in VISITORS for event, cart in _NEXT]
    place = {state: at for at, state in enumerate(states)}
    moves, bought = np.zeros((len(states), len(states))), np.zeros(len(states))
    for (event, cart, visitor), at in place.items():
        for following, share in _moves(event, cart, visitor).items():
            if following == "purchase":
                bought[at] += share
            else:
                moves[at, place[following, cart or following == "add_to_cart", visitor]] += share
    chance = np.linalg.solve(np.eye(len(states)) - moves, bought)
    return dict(zip(states, chance.tolist(), strict=True))


def _moves(event: str, cart: bool, visitor: str) -> dict[str, float]:
    eager = _EAGER[visitor]
    return {
        following: share * (eager if following in _TO_PURCHASE else 1.0)
        for following, share in _NEXT[event, cart].items()
    }


def _one_of(shares: Mapping[str, float], draw: random.Random) -> str:
    """One of the names by its share; what is left of 1 is none of them."""
    left = draw.random()
    for name, share in shares.items():
        left -= share
        if left < 0:
            return name
    return ""
