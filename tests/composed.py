"""docker-compose.yml as the tests read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "clickstream.json"


def composed() -> dict[str, Any]:
    """The whole file, its anchors resolved and its variables not."""
    whole: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return whole


def services() -> dict[str, dict[str, Any]]:
    """Each service by its name."""
    found: dict[str, dict[str, Any]] = composed()["services"]
    return found


def environment(service: str) -> dict[str, str]:
    """Variables of a service, each with the default of what the host may set."""
    given = services()[service].get("environment", {})
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in given.items()}


def panels() -> list[dict[str, Any]]:
    """Of Grafana's dashboard."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def queries(over: str) -> list[str]:
    """What they ask Prometheus, rates over a time such as 5m."""
    targets = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    return [query.replace("$__rate_interval", over) for query in targets]
