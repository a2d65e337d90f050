"""Writes the Grafana dashboard beside it: `python deploy/grafana/make.py [--check]`.

What a panel says of its metrics, and what to do, is taken from the definitions in monitoring/metrics.py.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from clickstream.monitoring.metrics import DEFINITIONS

FILE = Path(__file__).parent / "dashboards" / "clickstream.json"
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH = 24


class Panel(NamedTuple):
    """A query a line: (PromQL, legend)."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


def rate(name: str, by: str = "", labels: str = "") -> str:
    """A counter a second, over all consumers."""
    return f"sum{f' by ({by})' if by else ''}(rate(clickstream_{name}{labels}[$__rate_interval]))"


def quantile(share: float, seconds: str = "close_to_score_seconds") -> str:
    """Of a time; of that from close to score, if no other is named."""
    return f"histogram_quantile({share}, {rate(f'{seconds}_bucket', 'le')})"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Now",
        (
            Panel("Ready consumers", "short", (("sum(clickstream_ready)", ""),), "stat", 4),
            Panel("Scores a second", "short", ((rate("scores_total"), ""),), "stat", 4),
            Panel("Open sessions", "short", (("sum(clickstream_open_sessions)", ""),), "stat", 4),
            Panel("Lag, records", "short", (("sum(clickstream_lag_records)", ""),), "stat", 4),
            Panel("Close to score, p99", "s", ((quantile(0.99), ""),), "stat", 4),
            Panel(
                "Partitions refused",
                "short",
                (('sum(clickstream_partitions{state="refused"})', ""),),
                "stat",
                4,
            ),
        ),
    ),
    (
        "Work",
        (
            Panel(
                "Records a second",
                "short",
                (
                    (rate("records_total"), "records"),
                    (rate("clicks_total"), "clicks"),
                    (rate("heartbeats_total"), "heartbeats"),
                ),
            ),
            Panel(
                "Sessions closed a second",
                "short",
                (
                    (rate("sessions_closed_total", "closed_by"), "{{closed_by}}"),
                    (rate("scores_total"), "scores"),
                    (rate("forgotten_total"), "forgotten"),
                    (rate("open_scores_total", "reason"), "open scores: {{reason}}"),
                ),
            ),
            Panel(
                "Open sessions",
                "short",
                (("clickstream_open_sessions", "{{instance}}"),),
                stacked=True,
            ),
            Panel("Lag, records", "short", (("clickstream_lag_records", "{{instance}}"),), stacked=True),
            Panel(
                "Watermark behind the clock", "s", (("clickstream_watermark_lag_seconds", "{{instance}}"),)
            ),
            Panel(
                "Partitions",
                "short",
                (("sum by (state)(clickstream_partitions)", "{{state}}"),),
                stacked=True,
            ),
        ),
    ),
    (
        "Time",
        (
            Panel("Close to score", "s", ((quantile(0.5), "p50"), (quantile(0.99), "p99"))),
            Panel(
                "The loop's second, by stage",
                "s",
                ((rate("stage_seconds_total", "stage"), "{{stage}}"),),
                stacked=True,
            ),
            Panel(
                "One run of a stage",
                "s",
                (
                    (
                        f"{rate('stage_seconds_total', 'stage')} / {rate('stage_runs_total', 'stage')}",
                        "{{stage}}",
                    ),
                ),
            ),
            Panel(
                "Records a step",
                "short",
                ((f"{rate('records_total')} / {rate('steps_total')}", "records"),),
            ),
            Panel(
                "Transactions a second",
                "short",
                (
                    (rate("transactions_total"), "committed"),
                    (rate("transaction_failures_total"), "failed"),
                ),
            ),
            Panel(
                "Redis scripts a second",
                "short",
                ((rate("redis_round_trips_total", "instance"), "{{instance}}"),),
            ),
        ),
    ),
    (
        "Look-up",
        (
            Panel(
                "Look-ups a second, by status", "short", ((rate("lookups_total", "status"), "{{status}}"),)
            ),
            Panel(
                "A look-up",
                "s",
                ((quantile(0.5, "lookup_seconds"), "p50"), (quantile(0.99, "lookup_seconds"), "p99")),
            ),
        ),
    ),
    (
        "Clicks",
        (
            Panel("Dead letters a second", "short", ((rate("dead_letters_total", "reason"), "{{reason}}"),)),
            Panel(
                "Late, twice, never; goals without a visit",
                "percentunit",
                tuple(
                    (f"{rate(f'{name}_total')} / {rate('clicks_total')}", name)
                    for name in ("late", "duplicates", "missing", "goals_without_visit")
                ),
            ),
            Panel(
                "Keys a second, by partitioner",
                "short",
                ((rate("keys_total", "partitioner"), "{{partitioner}}"),),
            ),
        ),
    ),
    (
        "Faults",
        (
            Panel("Recoveries a second", "short", ((rate("recoveries_total", "instance"), "{{instance}}"),)),
            Panel(
                "Servers away, seconds",
                "s",
                (("max by (server)(clickstream_server_away_seconds)", "{{server}}"),),
            ),
            Panel(
                "Idle heartbeats a second, by what became of them",
                "short",
                ((rate("idle_heartbeats_total", "result"), "{{result}}"),),
            ),
            Panel(
                "Claims in five minutes",
                "short",
                (("sum by (case)(increase(clickstream_claims_total[5m]))", "{{case}}"),),
            ),
            Panel(
                "Fenced, published again, held back",
                "short",
                (
                    (rate("fenced_total", "by"), "fenced by {{by}}"),
                    (rate("republished_total"), "from an outbox"),
                    (rate("suppressed_total"), "suppressed"),
                ),
            ),
        ),
    ),
    (
        "Models",
        (
            Panel(
                "Log-loss",
                "short",
                (("avg by (scorer, window)(clickstream_model_log_loss)", "{{scorer}} {{window}}"),),
            ),
            Panel(
                "AUC", "short", (("avg by (scorer, window)(clickstream_model_auc)", "{{scorer}} {{window}}"),)
            ),
            Panel(
                "Error of the revenue",
                "short",
                (("avg by (scorer, window)(clickstream_model_revenue_mae)", "{{scorer}} {{window}}"),),
            ),
            Panel(
                "Online in the cluster of batch",
                "percentunit",
                (("avg by (window)(clickstream_model_same_cluster)", "{{window}}"),),
            ),
            Panel(
                "Drift in an hour",
                "short",
                (("sum by (feature)(increase(clickstream_drift_total[1h]))", "{{feature}}"),),
            ),
            Panel(
                "Sessions judged", "short", (("sum by (window)(clickstream_model_sessions)", "{{window}}"),)
            ),
            Panel(
                "Shadow: log-loss",
                "short",
                (("avg by (scorer, window)(clickstream_shadow_log_loss)", "{{scorer}} {{window}}"),),
            ),
            Panel(
                "Shadow: AUC",
                "short",
                (("avg by (scorer, window)(clickstream_shadow_auc)", "{{scorer}} {{window}}"),),
            ),
            Panel(
                "Shadow: error of the revenue",
                "short",
                (("avg by (scorer, window)(clickstream_shadow_revenue_mae)", "{{scorer}} {{window}}"),),
            ),
            Panel(
                "Shadow: consumers it rides with, sessions, failures",
                "short",
                (
                    ("sum by (bundle)(clickstream_shadow_info)", "{{bundle}}"),
                    ("sum by (window)(clickstream_shadow_sessions)", "sessions {{window}}"),
                    ("sum(clickstream_shadow_failures_total)", "failures"),
                ),
            ),
            Panel(
                "Bundle in use, consumers",
                "short",
                (("count by (bundle)(clickstream_bundle_info)", "{{bundle}}"),),
            ),
            Panel(
                "Memory",
                "bytes",
                (('process_resident_memory_bytes{job="clickstream"}', "{{instance}}"),),
            ),
            Panel(
                "CPU",
                "percentunit",
                (('rate(process_cpu_seconds_total{job="clickstream"}[$__rate_interval])', "{{instance}}"),),
            ),
        ),
    ),
)


