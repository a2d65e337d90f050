"""The loop. One step, for the records of one poll:

1. load     the states that the records touch, one round trip a partition
2. advance  the event-time logic, pure: what closed, what was refused
3. score    the windows that closed
4. commit   states, online models, outbox and applied offset to Redis, atomic a partition
5. publish  scores, dead letters and consumed offsets to Kafka, one transaction
6. trim     the outbox

A kill between any two of them loses and repeats nothing: recovery.py says why. Every fault has one way
back: drop all claims, recover all assigned partitions. A step ends before the next poll, so a partition
that was taken away has no step in flight. A newly promoted bundle is taken between two steps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from clickstream.consumer.counters import Counters
from clickstream.consumer.coverage import Coverage
from clickstream.consumer.door import check_members, check_state, open_rules
from clickstream.consumer.idle import IdleHeartbeats
from clickstream.consumer.monitor import Monitor
from clickstream.consumer.promotion import Promotions
from clickstream.consumer.publisher import Publisher
from clickstream.consumer.recovery import Claim, Recovery, describe_settings, pack_online
from clickstream.consumer.scoring import Scorer, Window
from clickstream.consumer.step import Taken, advance, outbox_of, parse_records
from clickstream.consumer.store import Basis, Changes, DamagedError, OutboxRecord, Store, meta_fields
from clickstream.consumer.topics import prepare_topics
from clickstream.infra.errors import ClickstreamError, FencedError, RefusedError
from clickstream.infra.failpoints import failpoint
from clickstream.infra.health import Health, KafkaProbe, RedisProbe
from clickstream.infra.kafka import (
    Committed,
    DamagedBatchError,
    DeletedError,
    GroupConsumer,
    Membership,
    Record,
)
from clickstream.infra.logs import logger
from clickstream.infra.settings import Settings
from clickstream.models.bundle.bundle import Bundle
from clickstream.windows.fingerprint import fingerprint

log = logger("engine")

_POLL_MS = 100
_CLAIMING_S = 20.0  # a group waits a minute for a poll
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.1, 2.0


class Engine:
    """Scores the sessions of the partitions that the group gives us, until `stop` is called.

    `only` those partitions, where given; the others are left as they are.
    """

    def __init__(self, settings: Settings, bundle: Bundle, only: Collection[int] | None = None) -> None:
        """Prepare all, without joining the group.

        Raises:
            SettingsChangedError: the group's members, or all its open sessions, have other rules.
        """
        self._settings = settings
        self._only = only
        self._described = describe_settings(settings)
        self._topic = prepare_topics(settings)
        self._store = Store(settings, self._topic.id)
        check_members(settings, self._described, wait_ms=settings.session_timeout + 1_000)
        check_state(open_rules(settings, self._topic, self._store), self._described)
        self._publisher = Publisher(settings, self._topic.partitions)
        rules = fingerprint(settings)
        self._scorer = Scorer(bundle, settings.clicks_topic, rules)
        self.monitor = Monitor(settings.scores_topic, bundle.id)
        self._consumer = GroupConsumer(settings, settings.clicks_topic, self._described)
        self._coverage = Coverage(settings, self._topic.partitions)
        self.idle = IdleHeartbeats(settings, self._topic.name)
        self.counters = Counters(
            self._store,
            self._consumer,
            settings.scores_topic,
            self._topic.partitions,
            self.idle.results,
        )
        self._recovery = Recovery(
            settings,
            self._topic,
            self._consumer,
            self._store,
            self._publisher,
            bundle,
            self.counters.transaction,
        )
        self._promotions = Promotions(settings)
        self.health = Health((RedisProbe(settings), KafkaProbe(settings)))
        self._claims: dict[int, Claim] = {}
        self._refused: dict[int, RefusedError] = {}
        self._added: RefusedError | None = None
        self._is_member = False
        self._stopping = threading.Event()
        self._read_at = self._published_at = time.monotonic()

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
            "consuming", topic=self._topic.name, group=self._settings.group, bundle=self._scorer.bundle.id
        )
        backoff = _FIRST_BACKOFF_S
        identity_lost = False
        try:
            while not self._stopping.is_set():
                try:
                    if self._turn():
                        backoff = _FIRST_BACKOFF_S
                    self.counters.look(self._claims, len(self._refused))
                    self.health.turned(self._in_the_way(), **self._details())
                except ClickstreamError as error:
                    self._drop_claims()
                    self.counters.failed(error)
                    identity_lost = isinstance(error, FencedError) and self._settings.instance is not None
                    if not error.retriable or identity_lost:
                        raise
                    self.health.turned([f"recovering: {error.what}"])
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
            self._read_at = time.monotonic()
            # Taken here, before the heartbeat thread can lose it: Kafka checks it in the transaction.
            membership = self._consumer.membership()
        self._is_member = membership is not None
        if membership is None:
            self._drop_claims()
            return False
        failpoint("after_poll")
        self._notice_added()
        recovered = self._take_assignment(membership)
        if unreadable is not None and unreadable.partition in self._claims.keys() - recovered:
            # What came before it counts: the committed offset then names the place.
            self._publish({}, membership)
            self._refuse(unreadable.partition, unreadable)
        records = {p: batch for p, batch in polled.items() if p in self._claims and p not in recovered}
        if records:
            self._step(records, membership)
        self.idle.write(self._claims.values(), lambda p: self._consumer.lag(p) == 0)
        if time.monotonic() - self._published_at >= self._settings.commit_interval / 1000:
            self._publish({}, membership)
        return bool(records or recovered)

    def _in_the_way(self) -> list[str]:
        """What keeps this consumer from results. One without a partition waits for one, and is ready."""
        if not self._is_member:
            return [f"it is not a member of group {self._settings.group} yet"]
        replaying = [claim for claim in self._claims.values() if claim.replaying]
        return [
            *([self._added.what] if self._added else ()),
            *(f"partition {p} is not served: {error.what}" for p, error in self._refused.items()),
            *(
                f"partition {c.partition} is replayed to {c.publish_from}, now at {c.applied}"
                for c in replaying
            ),
        ]

    def _details(self) -> dict[str, Any]:
        late = {str(p): problem for p, problem in self.idle.problems.items() if p in self._claims}
        return {"partitions": sorted(self._claims)} | ({"no_idle_heartbeats": late} if late else {})

    def _take_promoted(self) -> None:
        """Use a newly promoted bundle from here on; its online models start from its own warm start.

        What Redis holds of the former online models is overwritten with the next lesson, and not read before:
        it says which bundle it belongs to.
        """
        bundle = self._promotions.newer_than(self._scorer.bundle)
        if bundle is None:
            return
        log.info("took the promoted bundle", bundle=bundle.id, before=self._scorer.bundle.id)
        self._scorer.bundle = self._recovery.bundle = bundle
        self.monitor.took(bundle.id)
        for claim in self._claims.values():
            claim.online = bundle.online()

    def _take_assignment(self, membership: Membership) -> set[int]:
        """Make the claims equal to the assignment; the partitions that were claimed anew."""
        assigned = self._consumer.assignment()
        now = time.monotonic()
        # Who has them all need not ask. All who notice join anew: it takes the leader, whoever that is.
        if len(assigned) < self._topic.partitions and (left_over := self._coverage.left_over()):
            log.warning("nobody has these partitions, joining anew", partitions=sorted(left_over))
            self._consumer.rejoin()
        for partition in self._consumer.newly_assigned() | (self._claims.keys() - assigned):
            self._refused.pop(partition, None)
            claim = self._claims.pop(partition, None)
            if claim is not None:
                log.info("gave up", partition=partition, applied=claim.applied, committed=claim.committed)
                failpoint("after_give_up")
        missing = assigned - self._claims.keys()
        self._refused = {p: error for p, error in self._refused.items() if p in missing}
        if self._only is not None:
            missing &= set(self._only)
        unclaimed = sorted(missing - self._refused.keys())
        if any(partition < self._topic.partitions for partition in unclaimed) and not self._claims:
            # Two may have come to the door at once; and a zombie that rejoins has not come by it.
            check_members(self._settings, self._described)
        for partition in unclaimed:
            if partition >= self._topic.partitions:
                if self._added is not None:
                    self._refuse(partition, self._added)
                continue
            if time.monotonic() - now > _CLAIMING_S:
                break  # the rest after the next poll
            with self.counters.stage("recover"):
                try:
                    claim = self._recovery.claim(partition, membership)
                    self._claims[partition] = claim
                    self.counters.claimed(claim)
                except DamagedError:
                    raise  # the next claim rebuilds it
                except RefusedError as error:
                    # The others are served; this one waits for a person.
                    self._refuse(partition, error)
        ours = assigned if self._only is None else assigned & frozenset(self._only)
        if ours and self._refused.keys() >= ours:
            raise self._refused[min(ours)]
        return set(missing)

    def _refuse(self, partition: int, error: RefusedError) -> None:
        self._consumer.hold([partition])
        self._claims.pop(partition, None)
        self._refused[partition] = error
        log.error("not served", partition=partition, error=error.what, remedy=error.remedy)

    def _notice_added(self) -> None:
        """Which partition a session's clicks go to depends on their number, which somebody may raise.

        The partitions from before are served on, so that they can be drained; the new ones wait in the log.
        """
        now = self._consumer.partitions()
        if now > self._topic.partitions and self._added is None:
            self._added = RefusedError(
                f"topic {self._topic.name} had {self._topic.partitions} partitions when this consumer started"
                f" and has {now} now: clicks of a session that is open may go to another partition",
                "Stop the producers, close what is open with `clickstream drain` (it reports that the new"
                " partitions are not drained: they wait), then stop all consumers and start them again.",
            )
            log.error("partitions were added", error=self._added.what, remedy=self._added.remedy)

    def _step(self, read: Mapping[int, Sequence[Record]], membership: Membership) -> None:
        stage = self.counters.stage
        taken = self._advance_all(read)
        failpoint("after_load")

        with stage("score"):
            windows = [
                Window(
                    claim.partition,
                    closed,
                    claim.online,
                    publish=closed.offset >= claim.publish_from,
                    learn=closed.offset >= claim.learn_from,
                )
                for claim in map(self._claims.__getitem__, taken)
                for closed in claim.logic.closed
            ]
            scores = self._scorer.score(windows)
        published: dict[int, list[OutboxRecord]] = {p: [] for p in taken}
        for window, score in zip(windows, scores, strict=True):
            if score is not None:
                closed, topic = window.closed, self._settings.scores_topic
                record = OutboxRecord(closed.offset, topic, closed.session_id.encode(), score)
                published[window.partition].append(record)
        outboxes = {p: self._outbox(self._claims[p], published[p], part.records) for p, part in taken.items()}
        failpoint("after_score")

        with stage("commit"):
            learned = {w.partition for w in windows}
            for partition, part in taken.items():
                claim = self._claims[partition]
                self._commit(claim, part.records[-1].offset + 1, outboxes[partition], partition in learned)
                failpoint("between_commits")
        failpoint("after_commit")
        self.counters.stepped(taken, self._claims, windows)
        if any(outboxes.values()):
            self._publish(outboxes, membership)

    def _advance_all(self, read: Mapping[int, Sequence[Record]]) -> dict[int, Taken]:
        """Advance each partition; the records taken.

        A step that has closed `max_poll_records` windows ends early, and the records left are read again with
        the next poll: a heartbeat can close thousands of windows, and a group waits for a poll only so long.
        """
        most = self._settings.max_poll_records
        taken: dict[int, Taken] = {}
        closed = 0
        for partition, records in read.items():
            claim = self._claims[partition]
            try:
                part = self._advance(claim, records, most - closed) if closed < most else None
            except DamagedError:
                raise
            except RefusedError as error:
                self._refuse(partition, error)
                continue
            count = len(part.records) if part else 0
            if count < len(records):
                self._consumer.start(partition, records[count].offset)
            if part:
                taken[partition] = part
                closed += len(claim.logic.closed)
        return taken

    def _advance(self, claim: Claim, records: Sequence[Record], most_closed: int) -> Taken:
        """The records that were taken: all, or up to the one that closed the last of `most_closed`."""
        logic, stage = claim.logic, self.counters.stage
        logic.clear()
        with stage("parse"):
            parsed = parse_records(records, self._settings.max_record_bytes)
            needs = logic.needs(zip((record.offset for record in records), parsed, strict=True))
        with stage("load"):
            basis = Basis(claim.token, claim.stored, logic.open_sessions)
            logic.load(self._store.load(claim.partition, basis, *needs))
        with stage("advance"):
            taken = advance(logic, records, parsed, most_closed)
        claim.read_at = time.monotonic()
        return taken

    def _outbox(
        self, claim: Claim, scores: Sequence[OutboxRecord], records: Sequence[Record]
    ) -> list[OutboxRecord]:
        refused = [one for one in claim.logic.refused if one.offset >= claim.publish_from]
        return outbox_of(scores, refused, records, self._settings.dead_letter_topic)

    def _commit(self, claim: Claim, applied: int, outbox: Sequence[OutboxRecord], learned: bool) -> None:
        logic = claim.logic
        sessions, deleted = logic.changes()
        meta = meta_fields(logic, self._recovery.description, self._topic.partitions)
        online = pack_online(self._scorer.bundle.id, claim.online.state()) if learned else None
        self._store.commit(
            claim.partition,
            claim.token,
            Changes(claim.stored, applied, meta, sessions, deleted, online, outbox),
        )
        claim.applied = claim.stored = applied

    def _publish(self, outboxes: Mapping[int, Sequence[OutboxRecord]], membership: Membership) -> None:
        """Publish, with the offsets of all partitions that have some to commit, deferred ones included."""
        self._published_at = time.monotonic()
        behind = [c for c in self._claims.values() if c.applied > c.committed and not c.replaying]
        if not behind:
            return
        offsets = {c.partition: Committed(c.applied, self._recovery.note(c.logic)) for c in behind}
        with self.counters.stage("publish"), self.counters.transaction():
            self._publisher.publish(outboxes, offsets, membership)
        self.counters.published(outboxes, self._read_at)
        failpoint("after_publish")
        with self.counters.stage("trim"):
            for claim in behind:
                claim.committed = claim.applied
                self._store.trim(claim.partition, claim.token, claim.applied)
                failpoint("between_trims")
        failpoint("after_trim")
        with self.counters.stage("monitor"):
            self.monitor.published(outboxes)

    def _drop_claims(self) -> None:
        self._consumer.hold(list(self._claims))
        self._claims.clear()

    def _finish(self) -> None:
        """Commit deferred offsets; not needed for exactness, but the next owner starts clean."""
        membership = self._consumer.membership()
        if membership is not None:
            try:
                self._publish({}, membership)
            except ClickstreamError as error:
                log.warning("the last offsets were not committed; they will be", error=error.what)

    def _close(self, leave: bool) -> None:
        self._claims.clear()
        self._consumer.close(leave)
        self._publisher.discard()
        self.idle.close()
        self._coverage.close()
        self._store.close()
        log.info("stopped", **self.counters.summary())
