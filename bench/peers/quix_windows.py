"""Quix Streams, exactly once: session windows over the same clicks, five aggregates, no model.

    quix_windows.py BOOTSTRAP CLICKS_TOPIC OUTPUT_TOPIC RECORDS GAP_MS LATENESS_MS

Prints one line of JSON: see `Meter`.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import timedelta
from typing import Any

from meter import Meter
from quixstreams import Application
from quixstreams.dataframe.windows import Count, Latest, Max, Mean, Sum


def main() -> None:
    bootstrap, clicks, output, records, gap, lateness = sys.argv[1:]
    with tempfile.TemporaryDirectory() as state:
        app = Application(
            broker_address=bootstrap,
            consumer_group=output,
            auto_offset_reset="earliest",
            processing_guarantee="exactly-once",
            state_dir=state,
            loglevel="WARNING",
            # As many clicks a transaction as our own steps take at the most.
            commit_every=5_000,
        )
        meter = Meter(int(records))

        def event_time(value: Any, _headers: Any, _timestamp: float, _kind: Any) -> int:
            """The click's own time; a heartbeat has one too, and no price."""
            return int(value["event_time"])

        stream = app.dataframe(
            app.topic(
                clicks, value_deserializer="json", key_deserializer="str", timestamp_extractor=event_time
            )
        )
        stream = stream.update(lambda _: meter.read())
        stream = stream[stream["type"] == "click"]
        scores = (
            stream.session_window(
                timedelta(milliseconds=int(gap)), grace_ms=timedelta(milliseconds=int(lateness))
            )
            .agg(
                clicks=Count(),
                spent=Sum("price"),
                mean_price=Mean("price"),
                highest_price=Max("price"),
                last_product=Latest("product"),
            )
            .final(closing_strategy="partition")
        )
        scores.to_topic(app.topic(output, value_serializer="json", key_serializer="str"))
        app.run(timeout=5.0, collect=False)
        meter.print()


if __name__ == "__main__":
    main()
