"""A candidate that rides along: it scores the windows that the bundle in use scores, and publishes nothing.

It is asked after a transaction is committed, so what it says delays no score of that step, and a step that is
repeated asks it once. Its online models begin with their warm start and learn what this process publishes;
they are kept in memory alone. It follows no promotion. Whatever it raises ends its ride and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial

from clickstream.bundles.bundle import Bundle
from clickstream.consumer.model_metrics import SHADOW, WINDOW, quality_samples
from clickstream.consumer.score_evaluation import ObservedScore, ScoreEvaluation, score_observer
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.features.shop import Shop
from clickstream.infra.logs import logger
from clickstream.models.drift import WatchedFeatures
from clickstream.models.online import OnlineModels
from clickstream.monitoring.metrics import Sample
from clickstream.records.score import REBUILT_PARTLY

log = logger("shadow")

# The features are the same whoever scores them: their drift is watched once.
_NOTHING = WatchedFeatures((), ())


class Shadow:
    """Fed by the engine after each transaction, asked by a scrape on another thread.

    Attributes:
        failures: sessions that it could not score.
        rides: False once it has failed for good.
    """

    def __init__(self, bundle: Bundle, shop: Shop) -> None:
        self._bundle = bundle
        # Topic and settings stand in scores that nobody keeps.
        self._scorer = WindowScorer(bundle, "", "", shop)
        self._observe = score_observer(shop)
        self._evaluation = ScoreEvaluation(WINDOW, shop, _NOTHING)
        self._online: dict[int, OnlineModels] = {}
        self._lock = threading.Lock()
        self.failures = 0
        self.rides = True
        log.info("a candidate rides along", bundle=bundle.id)

    def published(self, windows: Sequence[UnscoredWindow]) -> None:
        """Score windows whose scores a transaction has committed."""
        if not self.rides or not windows:
            return
        try:
            self._score(windows)
        except Exception as error:
            self.rides = False
            self.failures += len(windows)
            log.error(
                "the shadow failed and rides no further; scores and the bundle in use are not touched",
                bundle=self._bundle.id,
                error=f"{type(error).__name__}: {str(error)[:200]}",
                remedy="Try it with `clickstream models verify`; a restart lets it ride again.",
                exc_info=True,
            )

    def samples(self) -> Iterator[Sample]:
        """All that is known now."""
        with self._lock:
            since_start, rolling = self._evaluation.since_start(), self._evaluation.rolling()
        yield Sample("clickstream_shadow_info", int(self.rides), (self._bundle.id,))
        yield Sample("clickstream_shadow_failures_total", self.failures)
        yield from quality_samples(SHADOW, since_start, "since_start")
        yield from quality_samples(SHADOW, rolling, "rolling")

    def _score(self, windows: Sequence[UnscoredWindow]) -> None:
        mine = [window._replace(online=self._of(window.partition), learn=True) for window in windows]
        scores: list[ObservedScore] = []
        self._scorer.score(mine, partial(self._observe, scores))
        failed = [score.error for score in scores if score.error not in (None, REBUILT_PARTLY)]
        if failed and not self.failures:
            log.warning("the shadow cannot score a session", bundle=self._bundle.id, error=failed[0])
        self.failures += len(failed)
        with self._lock:
            self._evaluation.add(scores)

    def _of(self, partition: int) -> OnlineModels:
        if partition not in self._online:
            self._online[partition] = self._bundle.online()
        return self._online[partition]
