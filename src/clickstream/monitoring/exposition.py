"""Metrics in the form that Prometheus fetches, by the client library.

Beside ours it says what the operating system knows of the process (memory, CPU, open files), under the
library's own names `process_…`.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from clickstream.monitoring.metrics import (
    DEFINITIONS,
    Distribution,
    MetricDefinition,
    MetricName,
    Sample,
    SampleSource,
)


def registry(sources: tuple[SampleSource, ...]) -> CollectorRegistry:
    """The samples of the sources and of the process, as the client library's own exposition asks for it."""
    collected = CollectorRegistry()
    collected.register(_Collector(sources))
    ProcessCollector(registry=collected)
    return collected


class _Collector(Collector):
    def __init__(self, sources: tuple[SampleSource, ...]) -> None:
        self._sources = sources

    def collect(self) -> Iterable[Metric]:
        samples: dict[MetricName, list[Sample]] = {}
        for source in self._sources:
            for sample in source():
                samples.setdefault(sample.name, []).append(sample)
        for definition in DEFINITIONS:
            if found := samples.get(definition.name):
                yield _family(definition, found)


def _family(definition: MetricDefinition, samples: Iterable[Sample]) -> Metric:
    name, labels = definition.name, definition.labels
    meaning = f"{definition.meaning} [{definition.unit}]"
    if definition.buckets:
        histogram = HistogramMetricFamily(name, meaning, labels=labels)
        for sample in samples:
            if isinstance(sample.value, Distribution):
                histogram.add_metric(sample.labels, *sample.value.cumulated())
        return histogram
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    family = kind(name, meaning, labels=labels)
    for sample in samples:
        if not isinstance(sample.value, Distribution):
            family.add_metric(sample.labels, sample.value)
    return family
