"""What happens when a partition is assigned: claim it, compare Redis with Kafka, and make them agree.

With A = the offset applied in Redis and C = the offset committed in Kafka:

    A = C          clean: go on
    A > C          died between the two, or had deferred: publish what is left in the outbox, go on at A
    A < C          Redis lost its last writes: replay A..C without publishing, then go on
    no A           Redis is empty: rebuild from the place noted in C's metadata, without publishing before C
    C without our note, and beyond A or Redis empty: a tool set the offsets: refuse
    C < published  the group's offsets were set back: refuse
    other settings or number of partitions, with sessions open: refuse

The order is fixed: our token goes into Redis first, then A is read, then C, so that a former owner can
change neither after we looked.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

from clickstream.bundles.bundle import Bundle
from clickstream.consumer.note import Note, empty_note, note_of, read_note
from clickstream.consumer.ports import ClicksLog, Clock, OutboxPublisher, PublishedScores, StateStore
from clickstream.consumer.rebuild import begin_rebuild, rebuild_point_of
from clickstream.consumer.recall import RecordSpan
from clickstream.consumer.refusals import (
    OpenUnder,
    check_log_holds,
    check_rules,
    offset_set_back,
    offset_set_by_a_tool,
)
from clickstream.consumer.state_format import unpack_online
from clickstream.consumer.store import ClaimedState, OutboxRecord, StaleError
from clickstream.infra.errors import BundleError, UnavailableError
from clickstream.infra.failpoints import failpoint
from clickstream.infra.kafka import CommittedOffset, Membership, Topic
from clickstream.infra.logs import logger
from clickstream.infra.settings import Settings, opens
from clickstream.models.online import OnlineModels
from clickstream.windows.fingerprint import rules_of, rules_text
from clickstream.windows.open_points import OpenPoints
from clickstream.windows.partition import NOTHING_SEEN, Partition, PublishedClosing, Rebuild

log = logger("recovery")

ClaimCase = Literal["clean", "ahead", "behind", "new", "rebuild"]


@dataclass(slots=True)
class Claim:
    """A partition that we own, and how far its state has come in the log.

    `applied` is the next record to process and `stored` what Redis has as applied. Records before
    `publish_from` are processed without publishing, windows they close before `learn_from` without learning.
    `read_at` is when records were last taken, by the clock. `republished` are the records of a former owner's
    outbox that the claim published. `open_points` is there where there are open scores.
    """

    partition: int
    token: str
    logic: Partition
    online: OnlineModels
    applied: int
    stored: int | None
    committed: int
    publish_from: int
    learn_from: int
    case: ClaimCase
    read_at: float
    republished: Sequence[OutboxRecord] = ()
    open_points: OpenPoints | None = None

    @property
    def replaying(self) -> bool:
        """Whether records before the committed offset are still to be processed again."""
        return self.applied < self.publish_from


class Recovery:
    """Claims partitions of one topic for one consumer. `bundle` is the one whose online models they get.

    Each transaction of a claim runs inside `counted`.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        consumer: ClicksLog,
        store: StateStore,
        publisher: OutboxPublisher,
        scores: PublishedScores,
        bundle: Bundle,
        counted: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Clock = time.monotonic,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._consumer = consumer
        self._store = store
        self._publisher = publisher
        self._scores = scores
        self.bundle = bundle
        self._counted = counted
        self._clock = clock
        self._rules = rules_of(settings)
        self.rules_text = rules_text(settings)

    def note(self, logic: Partition) -> str:
        """The text to commit beside an offset."""
        return note_of(logic, self.rules_text, self._topic.partitions)

    def claim(self, partition: int, membership: Membership) -> Claim:
        """Take `partition` over and bring its state to where the log can be read on.

        Raises:
            StaleError: a later owner has it.
            RefusedError: going on would lose or repeat scores; says how to proceed.
            UnavailableError: a server did not answer; try again.
        """
        token = uuid.uuid4().hex
        found = self._take(partition, token, membership)
        failpoint("after_claim")
        committed = self._committed(partition, found)
        begin, end = self._consumer.log_range(partition)
        claim = self._reconcile(partition, token, found, committed, range(begin, end + 1), membership)
        check_log_holds(partition, claim.applied, range(begin, end + 1))
        if opens(self._settings):
            claim.open_points = OpenPoints(claim.logic)
        failpoint("after_reconcile")
        self._consumer.start(partition, claim.applied)
        log.info(
            "claimed",
            partition=partition,
            case=claim.case,
            applied=found.meta.applied,
            committed=committed.offset if committed else None,
            goes_on_at=claim.applied,
            open_sessions=claim.logic.open_sessions,
            former_owner=found.meta.transactional_id or None,
        )
        return claim

    def _take(self, partition: int, token: str, membership: Membership) -> ClaimedState:
        own_id = self._publisher.transactional_id
        try:
            return self._store.claim(partition, token, membership.generation, own_id)
        except StaleError:
            # Either we are the zombie, then Kafka refuses this commit, or the group began anew at 1.
            committed = self._consumer.committed(partition, self._settings.patience)
            if committed is None:
                nothing = empty_note(self.rules_text, self._topic.partitions, NOTHING_SEEN)
                committed = CommittedOffset(self._consumer.log_range(partition)[0], nothing)
            with self._counted():
                self._publisher.publish({}, {partition: committed}, membership)
            return self._store.claim(partition, token, membership.generation, own_id, proven=True)

    def _committed(self, partition: int, found: ClaimedState) -> CommittedOffset | None:
        """C, once no transaction of a former owner can change it any more."""
        former = found.meta.transactional_id
        if former and former != self._publisher.transactional_id:
            try:
                return self._consumer.committed(partition, 500)
            except UnavailableError:
                log.warning("fencing the former owner", partition=partition, transactional_id=former)
                self._publisher.fence(former)
                failpoint("after_fence")
        else:
            # Our own predecessor's open transaction is settled by taking its id.
            self._publisher.connect()
        return self._consumer.committed(partition, self._settings.patience)

    def _reconcile(
        self,
        partition: int,
        token: str,
        found: ClaimedState,
        committed: CommittedOffset | None,
        offsets: range,
        membership: Membership,
    ) -> Claim:
        meta = found.meta
        note = read_note(committed)
        applied = meta.applied if found.whole else None
        if applied is not None:
            kept = OpenUnder(meta.open_sessions, meta.settings, meta.partitions)
            check_rules(partition, kept, self.rules_text, self._topic)
            if meta.published is not None and (committed is None or committed.offset < meta.published):
                raise offset_set_back(partition, meta.published, committed)
        elif note is not None:
            noted = OpenUnder(note.open, note.settings, note.partitions)
            check_rules(partition, noted, self.rules_text, self._topic)

        if applied is None:
            return self._rebuild(partition, token, found, committed, note, offsets)

        if note is None and committed is not None and committed.offset > applied:
            raise offset_set_by_a_tool(partition, committed.offset, applied, applied)
        c = offsets.start if committed is None else committed.offset
        logic = Partition(
            self._rules,
            meta.newest,
            meta.open_sessions,
            meta.rebuild_points,
            meta.partial_before,
            meta.doubtful,
            meta.early,
            horizon=self._settings.rebuild_horizon,
            closings=meta.closings,
            rebuild=meta.rebuild,
            published=self._recall(partition, meta.rebuild, applied, meta.closings),
        )
        claim = Claim(
            partition=partition,
            token=token,
            logic=logic,
            online=self._online(found.online),
            applied=applied,
            stored=applied,
            committed=c,
            publish_from=c,
            learn_from=meta.learn_from,
            case="clean" if applied == c else "ahead" if applied > c else "behind",
            read_at=self._clock(),
        )
        left = [record for record in found.outbox if record.offset >= c]
        if applied > c:
            self._republish(claim, left, membership)
        elif found.outbox:
            # Published before they could be trimmed; kept, they would be published again one day.
            self._store.trim({partition: (token, c)})
        return claim

    def _republish(self, claim: Claim, left: list[OutboxRecord], membership: Membership) -> None:
        p = claim.partition
        with self._counted():
            self._publisher.publish(
                {p: left}, {p: CommittedOffset(claim.applied, self.note(claim.logic))}, membership
            )
        failpoint("after_republish")
        self._store.trim({p: (claim.token, claim.applied)})
        claim.committed = claim.publish_from = claim.applied
        claim.republished = left
        if left:
            log.info("published a former owner's outbox", partition=p, records=len(left), to=claim.applied)

    def _rebuild(
        self,
        partition: int,
        token: str,
        found: ClaimedState,
        committed: CommittedOffset | None,
        note: Note | None,
        offsets: range,
    ) -> Claim:
        if found.meta.applied is not None or not found.whole:
            log.warning("state is incomplete, rebuilding", partition=partition, applied=found.meta.applied)
        start = begin = offsets.start
        logic = Partition(self._rules, horizon=self._settings.rebuild_horizon)
        if committed is not None:
            if note is None:
                if committed.offset > begin:
                    raise offset_set_by_a_tool(partition, committed.offset, begin, None)
                note = Note(self.rules_text, self._topic.partitions, 0, NOTHING_SEEN)
            place = rebuild_point_of(note, committed.offset)
            start = place.offset
            # Before the state is deleted: what cannot be rebuilt is left as it is.
            check_log_holds(partition, start, offsets)
            whole = place.newest == NOTHING_SEEN
            rebuild = None if whole else Rebuild(committed.offset, note.closings)
            logic = begin_rebuild(
                self._rules,
                note,
                committed.offset,
                self._settings.rebuild_horizon,
                self._recall(partition, rebuild, start, place.closings),
            )
        self._store.wipe(partition, token)
        failpoint("after_wipe")
        c = start if committed is None else committed.offset
        return Claim(
            partition=partition,
            token=token,
            logic=logic,
            online=self.bundle.online(),
            applied=start,
            stored=None,
            committed=c,
            publish_from=c,
            learn_from=c,
            case="new" if committed is None else "rebuild",
            read_at=self._clock(),
        )

    def _recall(
        self, partition: int, rebuild: Rebuild | None, begin: int, closings: int
    ) -> Mapping[int, Sequence[PublishedClosing]]:
        """What the scores say that records from `begin` on closed; `closings` is their number before it."""
        if rebuild is None or begin >= rebuild.to:
            return {}
        return self._scores.closed(RecordSpan(partition, begin, rebuild.to, rebuild.closings - closings))

    def _online(self, packed: bytes | None) -> OnlineModels:
        owner, state = unpack_online(packed or b"")
        if owner == self.bundle.id:
            try:
                return self.bundle.online(state)
            except BundleError as error:
                log.warning("online models start from this bundle's warm start", error=error.what)
        elif packed:
            log.info("online models start from this bundle's warm start", state_of=owner)
        return self.bundle.online()
