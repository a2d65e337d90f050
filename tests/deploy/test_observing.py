"""The dashboard and the alerts name metrics that there are, and each alert has its page."""

from __future__ import annotations

import runpy
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, get_args

import promql_parser
import pytest
import yaml
from composed import DASHBOARD, ROOT, panels, queries
from prometheus_client import ProcessCollector

from clickstream.consumer.counters import LoopStage
from clickstream.consumer.recovery import ClaimCase
from clickstream.infra.placement import PARTITIONERS
from clickstream.monitoring.health import KafkaProbe, RedisProbe
from clickstream.monitoring.metrics import DEFINITIONS
from clickstream.records.reasons import ClosedBy, Reason
from clickstream.records.scorers import SCORERS

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
MAKE = ROOT / "deploy" / "grafana" / "make.py"

OURS = {
    name: set(one.labels) | ({"le"} if one.buckets else set())
    for one in DEFINITIONS
    for name in ([f"{one.name}_{part}" for part in ("bucket", "sum", "count")] if one.buckets else [one.name])
}
PROCESS = {family.name for family in ProcessCollector(registry=None).collect()}
# What Prometheus adds by itself.
TARGET = {"instance", "job"}
VALUES = {
    "state": {"served", "replayed", "refused"},
    "case": set(get_args(ClaimCase)),
    "closed_by": set(get_args(ClosedBy)),
    "reason": set(get_args(Reason)),
    "stage": set(get_args(LoopStage)),
    "partitioner": set(PARTITIONERS),
    "scorer": set(SCORERS),
    "window": {"since_start", "rolling"},
    "job": {"clickstream"},
    "server": {RedisProbe.server, KafkaProbe.server},
}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def selectors(query: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each metric that a query reads, with the label values that it asks for."""
    found: list[promql_parser.VectorSelector] = []

    def visit(expression: promql_parser.Expr) -> bool:
        if isinstance(expression, promql_parser.VectorSelector):
            found.append(expression)
        return True

    promql_parser.walk(promql_parser.parse(query), visit)
    for one in found:
        yield one.name or "", [(matcher.name, matcher.value) for matcher in one.matchers.matchers]


EVERYTHING = [*queries("5m"), *(rule["expr"] for rule in rules())]


@pytest.mark.parametrize("query", EVERYTHING)
def test_a_query_parses_and_reads_metrics_and_labels_that_there_are(query: str) -> None:
    read = list(selectors(query))
    assert read
    for name, matchers in read:
        assert name in OURS or name.removesuffix("_total") in PROCESS or name == "up", name
        for label, value in matchers:
            assert label in OURS.get(name, set()) | TARGET, f"{name} has no label {label}"
            assert set(value.split("|")) <= VALUES[label], f"{label} is never {value}"


def test_a_query_that_names_none_would_be_found() -> None:
    assert list(selectors('sum(rate(clickstream_nothing_total{case="new"}[5m]))')) == [
        ("clickstream_nothing_total", [("case", "new")])
    ]
    with pytest.raises(ValueError):
        promql_parser.parse("sum(rate(clickstream_clicks_total[5m])")


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for query in queries("5m") for name, _ in selectors(query)}
    for one in DEFINITIONS:
        assert any(name.startswith(one.name) for name in shown), one.name


def test_the_dashboard_is_the_one_of_its_script() -> None:
    made = runpy.run_path(str(MAKE))
    assert DASHBOARD.read_text() == made["text"]()


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    shown = panels()
    assert len({panel["id"] for panel in shown}) == len(shown)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in shown)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert all(
        panel["description"] for panel in shown if panel["type"] != "row" and "process_" not in str(panel)
    )


def test_each_alert_has_its_section_of_the_operations_guide() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    sections = {line.removeprefix("### ") for line in guide.splitlines() if line.startswith("### ")}
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    assert set(names) <= sections
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in ("page", "ticket")


Scraped = list[tuple[float, float]]
"""(when, the start time that the process had then), in seconds."""


def holds(query: promql_parser.Expr, samples: Scraped, now: float) -> bool:
    """Whether `changes(…[range]) > number`, or several of these with `and`, has a result for this series."""
    assert isinstance(query, promql_parser.BinaryExpr)
    if str(query.op) == "and":
        return holds(query.lhs, samples, now) and holds(query.rhs, samples, now)
    counted, most = query.lhs, query.rhs
    assert isinstance(counted, promql_parser.Call)
    assert isinstance(most, promql_parser.NumberLiteral)
    assert (counted.func.name, str(query.op)) == ("changes", ">")
    (matrix,) = counted.args
    assert isinstance(matrix, promql_parser.MatrixSelector)
    seen = [value for at, value in samples if now - matrix.range.total_seconds() < at <= now]
    return sum(a != b for a, b in pairwise(seen)) > most.val


def scraped(starts: Sequence[float], lives: float) -> Scraped:
    """What Prometheus has of a pod that is up for `lives` seconds from each start, asked every 15 s."""
    return [(at, start) for start in starts for at in range(0, 30_000, 15) if start <= at < start + lives]


@pytest.mark.parametrize("lives", [20, 150, 420])
def test_restarting_holds_on_at_the_longest_wait_and_ends_soon_after_it(lives: int) -> None:
    """Kubernetes waits 10 s, then twice as long each time, up to five minutes."""
    query = promql_parser.parse(next(rule["expr"] for rule in rules() if rule["alert"] == "Restarting"))
    starts = [0.0]
    for number in range(30):
        starts.append(starts[-1] + lives + min(10 * 2**number, 300))
    looping = scraped(starts, lives)
    assert not holds(query, looping, starts[2] + 15)
    assert all(holds(query, looping, now) for now in range(3_600, int(starts[-1]), 60))
    mended = [*looping, *((at, starts[-1]) for at in range(int(starts[-1]), 30_000, 15))]
    assert not holds(query, mended, starts[-1] + 21 * 60)


def test_prometheus_reads_these_rules_and_scrapes_under_the_name_that_they_ask_for() -> None:
    config = yaml.safe_load((ALERTS.parent / "prometheus.yml").read_text())
    assert config["rule_files"] == [ALERTS.name]
    jobs = [job["job_name"] for job in config["scrape_configs"]]
    assert jobs == ["clickstream", "clickstream-lookup"]
