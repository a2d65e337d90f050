"""Quix Streams, exactly once: a session's five aggregates in its keyed state, by hand, no model.

    quix_state.py BOOTSTRAP CLICKS_TOPIC OUTPUT_TOPIC RECORDS GAP_MS LATENESS_MS

The least that Quix can do for the job, and what its guide shows for state. Without timers a session is
given out when its visitor comes back after the gap, which nearly none does; out-of-order clicks are folded
as they come.
Prints one line of JSON: see `Meter`.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

from meter import Meter
from quixstreams import Application, State


def main() -> None:
    bootstrap, clicks, output, records, gap, _ = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            broker_address=bootstrap,
            consumer_group=output,
            auto_offset_reset="earliest",
            processing_guarantee="exactly-once",
            state_dir=folder,
            loglevel="WARNING",
            # As many clicks a transaction as our own steps take at the most.
            commit_every=5_000,
        )
        meter, patience = Meter(int(records)), int(gap)

        def fold(click: dict[str, Any], state: State) -> dict[str, Any] | None:
            totals = state.get("totals")
            at, price = click["event_time"], click["price"]
            closed = None
            if totals is not None and at > totals["last"] + patience:
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

        stream = app.dataframe(app.topic(clicks, value_deserializer="json", key_deserializer="str"))
        stream = stream.update(lambda _: meter.read())
        stream = stream[stream["type"] == "click"]
        stream = stream.apply(fold, stateful=True)
        stream = stream[stream.apply(lambda closed: closed is not None)]
        stream.to_topic(app.topic(output, value_serializer="json", key_serializer="str"))
        app.run(timeout=5.0, collect=False)
        meter.print()


if __name__ == "__main__":
    main()
