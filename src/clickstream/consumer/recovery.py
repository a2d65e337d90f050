"""What happens when a partition is assigned: claim it, compare Redis with Kafka, and make them agree.

With A = the offset applied in Redis and C = the offset committed in Kafka:

    A = C          clean: go on
    A > C          died between the two, or had deferred: publish what is left in the outbox, go on at A
    A < C          Redis lost its last writes: replay A..C without publishing, then go on
    no A           Redis is empty: rebuild from the place noted in C's metadata, without publishing before C
    C < published  the group's offsets were set back: refuse
    other settings or number of partitions, with sessions open: refuse

The order is fixed: our token goes into Redis first, then A is read, then C, so that a former owner can
change neither after we looked.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from clickstream.consumer.partition import NOTHING_SEEN, Crumb, Partition, Rules
from clickstream.consumer.publisher import Publisher
from clickstream.consumer.store import Found, OutboxRecord, StaleError, Store
from clickstream.features.session import FOLD_VERSION
from clickstream.infra.errors import BundleError, RefusedError, UnavailableError
from clickstream.infra.failpoints import failpoint
from clickstream.infra.kafka import Committed, GroupConsumer, Membership, Topic, fence
from clickstream.infra.logs import logger
from clickstream.infra.settings import Settings
from clickstream.models.bundle import Bundle
from clickstream.models.online import OnlineModels

log = logger("recovery")

Case = Literal["clean", "ahead", "behind", "new", "rebuild"]

_START_OVER = "To start over on purpose: `clickstream consume --restart-from earliest` (scores are repeated)."


class Note(msgspec.Struct, omit_defaults=True):
    """What is committed beside an offset: enough to rebuild the partition's state from the log alone."""

    settings: str
    partitions: int
    open: int
    newest: int
    crumb: tuple[int, int] | None = None


class SettingsChangedError(RefusedError):
    """Sessions are open under other settings, or other consumers of the group run with others."""


