"""The loop: poll, make the claims equal to the assignment, process the records, commit what waits.

`processor.py` begins with the order of a step, `claims.py` has what is ours. Every fault has one way back:
drop all claims, recover all assigned partitions. A step ends before the next poll, so a partition that was
taken away has no step in flight. A newly promoted bundle is taken between two steps.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from clickstream.consumer.claims import Claims
from clickstream.consumer.idle import IdleHeartbeats
from clickstream.consumer.ports import Ports
from clickstream.consumer.processor import Processor
from clickstream.consumer.promotion import Promotions
from clickstream.consumer.scoring import WindowScorer
from clickstream.infra.errors import ClickstreamError, FencedError
from clickstream.infra.failpoints import failpoint
from clickstream.infra.kafka import DamagedBatchError, DeletedError, Record
from clickstream.infra.logs import logger
from clickstream.infra.settings import Settings
from clickstream.monitoring.health import Health

log = logger("engine")

_POLL_MS = 100
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.1, 2.0


class Engine:
    """Scores the sessions of the partitions that the group gives us, until `stop` is called.

    `open_engine` makes one from settings.

    >>> from threading import Thread
    >>> from clickstream import Settings, load_bundle, open_engine
    >>> settings = Settings()
    >>> engine = open_engine(settings, load_bundle(settings))
    >>> consumer = Thread(target=engine.run)
    >>> consumer.start()
    >>> engine.stop()
    >>> consumer.join()
    """

    def __init__(
        self,
        settings: Settings,
        ports: Ports,
        claims: Claims,
        processor: Processor,
        scorer: WindowScorer,
        promotions: Promotions,
        idle: IdleHeartbeats,
        health: Health,
    ) -> None:
        self._settings = settings
        self._consumer, self._publisher, self._store, self._clock = ports
        self._claims = claims
        self._processor = processor
        self._scorer = scorer
        self._promotions = promotions
        self.idle = idle
        self.health = health
        self.counters = processor.counters
        self.model_metrics = processor.model_metrics
        self.shadow = processor.shadow
        self._is_member = False
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Finish the step, commit, leave the group. May be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Work until stopped.

        Raises:
            FencedError: another process has this instance's identity; exit, a supervisor restarts.
            RefusedError, ConfigurationError, BundleError: a person must decide.
        """
        log.info(
            "consuming",
            topic=self._settings.clicks_topic,
            group=self._settings.group,
            bundle=self._scorer.bundle.id,
        )
        backoff = _FIRST_BACKOFF_S
        identity_lost = False
        try:
            while not self._stopping.is_set():
                try:
                    if self._turn():
                        backoff = _FIRST_BACKOFF_S
                    self.counters.observe(self._claims.held, len(self._claims.refused))
                    self.health.turned(self._in_the_way(), **self._details())
                except ClickstreamError as error:
                    self._claims.drop()
                    self.counters.failed(error)
                    identity_lost = isinstance(error, FencedError) and self._settings.instance is not None
                    if not error.retriable or identity_lost:
                        raise
                    # Whoever reaches the port may ask; where the servers are is in the log.
                    self.health.turned(["recovering from an error; the log says which"])
                    log.warning("recovering", error=error.what, again_in_s=backoff)
                    self._stopping.wait(backoff)
                    backoff = min(backoff * 2, _LAST_BACKOFF_S)
            self._finish()
        finally:
            self._close(leave=not identity_lost)

    def _turn(self) -> bool:
        """One poll and its step. True when there was something to do and it worked."""
        self._take_promoted()
        unreadable: DamagedBatchError | DeletedError | None = None
        polled: Mapping[int, Sequence[Record]] = {}
        with self.counters.stage("poll"):
            try:
                polled = self._consumer.poll(_POLL_MS, self._settings.max_poll_records)
            except (DamagedBatchError, DeletedError) as error:
                unreadable = error
            read_at = self._clock()
            # Taken here, before the heartbeat thread can lose it: Kafka checks it in the transaction.
            membership = self._consumer.membership()
        self._is_member = membership is not None
        if membership is None:
            self._claims.drop()
            return False
        failpoint("after_poll")
        self._claims.notice_added()
        recovered = self._claims.take_assignment(membership)
        claimed = self._claims.held
        if unreadable is not None and unreadable.partition in claimed.keys() - recovered:
            # What came before it counts: the committed offset then names the place.
            self._processor.publish_offsets(membership)
            self._claims.refuse(unreadable.partition, unreadable)
        records = {p: batch for p, batch in polled.items() if p in claimed and p not in recovered}
        if records:
            self._processor.step(records, membership, read_at)
        self.idle.write(claimed.values(), lambda p: self._consumer.lag(p) == 0)
        if self._clock() - self._processor.published_at >= self._settings.commit_interval / 1000:
            self._processor.publish_offsets(membership)
        return bool(records or recovered)

    def _take_promoted(self) -> None:
        """Use a newly promoted bundle from here on; its online models start from its own warm start."""
        bundle = self._promotions.newer_than(self._scorer.bundle)
        if bundle is None:
            return
        log.info("took the promoted bundle", bundle=bundle.id, before=self._scorer.bundle.id)
        self._scorer.bundle = bundle
        self.model_metrics.took(bundle.id)
        self._claims.use(bundle)

    def _in_the_way(self) -> list[str]:
        """What keeps this consumer from results. One without a partition waits for one, and is ready."""
        if not self._is_member:
            return [f"it is not a member of group {self._settings.group} yet"]
        return self._claims.in_the_way()

    def _details(self) -> dict[str, Any]:
        held = self._claims.held
        late = sorted(self.idle.problems & held.keys())
        return {"partitions": sorted(held)} | ({"no_idle_heartbeats": late} if late else {})

    def _finish(self) -> None:
        """Commit deferred offsets; not needed for exactness, but the next owner starts clean."""
        membership = self._consumer.membership()
        if membership is not None:
            try:
                self._processor.publish_offsets(membership)
            except ClickstreamError as error:
                log.warning("the last offsets were not committed; they will be", error=error.what)

    def _close(self, leave: bool) -> None:
        self._claims.close()
        self._consumer.close(leave)
        self._publisher.discard()
        self.idle.close()
        self._store.close()
        log.info("stopped", **self.counters.summary())
