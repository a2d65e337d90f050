"""Two consumers, one partition, and everything that may befall them, in any order.

The partition's logic, its recovery and the scripts of its store are the real ones, on a real Valkey. The one
thing in memory is the log itself, of which `Log` says the little that matters here: a transaction appends
and commits as one, and is refused to a former generation of the group. What was published in the end is held
against the oracle, which saw all clicks at once and knows of no crash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import msgspec
import pytest
from factory import examples, heartbeat
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from oracle import (
    UNBOUNDED,
    Draw,
    Oracle,
    Read,
    Result,
    code,
    drawn,
    shown,
    with_an_order_of_its_own,
    written,
)
from pydantic import SecretStr

from clickstream.bundles.bundle import Bundle
from clickstream.consumer.open_scores import OpenTrigger, trigger_of
from clickstream.consumer.recall import RecordSpan
from clickstream.consumer.recovery import Claim, Recovery
from clickstream.consumer.state_format import meta_fields, pack_online
from clickstream.consumer.store import Basis, Changes, OutboxRecord, Store
from clickstream.infra.errors import ClickstreamError, UnavailableError
from clickstream.infra.kafka import CommittedOffset, Membership, Topic
from clickstream.infra.redis import connect
from clickstream.infra.settings import Settings
from clickstream.local.embedded import EmbeddedValkey
from clickstream.models.online import OnlineModels
from clickstream.records.reasons import ClosedBy
from clickstream.windows.fingerprint import rules_of
from clickstream.windows.open_points import OpenPoint, OpenPoints
from clickstream.windows.partition import ClosedWindow, Partition, PublishedClosing
from clickstream.windows.rules import Rules

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3_600)]

UNIT = 60_000
"""Milliseconds for one of the oracle's: rebuild points are minutes apart."""


class Died(Exception):
    """The process is gone."""


class Log:
    """One partition of the clicks topic, the group's offset on it, and what was published of it."""

    def __init__(self) -> None:
        self.records: list[Read] = []
        self.committed: CommittedOffset | None = None
        self.generation = 0
        self.member: str | None = None
        self.published: list[OutboxRecord] = []

    def commit(
        self, records: Sequence[OutboxRecord], offset: CommittedOffset | None, membership: Membership
    ) -> None:
        if membership != (self.generation, self.member):
            raise UnavailableError(f"{membership} is no member: {self.generation}, {self.member}")
        self.published += records
        self.committed = offset or self.committed


class Group:
    """What recovery asks of a group consumer."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def committed(self, _partition: int, _timeout_ms: int) -> CommittedOffset | None:
        return self._log.committed

    def log_range(self, _partition: int) -> tuple[int, int]:
        return 0, len(self._log.records)

    def start(self, _partition: int, _offset: int) -> None:
        pass


class Transactions:
    """What recovery and a step ask of a publisher. Nothing stays open here that could be fenced off."""

    def __init__(self, log: Log, name: str) -> None:
        self._log = log
        self.transactional_id = name

    def connect(self) -> None:
        pass

    def publish(
        self,
        outboxes: Mapping[int, Sequence[OutboxRecord]],
        offsets: Mapping[int, CommittedOffset],
        membership: Membership,
    ) -> None:
        records = [record for outbox in outboxes.values() for record in outbox]
        self._log.commit(records, offsets.get(0), membership)

    def fence(self, _transactional_id: str) -> None:
        pass

    def discard(self) -> None:
        pass


class Told:
    """What recovery asks of the published scores."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def closed(self, span: RecordSpan) -> Mapping[int, Sequence[PublishedClosing]]:
        found: dict[int, list[PublishedClosing]] = {}
        for record in self._log.published:
            if record.topic == "scores" and span.begin <= record.offset < span.end:
                _, one = msgspec.json.decode(record.value, type=tuple[bool, Result])
                told = PublishedClosing(
                    one.session_id, one.last[0], cast(ClosedBy, one.closed_by), one.clicks
                )
                found.setdefault(record.offset, []).append(told)
        assert sum(map(len, found.values())) == span.closings
        return found


