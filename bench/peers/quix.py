"""Quix Streams, exactly once: a session's aggregates, no model.

    quix.py windows|state|features BOOTSTRAP CLICKS_TOPIC OUTPUT_TOPIC RECORDS GAP_MS LATENESS_MS

`windows`: five aggregates in its session windows. `state`: the same five in keyed state by hand, as its guide
shows; without timers a session is given out when its visitor comes back after the gap, which nearly none
does, and out-of-order clicks are folded as they come: the least that can be called the job. `features`: as
`state`, with all that the features of shop uci553 need of a session, each of them O(1) a click as ours are.
Prints one line of JSON: see `Meter`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from math import log2, sqrt
from typing import Any

from meter import Meter
from quixstreams import Application, State
from quixstreams.dataframe.windows import Count, Latest, Max, Mean, Sum


def main() -> None:
    way, bootstrap, clicks, output, records, gap, lateness = sys.argv[1:]
    meter = Meter(int(records))
    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            broker_address=bootstrap,
            consumer_group=output,
            auto_offset_reset="earliest",
            processing_guarantee="exactly-once",
            state_dir=folder,
            loglevel="WARNING",
            # As many clicks a transaction as our own steps take at the most.
            commit_every=10_000,
        )
        # The time of a record is that of its click.
        stream = app.dataframe(app.topic(clicks, value_deserializer="json", key_deserializer="str"))
        stream = stream.update(lambda _: meter.read())
        stream = stream[stream["type"] == "click"]
        if way == "windows":
            stream = in_windows(stream, int(gap), int(lateness))
        else:
            stream = by_hand(stream, int(gap), *BY_HAND[way])
        stream.to_topic(app.topic(output, value_serializer="json", key_serializer="str"))
        app.run(timeout=5.0, collect=False)
    meter.print()


def in_windows(stream: Any, gap: int, lateness: int) -> Any:
    windows = stream.session_window(timedelta(milliseconds=gap), grace_ms=timedelta(milliseconds=lateness))
    return windows.agg(
        clicks=Count(),
        spent=Sum("price"),
        mean_price=Mean("price"),
        highest_price=Max("price"),
        last_product=Latest("product"),
    ).final(closing_strategy="partition")


Totals = dict[str, Any]


def by_hand(
    stream: Any, gap: int, begun: Callable[[], Totals], add: Callable[[Totals, Totals], None], shown: Any
) -> Any:
    """Sessions in keyed state; `add` counts a click into what `begun` made, `shown` is given out."""

    def fold(click: Totals, state: State) -> Totals | None:
        totals = state.get("totals")
        at = click["event_time"]
        closed = None
        if totals is not None and at > totals["last"] + gap:
            closed, totals = shown(totals), None
        if totals is None:
            totals = begun()
        add(totals, click)
        totals["last"] = max(totals["last"], at)
        state.set("totals", totals)
        return closed

    folded = stream.apply(fold, stateful=True)
    return folded[folded.apply(lambda closed: closed is not None)]


def no_totals() -> Totals:
    return {"clicks": 0, "spent": 0.0, "highest": 0.0, "last": 0}


def add_totals(totals: Totals, click: Totals) -> None:
    price = click["price"]
    totals["clicks"] += 1
    totals["spent"] += price
    totals["highest"] = max(totals["highest"], price)
    totals["product"] = click["product"]


def no_features() -> Totals:
    counts: dict[str, Any] = {"products": {}, "categories": {}}
    numbers = dict.fromkeys(("clicks", "high", "depth", "changes", "last"), 0)
    return {**counts, **numbers, "mean": 0.0, "squares": 0.0, "first": None, "click": None}


def add_features(totals: Totals, click: Totals) -> None:
    price, category, page = click["price"], click["category"], click["page"]
    before = totals["click"]
    totals["clicks"] = clicks = totals["clicks"] + 1
    totals["products"][click["product"]] = 1
    totals["categories"][category] = totals["categories"].get(category, 0) + 1
    # Welford 1962.
    deviation = price - totals["mean"]
    totals["mean"] += deviation / clicks
    totals["squares"] += deviation * (price - totals["mean"])
    totals["high"] += click["price_2"] == 1
    totals["depth"] = max(totals["depth"], page)
    kept = {"category": category, "page": page, "price": price, "price_2": click["price_2"]}
    kept |= {"order": click.get("order"), "product": click["product"]}
    if before is None:
        totals["first"], totals["highest"], totals["lowest"] = kept, price, price
    else:
        totals["changes"] += before["category"] != category
        totals["highest"] = max(totals["highest"], price)
        totals["lowest"] = min(totals["lowest"], price)
    totals["click"] = kept


def features(totals: Totals) -> Totals:
    clicks, first, last = totals["clicks"], totals["first"], totals["click"]
    shares = [count / clicks for count in totals["categories"].values()]
    return {
        "session_length": clicks,
        "n_unique_models": len(totals["products"]),
        "n_unique_categories": len(shares),
        "category_entropy": -sum(share * log2(share) for share in shares),
        "mean_price": totals["mean"],
        "max_price": totals["highest"],
        "min_price": totals["lowest"],
        "std_price": sqrt(totals["squares"] / clicks),
        "last_price": last["price"],
        "last_price_2": last["price_2"],
        "num_high_price_views": totals["high"],
        "pct_price2_views": totals["high"] / clicks,
        "first_page": first["page"],
        "last_page": last["page"],
        "first_category": first["category"],
        "last_category": last["category"],
        "first_eq_last_category": int(first["category"] == last["category"]),
        "models_per_click": len(totals["products"]) / clicks,
        "last_order": last["order"] or clicks,
        "navigation_depth": totals["depth"],
        "category_transitions": totals["changes"],
        "last_product": last["product"],
    }


BY_HAND: dict[str, Any] = {
    "state": (no_totals, add_totals, lambda totals: totals),
    "features": (no_features, add_features, features),
}


if __name__ == "__main__":
    main()
