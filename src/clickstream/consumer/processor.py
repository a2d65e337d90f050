"""One step, for the records of one poll:

1. load     the states that the records touch, in one round trip
2. advance  the event-time logic, pure: what closed, what was refused
3. score    the windows that closed, and sessions that are open at a click, where they are asked for
4. commit   states, online models, outbox and applied offset to Redis, atomic a partition
5. publish  scores, dead letters and consumed offsets to Kafka, one transaction
6. trim     the outbox
7. monitor  what was published says of the models; a candidate that rides along scores the same windows

A kill between any two of them loses and repeats nothing: recovery.py says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from heapq import merge
from typing import NamedTuple

from clickstream.consumer.claims import Claims
from clickstream.consumer.counters import Counters
from clickstream.consumer.model_metrics import ModelMetrics
from clickstream.consumer.open_scores import OpenScores, UnscoredPoint
from clickstream.consumer.ports import Ports
from clickstream.consumer.recovery import Claim, Recovery
from clickstream.consumer.score_evaluation import ObservedScore
from clickstream.consumer.scoring import UnscoredWindow, WindowScorer
from clickstream.consumer.shadow import Shadow
from clickstream.consumer.state_format import (
    IMPOSSIBLE,
    DamagedError,
    ForgedError,
    meta_fields,
    pack_online,
    relied_on,
)
from clickstream.consumer.step import ParsedRecord, TakenRecords, advance, outbox_of, parse_records
from clickstream.consumer.store import Basis, Changes, LoadedSessions, OutboxRecord
from clickstream.infra.errors import RefusedError
from clickstream.infra.failpoints import between, failpoint
from clickstream.infra.kafka import CommittedOffset, Membership, Record, Topic
from clickstream.infra.settings import Settings
from clickstream.records.shop_click import ClickParser
from clickstream.windows.partition import Needs

# Bounds the memory of a step in which many partitions close all that they have: no more are open in those
# that are loaded together.
_SESSIONS_AT_ONCE = 100_000


class _ParsedStep(NamedTuple):
    """What a partition read, and what it needs to go on with it."""

    claim: Claim
    records: Sequence[Record]
    parsed: Sequence[ParsedRecord]
    needs: Needs


class Processor:
    """Takes the claimed partitions forward, step by step.

    Attributes:
        published_at: by the clock, when offsets were last committed, or there were none to commit.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        ports: Ports,
        recovery: Recovery,
        claims: Claims,
        parser: ClickParser,
        scorer: WindowScorer,
        counters: Counters,
        model_metrics: ModelMetrics,
        shadow: Shadow | None = None,
        opened: OpenScores | None = None,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._consumer, self._publisher, self._store, self._clock = ports
        self._recovery = recovery
        self._claims = claims
        self._parser = parser
        self._scorer = scorer
        self.counters = counters
        self.model_metrics = model_metrics
        self.shadow = shadow
        self._opened = opened
        self._distrusted: set[int] = set()
        self.published_at = self._clock()

    def step(self, read: Mapping[int, Sequence[Record]], membership: Membership, read_at: float) -> None:
        """Process records of claimed partitions; the poll that brought them returned at `read_at`.

        Raises:
            ClickstreamError: the outcome is not known; drop all claims and recover.
        """
        try:
            self._step(read, membership, read_at)
        except ForgedError as error:
            self._distrust(error)
            raise

    def _distrust(self, error: ForgedError) -> None:
        """Delete what does not add up, so that the next claim rebuilds it from the log.

        Where that was done before, the state is not to blame, and what was raised first goes on.
        """
        if error.partition in self._distrusted:
            raise error.__cause__ or error
        self._distrusted.add(error.partition)
        self._store.wipe(error.partition, self._claims.held[error.partition].token)

    def _step(self, read: Mapping[int, Sequence[Record]], membership: Membership, read_at: float) -> None:
        stage = self.counters.stage
        taken = self._advance_all(read)
        failpoint("after_load")

        with stage("score"):
            unscored = [one for p in taken for one in self._unscored(self._claims.held[p])]
            observed: list[ObservedScore] = []
            scores = self._score(unscored, observed)
        windows = [one for one in unscored if isinstance(one, UnscoredWindow)]
        published: dict[int, list[OutboxRecord]] = {p: [] for p in taken}
        for one, score in zip(unscored, scores, strict=True):
            if score is not None:
                about, topic = (
                    (one.closed, self._settings.scores_topic)
                    if isinstance(one, UnscoredWindow)
                    else (one.point, self._settings.open_scores_topic)
                )
                record = OutboxRecord(about.offset, topic, about.session_id.encode(), score)
                published[one.partition].append(record)
        outboxes = {
            p: self._outbox(self._claims.held[p], published[p], part.records) for p, part in taken.items()
        }
        failpoint("after_score")

        with stage("commit"):
            learned = {w.partition for w in windows}
            changes = {
                p: self._changes(self._claims.held[p], part.records[-1].offset + 1, outboxes[p], p in learned)
                for p, part in taken.items()
            }
            for together in between("between_commits", changes):
                self._store.commit({p: changes[p] for p in together})
            for partition, written in changes.items():
                claim = self._claims.held[partition]
                claim.applied = claim.stored = written.applied
        failpoint("after_commit")
        self.counters.stepped(taken, self._claims.held, windows)
        if any(outboxes.values()):
            self._publish(outboxes, membership, read_at, observed)
            if self.shadow is not None:
                with self.counters.stage("shadow"):
                    self.shadow.published([window for window in windows if window.publish])

    def publish_offsets(self, membership: Membership) -> None:
        """Commit the offsets that wait because their steps had nothing to publish."""
        self._publish({}, membership, self._clock())

    def _score(
        self, unscored: Sequence[UnscoredWindow | UnscoredPoint], observed: list[ObservedScore]
    ) -> list[bytes | None]:
        """The scores; what the metrics watch in them is appended to `observed`."""
        try:
            return self._scorer.score(unscored, partial(self.model_metrics.observe, observed))
        except IMPOSSIBLE:
            # Whose it is, shows when each partition's are scored alone.
            for partition in sorted({one.partition for one in unscored}):
                with relied_on(partition):
                    self._scorer.score([one for one in unscored if one.partition == partition])
            raise

    def _unscored(self, claim: Claim) -> Iterable[UnscoredWindow | UnscoredPoint]:
        """What a claim has to score, in the order of offsets: a click comes before what closes with it."""
        windows = [
            UnscoredWindow(
                claim.partition,
                closed,
                claim.online,
                publish=closed.offset >= claim.publish_from,
                learn=closed.offset >= claim.learn_from,
            )
            for closed in claim.logic.closed
        ]
        if self._opened is None or claim.open_points is None:
            return windows
        partition = claim.partition
        with relied_on(partition):
            points = [
                self._opened.unscored(partition, point, claim.online, point.offset >= claim.publish_from)
                for point in claim.open_points.points
            ]
        return merge((one for one in points if one is not None), windows, key=_offset)

    def _advance_all(self, read: Mapping[int, Sequence[Record]]) -> dict[int, TakenRecords]:
        """Advance each partition; the records taken.

        A step that has closed `max_poll_records` windows ends early, and the records left are read again with
        the next poll: a heartbeat can close thousands of windows, and a group waits for a poll only so long.
        """
        most = self._settings.max_poll_records
        taken: dict[int, TakenRecords] = {}
        closed = 0
        for together in _loaded_together(self._parse(read)):
            loaded = self._load(together) if closed < most else {}
            for step in together:
                claim = step.claim
                try:
                    part = (
                        self._advance(step, loaded[claim.partition], most - closed) if closed < most else None
                    )
                except DamagedError:
                    raise
                except RefusedError as error:
                    self._claims.refuse(claim.partition, error)
                    continue
                count = len(part.records) if part else 0
                if count < len(step.records):
                    self._consumer.start(claim.partition, step.records[count].offset)
                if part:
                    taken[claim.partition] = part
                    closed += len(claim.logic.closed)
        return taken

    def _parse(self, read: Mapping[int, Sequence[Record]]) -> list[_ParsedStep]:
        steps = []
        with self.counters.stage("parse"):
            for partition, records in read.items():
                claim = self._claims.held[partition]
                claim.logic.clear()
                if claim.open_points is not None:
                    claim.open_points.clear()
                parsed = parse_records(self._parser, records, self._settings.max_record_bytes)
                needs = claim.logic.needs((record.offset for record in records), parsed)
                steps.append(_ParsedStep(claim, records, parsed, needs))
        return steps

    def _load(self, steps: Sequence[_ParsedStep]) -> Mapping[int, Callable[[], LoadedSessions]]:
        with self.counters.stage("load"):
            return self._store.load(
                {
                    claim.partition: (Basis(claim.token, claim.stored, claim.logic.open_sessions), step.needs)
                    for step in steps
                    for claim in (step.claim,)
                }
            )

    def _advance(
        self, step: _ParsedStep, loaded: Callable[[], LoadedSessions], most_closed: int
    ) -> TakenRecords:
        """The records that were taken: all, or up to the one that closed the last of `most_closed`."""
        claim, stage = step.claim, self.counters.stage
        with stage("load"):
            sessions = loaded()
            with relied_on(claim.partition):
                claim.logic.load(sessions)
        with stage("advance"), relied_on(claim.partition):
            taken = advance(claim.logic, step.records, step.parsed, most_closed)
        claim.read_at = self._clock()
        return taken

    def _outbox(
        self, claim: Claim, scores: Sequence[OutboxRecord], records: Sequence[Record]
    ) -> list[OutboxRecord]:
        refused = [one for one in claim.logic.refused if one.offset >= claim.publish_from]
        return outbox_of(scores, refused, records, self._settings.dead_letter_topic)

    def _changes(self, claim: Claim, applied: int, outbox: Sequence[OutboxRecord], learned: bool) -> Changes:
        logic = claim.logic
        with relied_on(claim.partition):
            sessions, deleted = logic.changes()
        meta = meta_fields(logic, self._recovery.rules_text, self._topic.partitions, claim.learn_from)
        online = pack_online(self._scorer.bundle.id, claim.online.state()) if learned else None
        return Changes(claim.token, claim.stored, applied, meta, sessions, deleted, online, outbox)

    def _publish(
        self,
        outboxes: Mapping[int, Sequence[OutboxRecord]],
        membership: Membership,
        read_at: float,
        observed: Sequence[ObservedScore] = (),
    ) -> None:
        """Publish, with the offsets of all partitions that have some to commit, deferred ones included."""
        self.published_at = self._clock()
        behind = [c for c in self._claims.held.values() if c.applied > c.committed and not c.replaying]
        if not behind:
            return
        offsets = {c.partition: CommittedOffset(c.applied, self._recovery.note(c.logic)) for c in behind}
        with self.counters.stage("publish"), self.counters.transaction():
            self._publisher.publish(outboxes, offsets, membership)
        self.counters.published(outboxes, read_at)
        failpoint("after_publish")
        with self.counters.stage("trim"):
            for together in between("between_trims", behind):
                self._store.trim({claim.partition: (claim.token, claim.applied) for claim in together})
            for claim in behind:
                claim.committed = claim.applied
        failpoint("after_trim")
        with self.counters.stage("monitor"):
            self.model_metrics.published(observed)


def _offset(one: UnscoredWindow | UnscoredPoint) -> int:
    return one.closed.offset if isinstance(one, UnscoredWindow) else one.point.offset


def _loaded_together(steps: Sequence[_ParsedStep]) -> Iterator[Sequence[_ParsedStep]]:
    together: list[_ParsedStep] = []
    sessions = 0
    for step in steps:
        sessions += step.claim.logic.open_sessions
        if together and sessions > _SESSIONS_AT_ONCE:
            yield together
            together, sessions = [], step.claim.logic.open_sessions
        together.append(step)
    if together:
        yield together
