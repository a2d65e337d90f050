"""Metrics as Prometheus reads them."""

from __future__ import annotations

import re
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from clickstream.infra.errors import ConfigurationError
from clickstream.local.child import free_port
from clickstream.monitoring.metrics import DEFINITIONS, Distribution, Sample
from clickstream.monitoring.serving import served


def scrape(port: int | None) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_values_are_those_of_the_moment_of_the_scrape() -> None:
    scores = 0
    with served("127.0.0.1", free_port(), lambda: [Sample("clickstream_scores_total", scores)]) as port:
        assert "clickstream_scores_total 0.0" in scrape(port)
        scores = 7
        assert "clickstream_scores_total 7.0" in scrape(port)


def test_every_name_is_served_with_its_kind_labels_and_meaning() -> None:
    samples = [
        Sample(one.name, Distribution(one.name) if one.buckets else 1.5, tuple(f"a {x}" for x in one.labels))
        for one in DEFINITIONS
    ]
    with served("127.0.0.1", free_port(), lambda: samples) as port:
        found = text_string_to_metric_families(scrape(port))
        families = {family.name: family for family in found if not family.name.startswith("process_")}
    assert len(families) == len(DEFINITIONS)
    for one in DEFINITIONS:
        counter = one.name.endswith("_total")
        family = families[one.name.removesuffix("_total")]
        assert family.type == ("counter" if counter else "histogram" if one.buckets else "gauge")
        assert family.documentation == f"{one.meaning} [{one.unit}]"
        if one.buckets:
            continue
        (sample,) = (sample for sample in family.samples if sample.name == one.name)
        assert sample.value == 1.5
        assert sample.labels == {label: f"a {label}" for label in one.labels}


def test_values_fall_into_the_buckets_of_the_definition() -> None:
    times = Distribution("clickstream_close_to_score_seconds")
    times.add(0.01, 3)
    times.add(0.011)
    times.add(60, 2)
    with served(
        "127.0.0.1", free_port(), lambda: [Sample("clickstream_close_to_score_seconds", times)]
    ) as port:
        lines = scrape(port).splitlines()
    name = "clickstream_close_to_score_seconds"
    for bound, count in (("0.01", 3), ("0.025", 4), ("10.0", 4), ("+Inf", 6)):
        assert f'{name}_bucket{{le="{bound}"}} {count}.0' in lines
    assert f"{name}_count 6.0" in lines
    assert f"{name}_sum {3 * 0.01 + 0.011 + 120}" in lines


def test_the_process_tells_its_memory_and_cpu() -> None:
    with served("127.0.0.1", free_port()) as port:
        text = scrape(port)
    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
        assert re.search(rf"^{name} [1-9.]", text, re.MULTILINE), name


def test_sources_are_served_together_and_no_other_of_ours_is() -> None:
    sources = [
        lambda: [Sample("clickstream_drift_total", 1, ("mean_price",))],
        lambda: [Sample("clickstream_drift_total", 0, ("last_page",)), Sample("clickstream_steps_total", 3)],
    ]
    with served("127.0.0.1", free_port(), *sources) as port:
        lines = [line for line in scrape(port).splitlines() if line.startswith("clickstream_")]
    assert lines == [
        "clickstream_steps_total 3.0",
        'clickstream_drift_total{feature="mean_price"} 1.0',
        'clickstream_drift_total{feature="last_page"} 0.0',
    ]


def test_without_a_port_nothing_is_served() -> None:
    for port in (0, None):
        with served("127.0.0.1", port) as found:
            assert found is None


def test_a_port_in_use_is_refused_with_its_number() -> None:
    with (
        served("127.0.0.1", free_port()) as port,
        pytest.raises(ConfigurationError, match=str(port)) as caught,
        served("127.0.0.1", port),
    ):
        pass
    assert "--metrics-port" in caught.value.remedy
    with served("127.0.0.1", port) as again:
        assert again == port


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1"), served("192.0.2.1", free_port()):
        pass


def test_names_follow_the_rules_of_prometheus() -> None:
    names = [one.name for one in DEFINITIONS]
    assert len(names) == len(set(names))
    for one in DEFINITIONS:
        assert re.fullmatch(r"clickstream_[a-z_]+", one.name)
        assert one.unit
        assert one.meaning.endswith(".")
        assert one.action.endswith(".")
