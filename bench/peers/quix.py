"""Quix Streams, exactly once: a session's five aggregates, no model.

    quix.py windows|state BOOTSTRAP CLICKS_TOPIC OUTPUT_TOPIC RECORDS GAP_MS LATENESS_MS

`windows`: its session windows. `state`: keyed state by hand, the least that Quix can do for the job, and what
its guide shows; without timers a session is given out when its visitor comes back after the gap, which nearly
none does, and out-of-order clicks are folded as they come. Prints one line of JSON: see `Meter`.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import timedelta
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
        stream = (
            in_windows(stream, int(gap), int(lateness)) if way == "windows" else by_hand(stream, int(gap))
        )
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


def by_hand(stream: Any, gap: int) -> Any:
    def fold(click: dict[str, Any], state: State) -> dict[str, Any] | None:
        totals = state.get("totals")
        at, price = click["event_time"], click["price"]
        closed = None
        if totals is not None and at > totals["last"] + gap:
            closed, totals = totals, None
        if totals is None:
            totals = {"clicks": 0, "spent": 0.0, "highest": 0.0, "last": 0}
        totals["clicks"] += 1
        totals["spent"] += price
        totals["highest"] = max(totals["highest"], price)
        totals["last"] = max(totals["last"], at)
        totals["product"] = click["product"]
        state.set("totals", totals)
        return closed

    folded = stream.apply(fold, stateful=True)
    return folded[folded.apply(lambda closed: closed is not None)]


if __name__ == "__main__":
    main()
