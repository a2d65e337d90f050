"""Metrics for Prometheus: every name once, with its meaning and what to do about it.

Values are computed when they are asked for. No label grows with the data: scorers, windows and watched
features are fixed lists, and of bundles only the one in use is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Name = Literal[
    "clickstream_records_total",
    "clickstream_scores_total",
    "clickstream_dead_letters_total",
    "clickstream_steps_total",
    "clickstream_transactions_total",
    "clickstream_recoveries_total",
    "clickstream_bundle_info",
    "clickstream_model_sessions",
    "clickstream_model_log_loss",
    "clickstream_model_auc",
    "clickstream_model_revenue_mae",
    "clickstream_model_same_cluster",
    "clickstream_drift_total",
]


class Definition(NamedTuple):
    """What a name stands for. A name in `_total` is a counter since the start of the process."""

    name: Name
    unit: str
    labels: tuple[str, ...]
    meaning: str
    action: str


DEFINITIONS = (
    Definition(
        "clickstream_records_total",
        "records",
        (),
        "Records of the clicks topic whose effect is in Redis.",
        "Stands still while clicks come: look at the log of the consumer.",
    ),
    Definition(
        "clickstream_scores_total",
        "scores",
        (),
        "Scores committed to the scores topic.",
        "Stands still while the records rise: does event time move? `clickstream doctor` looks.",
    ),
    Definition(
        "clickstream_dead_letters_total",
        "records",
        (),
        "Records that could not be counted, committed to the dead letters.",
        "Rises: read the dead letters, each says why; the sender needs mending.",
    ),
    Definition(
        "clickstream_steps_total",
        "steps",
        (),
        "Polls that brought records, worked through.",
        "Nothing; records a step say how large a step is.",
    ),
    Definition(
        "clickstream_transactions_total",
        "transactions",
        (),
        "Kafka transactions committed.",
        "Nothing; scores a transaction say what one is shared by.",
    ),
    Definition(
        "clickstream_recoveries_total",
        "recoveries",
        (),
        "Times that all partitions were dropped and recovered after a fault.",
        "Rises again and again: the log names the fault, mostly a server that is away.",
    ),
    Definition(
        "clickstream_bundle_info",
        "1",
        ("bundle",),
        "The bundle whose predictions are published.",
        "Differs between consumers for long: one did not take the promoted bundle, its log says why.",
    ),
    Definition(
        "clickstream_model_sessions",
        "sessions",
        ("window",),
        "Sessions with evidence that the figures of the window are over.",
        "Below a few hundred: do not read the figures yet.",
    ),
    Definition(
        "clickstream_model_log_loss",
        "nats",
        ("scorer", "window"),
        "Mean log-loss of the probability of conversion, by progressive validation; lower is better.",
        "Rolling above since_start for long: the shop has changed, train again.",
    ),
    Definition(
        "clickstream_model_auc",
        "1",
        ("scorer", "window"),
        "ROC-AUC of the probability of conversion, by progressive validation; absent while all converted or"
        " none.",
        "Rolling far below since_start: train again. `batch` below `online` for long: too.",
    ),
    Definition(
        "clickstream_model_revenue_mae",
        "currency of the prices",
        ("scorer", "window"),
        "Mean absolute error of the expected revenue, by progressive validation.",
        "Rises with the prices alone: compare it with their mean before training again.",
    ),
    Definition(
        "clickstream_model_same_cluster",
        "share",
        ("window",),
        "Share of sessions that `online` puts into the cluster of `batch`.",
        "Falls: behaviour moves away from the clusters of training; train again.",
    ),
    Definition(
        "clickstream_drift_total",
        "changes",
        ("feature",),
        "Changes of the mean of a watched feature or error that ADWIN found.",
        "Rises: the log line `drift` has the means before and after; look whether the shop or the tracking"
        " changed, then train again.",
    ),
)


class Sample(NamedTuple):
    """A value; `labels` in the order of the definition."""

    name: Name
    value: float
    labels: tuple[str, ...] = ()


Source = Callable[[], Iterable[Sample]]
"""Gives samples when a scrape asks, on a thread of the server's."""


def registry(sources: tuple[Source, ...]) -> CollectorRegistry:
    """What the sources say, as the client library's own exposition asks for it."""
    collected = CollectorRegistry()
    collected.register(_Collector(sources))
    return collected


class _Collector(Collector):
    def __init__(self, sources: tuple[Source, ...]) -> None:
        self._sources = sources

    def collect(self) -> Iterable[Metric]:
        samples: dict[Name, list[Sample]] = {}
        for source in self._sources:
            for sample in source():
                samples.setdefault(sample.name, []).append(sample)
        for definition in DEFINITIONS:
            found = samples.get(definition.name)
            if not found:
                continue
            kind = CounterMetricFamily if definition.name.endswith("_total") else GaugeMetricFamily
            meaning = f"{definition.meaning} [{definition.unit}]"
            family = kind(definition.name, meaning, labels=definition.labels)
            for sample in found:
                family.add_metric(sample.labels, sample.value)
            yield family