def described(panel: Panel) -> str:
    """What the metrics of a panel mean, and what to do."""
    text = " ".join(expression for expression, _ in panel.queries)
    names = dict.fromkeys(re.findall(r"clickstream_[a-z_]+?(?=_bucket|\b)", text))
    found = {one.name: one for one in DEFINITIONS}
    return "\n\n".join(f"{found[name].meaning} {found[name].action}" for name in names if name in found)


def drawn(panel: Panel, number: int, x: int, y: int, height: int) -> dict[str, Any]:
    """One panel, as Grafana reads it."""
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    options: dict[str, Any] = {"colorMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none"}
        defaults["custom"] = {"fillOpacity": 30 if panel.stacked else 5, "stacking": stacking}
        options = {"legend": {"displayMode": "list"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": described(panel),
        "datasource": SOURCE,
        "gridPos": {"h": height, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + at), "expr": expression, "legendFormat": legend, "datasource": SOURCE}
            for at, (expression, legend) in enumerate(panel.queries)
        ],
    }


def dashboard() -> dict[str, Any]:
    """All of it, as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
                "panels": [],
            }
        )
        y, x = y + 1, 0
        height = 4 if row[0].kind == "stat" else 8
        for panel in row:
            if x + panel.width > WIDTH:
                x, y = 0, y + height
            panels.append(drawn(panel, len(panels) + 1, x, y, height))
            x += panel.width
        y += height
    return {
        "uid": "clickstream",
        "title": "clickstream-scoring",
        "tags": ["clickstream"],
        "timezone": "browser",
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def text() -> str:
    """The content of the file."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file; with --check, end with 1 where it is stale."""
    if "--check" not in sys.argv[1:]:
        FILE.write_text(text(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != text():
        sys.exit(f"{FILE} is stale: run python deploy/grafana/make.py")


if __name__ == "__main__":
    main()
