"""What a running consumer reports of its models: their quality in the stream, and drift.

It is this process's view since its start: each score counts once, when the transaction of the step that made
it is known to be committed. A restart begins anew, and quality with another bundle; what other processes
published, or this one in the name of one that died, is not in it. The whole stream is on the scores topic:
`clickstream models watch` reads it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from clickstream.consumer.score_evaluation import ObservedScore, ScoreEvaluation, score_observer
from clickstream.features.shop import UCI553, Shop
from clickstream.infra.logs import logger
from clickstream.models.quality import Quality, measure
from clickstream.monitoring.metrics import MetricName, Sample

log = logger("models")

WINDOW = 2_000
"""Sessions of the rolling figures."""


_bundle = attrgetter("models.bundle")
_last_click_at = attrgetter("last_click_at")


class ModelMetrics:
    """Fed by the engine after each transaction, asked by a scrape on another thread.

    Changes are detected over the sessions of all its partitions together: one of eight has an eighth of the
    sessions to find a change with, and eight have as many chances of a false alarm. The price: of a backlog,
    partitions come in pieces one after the other, and a change within it can be missed or found twice.

    Attributes:
        observe: notes of a score, before it is written, what is taken in once it is published.
    """

    def __init__(self, bundle: str, shop: Shop = UCI553) -> None:
        self._bundle = bundle
        self.observe = score_observer(shop)
        self._evaluation = ScoreEvaluation(WINDOW, shop)
        self._lock = threading.Lock()

    def took(self, bundle: str) -> None:
        """Scores are made with this bundle from now on."""
        with self._lock:
            if bundle != self._bundle:
                self._bundle = bundle
                self._evaluation.other_models()

    def published(self, scores: Sequence[ObservedScore]) -> None:
        """Take in scores that a transaction has committed."""
        # A bundle is taken between two steps, so those of one come first.
        for bundle, group in groupby(scores, key=_bundle):
            self._observe(bundle, sorted(group, key=_last_click_at))

    def samples(self) -> Iterator[Sample]:
        """All that is known now."""
        with self._lock:
            bundle, alarms = self._bundle, dict(self._evaluation.alarms)
            since_start, recent = self._evaluation.since_start(), self._evaluation.recent()
        yield Sample("clickstream_bundle_info", 1, (bundle,))
        for feature, count in alarms.items():
            yield Sample("clickstream_drift_total", count, (feature,))
        rolling = measure(recent, self._evaluation.scorers)
        yield from quality_samples(IN_USE, since_start, "since_start")
        yield from quality_samples(IN_USE, rolling, "rolling")

    def _observe(self, bundle: str, scores: Sequence[ObservedScore]) -> None:
        self.took(bundle)
        with self._lock:
            alarms = self._evaluation.add(scores)
        for alarm in alarms:
            log.warning(
                "drift",
                feature=alarm.feature,
                **({} if alarm.value is None else {"value": alarm.value}),
                before=round(alarm.before, 4),
                after=round(alarm.after, 4),
                sessions=alarm.sessions,
            )


class QualityNames(NamedTuple):
    """The metrics of the quality of one bundle. `same_cluster` None: it is not served."""

    sessions: MetricName
    log_loss: MetricName
    auc: MetricName
    mae: MetricName
    same_cluster: MetricName | None


IN_USE = QualityNames(
    "clickstream_model_sessions",
    "clickstream_model_log_loss",
    "clickstream_model_auc",
    "clickstream_model_revenue_mae",
    "clickstream_model_same_cluster",
)
SHADOW = QualityNames(
    "clickstream_shadow_sessions",
    "clickstream_shadow_log_loss",
    "clickstream_shadow_auc",
    "clickstream_shadow_revenue_mae",
    None,
)


def quality_samples(names: QualityNames, quality: Quality | None, window: str) -> Iterator[Sample]:
    """The figures of one window, as metrics; what is not known is left out."""
    yield Sample(names.sessions, quality.sessions if quality else 0, (window,))
    if quality is None:
        return
    if names.same_cluster is not None:
        yield Sample(names.same_cluster, quality.same_cluster, (window,))
    for scorer, merit in quality.scorers.items():
        yield Sample(names.log_loss, merit.log_loss, (scorer, window))
        if merit.mae is not None:
            yield Sample(names.mae, merit.mae, (scorer, window))
        if merit.auc is not None:
            yield Sample(names.auc, merit.auc, (scorer, window))
