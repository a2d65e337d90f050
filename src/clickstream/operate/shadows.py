"""Candidates that ride along, by the metrics of the consumers that they ride with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from clickstream.consumer.model_metrics import IN_USE, SHADOW, QualityNames
from clickstream.operate.scrape import Scrape
from clickstream.records.scorers import SCORERS

WINDOWS = ("since_start", "rolling")

Figures = dict[str, dict[str, Any]]
"""Window -> sessions, and the figures of each scorer."""


class RidingShadow(NamedTuple):
    """A candidate beside the bundle in use, on the sessions of one consumer since its start."""

    address: str
    bundle: str
    rides: bool
    failures: int
    figures: Figures
    in_use: str
    figures_in_use: Figures


def shadows_of(scrapes: Sequence[Scrape]) -> Iterator[RidingShadow]:
    """The candidates that ride with these consumers."""
    for scrape in scrapes:
        for bundle, rides in _labels(scrape, "clickstream_shadow_info"):
            yield RidingShadow(
                scrape.address,
                bundle,
                rides > 0,
                int(scrape.values.get("clickstream_shadow_failures_total", 0)),
                _figures(scrape, SHADOW),
                next((name for name, _ in _labels(scrape, "clickstream_bundle_info")), "-"),
                _figures(scrape, IN_USE),
            )


def _labels(scrape: Scrape, metric: str) -> Iterator[tuple[str, float]]:
    for (name, *labels), value in scrape.labelled.items():
        if name == metric:
            yield labels[0], value


def _figures(scrape: Scrape, names: QualityNames) -> Figures:
    values = scrape.labelled
    found: Figures = {}
    for window in WINDOWS:
        found[window] = {"sessions": int(values.get((names.sessions, window), 0))}
        for scorer in SCORERS:
            if (names.log_loss, scorer, window) in values:
                found[window][scorer] = {
                    figure: values.get((metric, scorer, window))
                    for figure, metric in (
                        ("log_loss", names.log_loss),
                        ("auc", names.auc),
                        ("mae", names.mae),
                    )
                }
    return found
