"""The scores of a run summed up while they arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from clickstream.records.scorers import SCORERS


class Summary:
    """Counts and means over scores; `add` each once."""

    def __init__(self) -> None:
        self.sessions = 0
        self.without_predictions = 0
        self.converted = 0
        self.revenue = 0.0
        self.conversion: Counter[str] = Counter()
        self._of_converted: Counter[str] = Counter()
        self.expected_revenue: Counter[str] = Counter()
        self.clusters: dict[str, Counter[str]] = {name: Counter() for name in SCORERS}
        self._converted: Counter[str] = Counter()
        self.delays_ms: list[int] = []
        self.last: Mapping[str, Any] | None = None

    def add(self, score: Mapping[str, Any], received_ms: int) -> None:
        """Count one score, which a subscriber got at `received_ms` (wall clock)."""
        self.sessions += 1
        self.last = score
        self.converted += score["outcome"]["converted"]
        self.revenue += score["outcome"]["revenue"] or 0.0
        self.delays_ms.append(received_ms - score["scored_at"])
        if score["error"] is not None:
            self.without_predictions += 1
            return
        for name in SCORERS:
            prediction = score["predictions"][name]
            if prediction is None:
                continue  # the shop has no such scorer
            self.conversion[name] += prediction["conversion"]
            if score["outcome"]["converted"]:
                self._of_converted[name] += prediction["conversion"]
                self._converted[name] += 1
            self.expected_revenue[name] += prediction["revenue"] or 0
            self.clusters[name][prediction["cluster_name"]] += 1

    def mean_conversion(self, scorer: str) -> float:
        """Mean predicted probability of conversion."""
        return self.conversion[scorer] / self._predicted

    def mean_conversion_of(self, scorer: str, converted: bool) -> float:
        """The same over the sessions that converted, or over the others; 0 where there are none."""
        count, total = self._converted[scorer], self._of_converted[scorer]
        if not converted:
            count, total = self._predicted - count, self.conversion[scorer] - total
        return total / max(count, 1)

    def mean_revenue(self, scorer: str) -> float:
        """Mean predicted revenue, in the currency of the prices."""
        return self.expected_revenue[scorer] / self._predicted

    def shares(self, scorer: str) -> list[tuple[str, float]]:
        """Cluster names with their share of sessions, largest first."""
        return [(name, n / self._predicted) for name, n in self.clusters[scorer].most_common()]

    def delay_ms(self, quantile: float) -> int:
        """A quantile of the milliseconds from the moment of scoring to the subscriber; 0 without a score."""
        ordered = sorted(self.delays_ms)
        return ordered[min(int(quantile * len(ordered)), len(ordered) - 1)] if ordered else 0

    @property
    def _predicted(self) -> int:
        return max(self.sessions - self.without_predictions, 1)
