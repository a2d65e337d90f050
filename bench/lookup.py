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
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import orjson

THREADS = 16
REFRESH_S = 2.0


class Asked(NamedTuple):
    """What became of requests: seconds from when each was due, in the order of their answers; by status."""

    took: list[float]
    statuses: Counter[int]


def main() -> None:
    """Ask, and print the percentiles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8700")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    headers = {}
    if token := os.environ.get("CLICKSTREAM_LOOKUP_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    asked = open_loop(
        options.url, headers, options.rate, ids_of_open(options.url, headers), seconds=options.seconds
    )
    print(f"{len(asked.took):,} requests at {options.rate:g} a second, by status {dict(asked.statuses)}")
    print(percentiles(asked.took))


def open_loop(
    url: str,
    headers: Mapping[str, str],
    rate: float,
    ids: Iterator[str],
    *,
    seconds: float = float("inf"),
    ended: threading.Event | None = None,
) -> Asked:
    """Ask for sessions at a rate, until the time is over or `ended` is set."""
    address = urlsplit(url)
    waiting: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()
    asked = Asked([], Counter())

    def ask() -> None:
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 80)
        while (job := waiting.get()) is not None:
            if ended is not None and ended.is_set():
                continue
            due, session_id = job
            connection.request("GET", f"/v1/sessions/{quote(session_id, safe='')}", headers=dict(headers))
            response = connection.getresponse()
            response.read()
            asked.took.append(time.perf_counter() - due)
            asked.statuses[response.status] += 1

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    begun = time.perf_counter()
    for number, session_id in enumerate(ids):
        due = begun + number / rate
        if due - begun >= seconds or (ended is not None and ended.is_set()):
            break
        time.sleep(max(due - time.perf_counter(), 0.0))
        waiting.put((max(due, time.perf_counter() - 0.001), session_id))
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    return asked


def percentiles(took: Sequence[float]) -> str:
    """In words, of times in seconds; there must be two or more."""
    cuts = statistics.quantiles(took, n=100)
    return (
        f"p50 {1e3 * cuts[49]:.2f} ms, p90 {1e3 * cuts[89]:.2f}, p99 {1e3 * cuts[98]:.2f},"
        f" longest {1e3 * max(took):.1f}"
    )


def ids_of_open(url: str, headers: Mapping[str, str]) -> Iterator[str]:
    """Ids of open sessions one after the other, without end; which are open is asked every REFRESH_S."""
    while True:
        ids, asked_at = cycle(open_ids(url, dict(headers))), time.perf_counter()
        while time.perf_counter() - asked_at < REFRESH_S:
            yield next(ids)


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
