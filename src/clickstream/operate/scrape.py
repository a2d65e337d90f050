"""Consumers, scraped over HTTP: /metrics and /readyz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
from prometheus_client.parser import text_string_to_metric_families

from clickstream.infra.errors import UsageError

_PATIENCE_S = 2.0
_AT_ONCE = 16
_LATENCY = "clickstream_close_to_score_seconds_bucket"

Buckets = tuple[tuple[float, float], ...]
"""(upper bound in seconds, scores up to it), in order; the last bound is infinite."""


class Scrape(NamedTuple):
    """One consumer at one moment; `away` says why it could not be asked, and then nothing else is known."""

    address: str
    away: str = ""
    ready: bool = False
    reasons: tuple[str, ...] = ()
    partitions: tuple[int, ...] = ()
    values: Mapping[str, float] = {}
    """Metric -> value; counters are summed over their labels, gauges with labels are left out."""
    latency: Buckets = ()
    labelled: Mapping[tuple[str, ...], float] = {}
    """(Gauge, label values in the order of its definition) -> value."""


def address_of(url: str) -> str:
    """The root of what a consumer serves, from any of its addresses: "host:9100", "http://host:9100/metrics".

    Raises:
        UsageError: there is no host or no port in it.
    """
    rest = url.removeprefix("http://").rstrip("/").removesuffix("/metrics")
    host, _, port = rest.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UsageError(
            f"--metrics {url!r}", "Write it as http://host:port, the --metrics-port of a consumer."
        )
    return f"http://{rest}"


def ask_all(addresses: Sequence[str]) -> list[Scrape]:
    """Scrape all consumers at once: one that is away must not hold up the others."""
    if not addresses:
        return []
    with ThreadPoolExecutor(min(len(addresses), _AT_ONCE)) as pool:
        return list(pool.map(_ask, addresses))


def _ask(address: str) -> Scrape:
    try:
        text = _get(f"{address}/metrics").decode()
        report: dict[str, Any] = orjson.loads(_get(f"{address}/readyz"))
        values, latency, labelled = _read(text)
    except (OSError, ValueError) as error:
        return Scrape(address, away=str(getattr(error, "reason", error)) or type(error).__name__)
    return Scrape(
        address,
        ready=bool(report.get("ready")),
        reasons=tuple(map(str, report.get("reasons", ()))),
        partitions=tuple(report.get("partitions", ())),
        values=values,
        latency=latency,
        labelled=labelled,
    )


def _get(url: str) -> bytes:
    try:
        with urlopen(url, timeout=_PATIENCE_S) as answer:
            content: bytes = answer.read()
    except HTTPError as error:
        # "Not ready" is an answer too.
        if error.code != 503:
            raise
        content = error.read()
    return content


def _read(text: str) -> tuple[dict[str, float], Buckets, dict[tuple[str, ...], float]]:
    values: dict[str, float] = {}
    labelled: dict[tuple[str, ...], float] = {}
    latency: list[tuple[float, float]] = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _LATENCY:
                latency.append((float(sample.labels["le"]), sample.value))
            elif family.type == "gauge" and sample.labels:
                labelled[sample.name, *sample.labels.values()] = sample.value
            else:
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
    return values, tuple(latency), labelled


def quantile(share: float, now: Buckets, before: Buckets = ()) -> float | None:
    """Seconds within which `share` of the scores between two moments were committed; None without scores.

    Linear within a bucket, as PromQL's histogram_quantile.
    """
    then = dict(before)
    counts = [(bound, count - then.get(bound, 0.0)) for bound, count in now]
    total = counts[-1][1] if counts else 0.0
    if total <= 0:
        return None
    wanted, low, below = share * total, 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (wanted - below) / max(count - below, 1e-9)
        low, below = bound, count
    return low