class Lessons:
    """Online models whose whole knowledge is which windows they saw, in order."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def state(self) -> bytes:
        return msgspec.json.encode(self.seen)


class Teacher:
    """What recovery asks of a bundle."""

    id = "bundle"

    def online(self, state: bytes | None = None) -> OnlineModels:
        seen = [] if state is None else msgspec.json.decode(state, type=list[str])
        return cast(OnlineModels, Lessons(seen))


class Worker:
    """A consumer: claims the partition, works in steps, and can die between any two parts of one."""

    def __init__(self, name: str, log: Log, settings: Settings) -> None:
        self._log = log
        self._name = name
        self.store = Store(settings, "topic")
        self._publisher = Transactions(log, name)
        self._recovery = Recovery(
            settings,
            Topic(settings.clicks_topic, "topic", 1),
            Group(log),
            self.store,
            self._publisher,
            Told(log),
            cast(Bundle, Teacher()),
        )
        self._rules = rules_of(settings)
        self._trigger = trigger_of(settings, self._rules.shop)
        self._membership = Membership(0, name)
        self.claim: Claim | None = None

    def join(self) -> None:
        """The group gives us the partition, as a new generation."""
        self._log.generation += 1
        self._log.member = self._name
        self._membership = Membership(self._log.generation, self._name)
        self.recover()

    def recover(self) -> None:
        self.claim = None
        try:
            self.claim = self._recovery.claim(0, self._membership)
        except ClickstreamError as error:
            if not error.retriable:
                raise

    def step(self, size: int, dies_after: str = "", commit: bool = True) -> None:
        """One step of the engine, for at most `size` records."""
        claim = self.claim
        if claim is None:
            return
        try:
            self._step(claim, self._log.records[claim.applied : claim.applied + size], dies_after, commit)
        except (ClickstreamError, Died) as error:
            if isinstance(error, ClickstreamError) and not error.retriable:
                raise
            event(f"a step ended with {type(error).__name__}")
            self.claim = None

    def _step(self, claim: Claim, records: Sequence[Read], dies_after: str, commit: bool) -> None:
        logic = claim.logic
        logic.clear()
        assert claim.open_points is not None
        claim.open_points.clear()
        outbox: list[OutboxRecord] = []
        if records:
            needs = logic.needs((read.offset for read in records), (read.record for read in records))
            basis = Basis(claim.token, claim.stored, logic.open_sessions)
            logic.load(self.store.load({0: (basis, needs)})[0]())
            self._pass("load", dies_after)
            for read in records:
                logic.advance(*read)
            outbox = [*self._open_scores(claim), *self._scores(claim), *self._dead_letters(claim)]
            outbox.sort(key=lambda record: record.offset)
            sessions, deleted = logic.changes()
            applied = records[-1].offset + 1
            meta = meta_fields(logic, self._recovery.rules_text, 1, claim.learn_from)
            online = pack_online("bundle", claim.online.state()) if logic.closed else None
            changes = Changes(claim.token, claim.stored, applied, meta, sessions, deleted, online, outbox)
            self.store.commit({0: changes})
            claim.applied = claim.stored = applied
            self._pass("commit", dies_after)
        if claim.applied > claim.committed and not claim.replaying and (outbox or commit):
            committed = CommittedOffset(claim.applied, self._recovery.note(logic))
            self._publisher.publish({0: outbox}, {0: committed}, self._membership)
            self._pass("publish", dies_after)
            claim.committed = claim.applied
            self.store.trim({0: (claim.token, claim.applied)})
        self._pass("trim", dies_after)

    def _scores(self, claim: Claim) -> Iterator[OutboxRecord]:
        lessons = cast(Lessons, claim.online)
        for closed in claim.logic.closed:
            if closed.offset >= claim.learn_from:
                lessons.seen.append(closed.session_id)
            if closed.offset >= claim.publish_from:
                yield OutboxRecord(closed.offset, "scores", closed.session_id.encode(), score(closed))

    def _open_scores(self, claim: Claim) -> Iterator[OutboxRecord]:
        assert claim.open_points is not None
        lessons = cast(Lessons, claim.online)
        learned = [closed.offset for closed in claim.logic.closed if closed.offset >= claim.learn_from]
        for point in claim.open_points.points:
            # What this step has taught by then; the rest of its closings is learned after this.
            known = len(lessons.seen) + sum(offset < point.offset for offset in learned)
            said = opened(point, self._trigger, known)
            if point.offset >= claim.publish_from:
                yield OutboxRecord(point.offset, "open", point.session_id.encode(), said)

    def _dead_letters(self, claim: Claim) -> Iterator[OutboxRecord]:
        for refused in claim.logic.refused:
            if refused.offset >= claim.publish_from:
                yield OutboxRecord(refused.offset, "dead", b"", refused.reason.encode())

    @staticmethod
    def _pass(place: str, dies_after: str) -> None:
        if place == dies_after:
            raise Died


def score(closed: ClosedWindow) -> bytes:
    return msgspec.json.encode((closed.partial, shown(closed)))


class Opened(NamedTuple):
    """What an open score says here, beside its name."""

    offset: int
    name: str
    clicks: int
    conditions: list[str]
    lessons: int


def opened(point: OpenPoint, trigger: OpenTrigger, lessons: int) -> bytes:
    begun = trigger.fires(point, {}, {"batch": None, "online": None})
    said = Opened(point.offset, point.open_score_id, point.session.clicks, begun, lessons)
    return msgspec.json.encode((point.partial, said))


def scaled(read: Read) -> Read:
    """The record as the system sees it: the oracle's milliseconds are its minutes."""
    record = read.record.model_copy(update={"event_time": read.record.event_time * UNIT})
    return Read(read.offset, read.timestamp * UNIT if read.timestamp >= 0 else -1, record)


