"""Latency of the look-up beside whatever runs: a fixed rate of requests for sessions that are open.

    clickstream up, consume, replay --speed 3000, serve      # each in a terminal of its own
    .venv/bin/python bench/lookup.py [--rate 200] [--seconds 20] [--url http://127.0.0.1:8700]

Requests leave on a schedule, whether the former ones were answered or not (an open loop): a wait of the
server is in the figures of all that it delays. With a token, set CLICKSTREAM_LOOKUP_TOKEN.
"""

from __future__ import annotations

import argparse
import http.client
import os
import queue
import statistics
import threading
import time
from collections import Counter
from urllib.parse import quote, urlsplit

import orjson

THREADS = 16
REFRESH_S = 2.0


def main() -> None:
    """Ask, and print the percentiles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8700")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    address = urlsplit(options.url)
    headers = {}
    if token := os.environ.get("CLICKSTREAM_LOOKUP_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    waiting: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()
    took: list[float] = []
    statuses: Counter[int] = Counter()

    def ask() -> None:
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 80)
        while (job := waiting.get()) is not None:
            due, session_id = job
            connection.request("GET", f"/v1/sessions/{quote(session_id, safe='')}", headers=headers)
            response = connection.getresponse()
            response.read()
            took.append(time.perf_counter() - due)
            statuses[response.status] += 1

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    begun = time.perf_counter()
    ids: list[str] = []
    asked_at = float("-inf")
    for number in range(round(options.rate * options.seconds)):
        due = begun + number / options.rate
        if due - asked_at > REFRESH_S:
            ids, asked_at = open_ids(options.url, headers), due
        time.sleep(max(due - time.perf_counter(), 0.0))
        waiting.put((max(due, time.perf_counter() - 0.001), ids[number % len(ids)]))
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    cuts = statistics.quantiles(took, n=100)
    print(f"{len(took):,} requests at {options.rate:g} a second, by status {dict(statuses)}")
    print(f"p50 {1e3 * cuts[49]:.2f} ms, p90 {1e3 * cuts[89]:.2f}, p99 {1e3 * cuts[98]:.2f},"
          f" longest {1e3 * max(took):.1f}")  # fmt: skip


def open_ids(url: str, headers: dict[str, str]) -> list[str]:
    """Ids of sessions that are open now."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80)
    connection.request("GET", "/v1/sessions?limit=200", headers=headers)
    found = orjson.loads(connection.getresponse().read())
    ids = [one["session_id"] for one in found["sessions"]]
    if not ids:
        raise SystemExit("nothing is open: start a replay")
    return ids


if __name__ == "__main__":
    main()