@dataclass(slots=True)
class Claim:
    """A partition that is ours, with its state's position in the log.

    `applied` is the next record to process and `stored` what Redis has as applied. Records before
    `publish_from` are processed without publishing, windows they close before `learn_from` without learning.
    `republished` are the records of a former owner's outbox that the claim published.
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
    case: Case
    republished: Sequence[OutboxRecord] = ()
    read_at: float = field(default_factory=time.monotonic)

    @property
    def replaying(self) -> bool:
        """Whether records before the committed offset are still to be processed again."""
        return self.applied < self.publish_from


def describe_settings(settings: Settings) -> str:
    """The settings that shape sessions, as text that a person can compare."""
    rules = settings.rules | {"fold": FOLD_VERSION}
    return ";".join(f"{name}={rules[name]}" for name in sorted(rules))


def read_description(text: str) -> dict[str, str]:
    """The names and values in a text of `describe_settings`."""
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split(";"))}


def differences(before: str, now: str) -> str:
    """What differs between two texts of `describe_settings`, for a person to read."""
    old, new = read_description(before), read_description(now)
    return ", ".join(
        f"{name} was {old.get(name)} and is {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def note_text(
    settings: str, partitions: int, open_sessions: int, newest: int, crumb: Crumb | None = None
) -> str:
    """The text committed beside an offset; `open_sessions` 0 says that nothing before it is needed."""
    return msgspec.json.encode(Note(settings, partitions, open_sessions, newest, crumb)).decode()


def pack_online(bundle_id: str, state: bytes) -> bytes:
    """Online models as they are kept in Redis, with the bundle that they belong to."""
    return bundle_id.encode() + b"\n" + state


class Recovery:
    """Claims partitions of one topic for one consumer. `bundle` is the one whose online models they get.

    `counted` stands around each transaction of a claim.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        consumer: GroupConsumer,
        store: Store,
        publisher: Publisher,
        bundle: Bundle,
        counted: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._counted = counted
        self._settings = settings
        self._topic = topic
        self._consumer = consumer
        self._store = store
        self._publisher = publisher
        self.bundle = bundle
        self._rules = Rules(**settings.rules)
        self.description = describe_settings(settings)

    def note(self, logic: Partition) -> str:
        """The text to commit beside an offset."""
        return note_text(
            self.description, self._topic.partitions, logic.open_sessions, logic.newest, logic.rebuild_from()
        )

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
        claim = self._reconcile(partition, token, found, committed, begin, membership)
        if claim.applied < begin or claim.applied > end:
            raise RefusedError(
                f"partition {partition} needs the log from offset {claim.applied}; it holds {begin} to {end}",
                f"Retention deleted it, or the topic was created anew. {_START_OVER}",
            )
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

    def _take(self, partition: int, token: str, membership: Membership) -> Found:
        own_id = self._publisher.transactional_id
        try:
            return self._store.claim(partition, token, membership.generation, own_id)
        except StaleError:
            # Either we are the zombie, then Kafka refuses this commit, or the group began anew at 1.
            committed = self._consumer.committed(partition, self._settings.patience)
            if committed is None:
                committed = Committed(self._consumer.log_range(partition)[0], "")
            with self._counted():
                self._publisher.publish({}, {partition: committed}, membership)
            return self._store.claim(partition, token, membership.generation, own_id, proven=True)

    def _committed(self, partition: int, found: Found) -> Committed | None:
        """C, once no transaction of a former owner can change it any more."""
        former = found.meta.transactional_id
        if former and former != self._publisher.transactional_id:
            try:
                return self._consumer.committed(partition, 500)
            except UnavailableError:
                log.warning("fencing the former owner", partition=partition, transactional_id=former)
                fence(self._settings, former)
                failpoint("after_fence")
        else:
            # Our own predecessor's open transaction is settled by taking its id.
            self._publisher.connect()
        return self._consumer.committed(partition, self._settings.patience)

    def _reconcile(
        self,
        partition: int,
        token: str,
        found: Found,
        committed: Committed | None,
        begin: int,
        membership: Membership,
    ) -> Claim:
        meta = found.meta
        note = read_note(committed)
        applied = meta.applied if found.whole else None
        if applied is not None:
            self._refuse_other_settings(partition, meta.settings, meta.partitions, meta.open_sessions)
            if meta.published is not None and (committed is None or committed.offset < meta.published):
                now = "none" if committed is None else committed.offset
                raise RefusedError(
                    f"partition {partition}: scores were published up to offset {meta.published},"
                    f" and the group's committed offset is {now}: it was set back or has expired",
                    f"Set it to {meta.published} again to go on; if the topic was deleted and created anew"
                    f" meanwhile, restart this consumer. {_START_OVER}",
                )
        elif note is not None:
            self._refuse_other_settings(partition, note.settings, note.partitions, note.open)

        if applied is None:
            return self._rebuild(partition, token, found, committed, note, begin)

        c = begin if committed is None else committed.offset
        logic = Partition(
            self._rules,
            meta.newest,
            meta.open_sessions,
            meta.crumbs,
            meta.partial_before,
            meta.cut,
            horizon=self._settings.rebuild_horizon,
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
            learn_from=0,
            case="clean" if applied == c else "ahead" if applied > c else "behind",
        )
        left = [record for record in found.outbox if record.offset >= c]
        if applied > c:
            self._republish(claim, left, membership)
        elif found.outbox:
            # Published before they could be trimmed; kept, they would be published again one day.
            self._store.trim(partition, token, c)
        return claim

    def _republish(self, claim: Claim, left: list[OutboxRecord], membership: Membership) -> None:
        p = claim.partition
        with self._counted():
            self._publisher.publish(
                {p: left}, {p: Committed(claim.applied, self.note(claim.logic))}, membership
            )
        failpoint("after_republish")
        self._store.trim(p, claim.token, claim.applied)
        claim.committed = claim.publish_from = claim.applied
        claim.republished = left
        if left:
            log.info("published a former owner's outbox", partition=p, records=len(left), to=claim.applied)

    def _rebuild(
        self,
        partition: int,
        token: str,
        found: Found,
        committed: Committed | None,
        note: Note | None,
        begin: int,
    ) -> Claim:
        if found.meta.applied is not None or not found.whole:
            log.warning("state is incomplete, rebuilding", partition=partition, applied=found.meta.applied)
        self._store.wipe(partition, token)
        failpoint("after_wipe")
        start, newest, partial_before = begin, NOTHING_SEEN, -1
        if committed is not None:
            if note is None or (note.crumb is None and note.open):
                # Somebody else committed this offset: only the start of the log is a safe place.
                start = 0
            elif note.open == 0:
                start, newest = committed.offset, note.newest
            elif note.crumb is not None:
                start, newest = note.crumb
                if newest != NOTHING_SEEN:
                    partial_before = newest + self._settings.gap
        logic = Partition(self._rules, newest, 0, (), partial_before, horizon=self._settings.rebuild_horizon)
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
        )

    def _online(self, packed: bytes | None) -> OnlineModels:
        owner, _, state = (packed or b"").partition(b"\n")
        if owner == self.bundle.id.encode():
            try:
                return self.bundle.online(state)
            except BundleError as error:
                log.warning("online models start from this bundle's warm start", error=error.what)
        elif packed:
            log.info(
                "online models start from this bundle's warm start", state_of=owner.decode(errors="replace")
            )
        return self.bundle.online()

    def _refuse_other_settings(self, partition: int, settings: str, partitions: int, open_: int) -> None:
        if not settings or open_ == 0:
            return
        remedy = (
            "Start with the former values, run `clickstream drain`, then start with the new ones."
            f" {_START_OVER}"
        )
        if partitions != self._topic.partitions:
            raise SettingsChangedError(
                f"partition {partition} has {open_} open sessions from when {self._topic.name} had"
                f" {partitions} partitions; it has {self._topic.partitions} now",
                remedy,
            )
        if settings != self.description:
            changed = differences(settings, self.description)
            raise SettingsChangedError(
                f"partition {partition} has {open_} open sessions under other settings: {changed}", remedy
            )


def read_note(committed: Committed | None) -> Note | None:
    """The note beside an offset; None where somebody else committed it, or nobody did."""
    if committed is None or not committed.metadata:
        return None
    try:
        return msgspec.json.decode(committed.metadata, type=Note)
    except msgspec.DecodeError:
        return None