def unscaled(result: Result) -> Result:
    return result._replace(
        opened_at=result.opened_at // UNIT,
        first=(result.first[0] // UNIT, result.first[1]),
        last=(result.last[0] // UNIT, result.last[1]),
    )


class ExactlyOnce(RuleBasedStateMachine):
    """Whatever happens, the windows of the oracle are published, each once."""

    valkey: ClassVar[EmbeddedValkey]
    base: ClassVar[Settings]

    @initialize(
        gap=st.integers(1, 8),
        lateness=st.sampled_from([0, 1, 4]),
        max_clicks=st.sampled_from([UNBOUNDED, 3]),
        max_pending=st.sampled_from([UNBOUNDED, 2]),
        max_open=st.sampled_from([UNBOUNDED, 2]),
        horizon=st.sampled_from([5, 20, 1_000]),
        wipes=st.sampled_from([0, 0, 1, 3]),
        codes=st.lists(code, min_size=12, max_size=40),
    )
    def open(
        self,
        gap: int,
        lateness: int,
        max_clicks: int,
        max_pending: int,
        max_open: int,
        horizon: int,
        wipes: int,
        codes: list[bytes],
    ) -> None:
        self.laws = Rules(
            gap=gap,
            allowed_lateness=lateness,
            max_ahead=9,
            max_clicks=max_clicks,
            max_pending=max_pending,
            max_open_sessions=max_open,
        )
        settings = self.base.model_copy(
            update={
                "gap": gap * UNIT,
                "allowed_lateness": lateness * UNIT,
                "max_ahead": 9 * UNIT,
                "max_clicks": max_clicks,
                "max_pending": max_pending,
                "max_open_sessions": max_open,
                "rebuild_horizon": horizon * UNIT,
            }
        )
        self.settings = settings
        self.redis = connect(settings)
        self.redis.flushall()
        self.store = Store(settings, "topic")
        self.log = Log()
        self.workers = [Worker("one", self.log, settings), Worker("two", self.log, settings)]
        self.draws: list[Draw] = []
        self.wipes_left = wipes
        self.wiped = False
        self.kept: dict[Any, Any] = {}
        self.write(drawn(codes))

    def write(self, draws: Sequence[Draw]) -> None:
        self.draws += draws
        # Copies may take what earlier clicks hold, so the whole log is written again; its beginning is equal.
        self.all = [
            with_an_order_of_its_own(read)._replace(offset=at) for at, read in enumerate(written(self.draws))
        ]
        self.log.records = [scaled(read) for read in self.all]

    @rule(codes=st.lists(code, min_size=1, max_size=8))
    def clicks_arrive(self, codes: list[bytes]) -> None:
        self.write(drawn(codes))

    @rule(who=st.integers(0, 1), knows=st.booleans())
    def the_group_gives_the_partition(self, who: int, knows: bool) -> None:
        """To one that has none, or takes it from the other, which may not know it yet."""
        self.workers[who].join()
        if knows:
            self.workers[1 - who].claim = None

    @rule(who=st.integers(0, 1))
    def a_worker_recovers(self, who: int) -> None:
        """With the generation that it knows of, which may be a former one."""
        self.workers[who].recover()

    @rule(
        who=st.integers(0, 1),
        size=st.integers(1, 6),
        dies_after=st.sampled_from(["", "", "", "load", "commit", "publish", "trim"]),
        commit=st.booleans(),
    )
    def a_worker_steps(self, who: int, size: int, dies_after: str, commit: bool) -> None:
        self.workers[who].step(size, dies_after, commit)

    @rule()
    def the_group_begins_anew(self) -> None:
        """Its coordinator lost it: generations start again, offsets stay."""
        self.log.generation = 0
        self.log.member = None

    @precondition(lambda self: self.wipes_left)
    @rule()
    def redis_is_emptied(self) -> None:
        self.wipes_left -= 1
        self.redis.flushall()
        self.wiped = True

    @rule()
    def redis_is_saved(self) -> None:
        self.kept = {key: self.redis.dump(key) for key in self.redis.scan_iter()}

    @precondition(lambda self: self.kept)
    @rule()
    def redis_is_set_back(self) -> None:
        self.redis.flushall()
        for key, state in self.kept.items():
            self.redis.restore(key, 0, state)
        # Back before the first step: to recovery that is an empty Redis, and the lessons begin again.
        self.wiped = self.wiped or self.store.peek(0).applied is None

    def teardown(self) -> None:
        if not hasattr(self, "log"):
            return
        self.write([])
        end = len(self.log.records)
        far = 10_000 + max((read.record.event_time for read in self.all), default=0)
        self.all.append(Read(end, -1, heartbeat(far)))
        self.log.records.append(scaled(self.all[-1]))
        self.to_the_end()
        self.check()
        for store in (self.store, *(worker.store for worker in self.workers)):
            store.close()

    def to_the_end(self) -> None:
        worker = self.workers[0]
        for _ in range(200):
            if worker.claim is None:
                worker.join()
            worker.step(10)
            committed = self.log.committed
            if committed is not None and committed.offset == len(self.log.records):
                return
        raise AssertionError(f"stuck at {self.log.committed} of {len(self.log.records)}")

    def check(self) -> None:
        oracle = Oracle(self.laws)
        for read in self.all:
            oracle.read(*read)
        scores = [
            (partial, unscaled(result))
            for partial, result in (
                msgspec.json.decode(record.value, type=tuple[bool, Result])
                for record in self.log.published
                if record.topic == "scores"
            )
        ]
        right = Counter(result for partial, result in scores if not partial)
        assert not right - Counter(oracle.closed), "published, and not as the log makes it, or twice"
        left = Counter(oracle.closed) - right
        marked = {result.session_id for partial, result in scores if partial}
        assert {result.session_id for result in left} <= marked, "never published"
        assert self.wiped or not marked
        self.check_open_scores(marked)
        dead = [
            (record.offset, record.value.decode()) for record in self.log.published if record.topic == "dead"
        ]
        if not marked:
            assert sorted(dead) == sorted(oracle.refused)
        if not self.wiped:
            found = cast(Lessons, self.workers[0].claim.online) if self.workers[0].claim else None
            assert found is not None
            assert found.seen == [result.session_id for result in oracle.closed]

    def check_open_scores(self, marked: set[str]) -> None:
        """Each once, as a run that reads the log at one go has them."""
        settings = self.settings
        logic = Partition(rules_of(settings))
        points, trigger = OpenPoints(logic), trigger_of(settings, logic.rules.shop)
        due: list[Opened] = []
        closed = 0
        for read in self.log.records:
            logic.advance(*read)
            for point in points.points:
                _, said = msgspec.json.decode(opened(point, trigger, closed), type=tuple[bool, Opened])
                due.append(said)
            points.clear()
            closed = len(logic.closed)
        published = [
            (record.key.decode(), *msgspec.json.decode(record.value, type=tuple[bool, Opened]))
            for record in self.log.published
            if record.topic == "open"
        ]
        assert len({said.offset for _, _, said in published}) == len(published), "published twice"
        found = [said for name, partial, said in published if not partial and name not in marked]
        wanted = [said for said in due if said.name.split("/")[0] not in marked]
        partly = {said.offset for _, partial, said in published if partial}
        assert self.wiped or not partly
        if self.wiped:
            # The lessons began again.
            found, wanted = ([said._replace(lessons=0) for said in of] for of in (found, wanted))
            wanted = [said for said in wanted if said.offset not in partly]
        assert sorted(found) == sorted(wanted)


def test_whatever_happens_each_window_is_published_once(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey", persistence="off") as valkey:
        ExactlyOnce.base = Settings(
            kafka_bootstrap="127.0.0.1:9",
            redis_url=SecretStr(valkey.url),
            group="machine",
            open_scores="each",
            open_conditions="two: clicks >= 2; three: clicks == 3",
        )
        run_state_machine_as_test(ExactlyOnce, settings=examples(150))
