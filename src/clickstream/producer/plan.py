"""Plan: every record of a replay, in the order of publication, before any is sent.

It is a pure function of the schedule and of what else decides it (partitions, time rules, faults), so it
can be cut anywhere and gone on with: a record is known by its partition and its number there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from clickstream.infra.settings import Settings
from clickstream.producer.damage import Damage, damages_of
from clickstream.producer.faults import FaultOptions, Faults, PublicationFault, choose_faults
from clickstream.producer.mark import mark_prefix
from clickstream.producer.schedule import Schedule, Times
from clickstream.producer.timeline import NO_CLICK, Timeline, make_timeline

_CHUNK = 8_192


@dataclass(frozen=True)
class PlanOptions:
    """What decides the records beside the schedule; `gap` and `allowed_lateness` in ms."""

    partitions: int
    gap: int = 1_800_000
    allowed_lateness: int = 60_000
    max_clicks: int = 1_000
    heartbeats: bool = True
    faults: FaultOptions = field(default_factory=FaultOptions)

    @classmethod
    def of(cls, settings: Settings, partitions: int, heartbeats: bool, faults: FaultOptions) -> PlanOptions:
        """Options with the rules of `settings`, which must be the consumers' too."""
        return cls(
            partitions, settings.gap, settings.allowed_lateness, settings.max_clicks, heartbeats, faults
        )


class Publication(NamedTuple):
    """A record and its place.

    `due` is the event time that the stream has reached when it is sent, `timestamp` its own event time; they
    differ for a click that is late. `sequence` counts the records of the partition from 0.
    """

    due: int
    partition: int
    sequence: int
    key: bytes | None
    value: bytes
    timestamp: int
    is_click: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """Publication i is record `source[i]` of the timeline."""

    schedule: Schedule
    options: PlanOptions
    timeline: Timeline = field(repr=False)
    faults: Faults = field(repr=False)
    source: NDArray[np.int64] = field(repr=False)
    due: Times = field(repr=False)
    sequence: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits; the same for each run of a schedule that was moved."""
        return plan_fingerprint(self.schedule, self.options)

    @property
    def mark_prefix(self) -> bytes:
        """A publication's mark is this and its sequence number."""
        return mark_prefix(self.fingerprint, self.schedule.run, self.schedule.days)

    @property
    def clicks(self) -> int:
        """Publications that are no heartbeats, damaged ones and duplicates included."""
        return int((self.timeline.clicks[self.source] != NO_CLICK).sum())

    @property
    def first_due(self) -> int:
        """Event time of the first publication, ms."""
        return int(self.due[0])

    @property
    def last_due(self) -> int:
        """Event time that the last publication reaches, ms."""
        return int(self.due[-1])

    def counts(self) -> NDArray[np.int64]:
        """Publications by partition."""
        return np.bincount(self.timeline.partitions[self.source], minlength=self.options.partitions)

    def left(self, after: Mapping[int, int]) -> NDArray[np.int64]:
        """Places in the plan of what is still to be published, when of each partition named in `after` the
        records up to that sequence number are there already.
        """
        done = np.full(self.options.partitions, -1, np.int64)
        for partition, sequence in after.items():
            done[partition] = sequence
        return np.flatnonzero(self.sequence > done[self.timeline.partitions[self.source]])

    def publications(self, after: Mapping[int, int] | None = None) -> Iterator[Publication]:
        """All publications in their order, without those that are there by `after`."""
        places = self.left(after or {})
        for start in range(0, len(places), _CHUNK):
            yield from self._chunk(places[start : start + _CHUNK])

    def ledger(self) -> Iterator[dict[str, Any]]:
        """What each fault must show, and where: one entry a fault, in event-time order.

        `partition` and `sequence` name the publication that shows it; a dropped click has none.
        """
        place_of = np.full(len(self.timeline.times), -1, np.int64)
        # The later of two publications of a duplicate wins.
        place_of[self.source] = np.arange(len(self.source))
        records = np.flatnonzero(self.faults.kinds)
        orders = self._orders(self.timeline.clicks[records], self.timeline.sessions[records])
        for record, order in zip(records.tolist(), orders.tolist(), strict=True):
            yield self._entry(record, order, int(place_of[record]))

    def _chunk(self, places: NDArray[np.int64]) -> Iterator[Publication]:
        timeline, source = self.timeline, self.source[places]
        keys, fields = self._keys, self._fields
        view_of = self.schedule.dataset.view_of
        clicks, sessions = timeline.clicks[source], timeline.sessions[source]
        columns = (
            source,
            self.due[places],
            timeline.partitions[source],
            self.sequence[places],
            timeline.times[source],
            sessions,
            self._orders(clicks, sessions),
            # Of a heartbeat it is any.
            view_of[clicks],
            self.faults.kinds[source] == PublicationFault.MALFORMED,
        )
        for record, due, partition, sequence, time, session, order, view, malformed in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            if session == NO_CLICK:
                value = orjson.dumps({"type": "heartbeat", "event_time": time})
                yield Publication(due, partition, sequence, None, value, time, False)
                continue
            key: bytes | None
            session_id, key = keys[session]
            click = {"type": "click", "session_id": session_id, "event_time": time}
            if order:
                click["order"] = order
            click |= fields[view]
            if malformed:
                key, value = self._damage(record).spoil(key, click)
            else:
                value = orjson.dumps(click)
            yield Publication(due, partition, sequence, key, value, time, True)

    def _orders(self, clicks: NDArray[np.int64], sessions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The orders of clicks, 0 where there is none."""
        dataset = self.schedule.dataset
        return clicks - dataset.starts[sessions] + 1 if dataset.orders is None else dataset.orders[clicks]

    @cached_property
    def _keys(self) -> list[tuple[str, bytes]]:
        return [(session_id, session_id.encode()) for session_id in self.schedule.session_ids]

    @cached_property
    def _fields(self) -> list[dict[str, Any]]:
        source = {"time_source": self.schedule.time_source}
        return [record | source for record in self.schedule.dataset.records]

    def _damage(self, record: int) -> Damage:
        damages = damages_of(self.schedule.dataset.definition)
        return damages[int(self.faults.draws[record] * len(damages))]

    def _entry(self, record: int, order: int, place: int) -> dict[str, Any]:
        fault = PublicationFault(int(self.faults.kinds[record]))
        session = int(self.timeline.sessions[record])
        entry: dict[str, Any] = {
            "fault": fault.name.lower(),
            "session_id": self._keys[session][0],
            "order": order or None,
            "event_time": int(self.timeline.times[record]),
            # Without orders nobody can say that one is missing.
            "shows_in": _SHOWS_IN[fault] if order or fault is not PublicationFault.DROP else "nothing",
        }
        if fault is PublicationFault.MALFORMED:
            damage = self._damage(record)
            entry |= {"reason": damage.reason, "damage": damage.name}
            if order:
                entry["also_in"] = "score.missing"
        entry["partition"] = int(self.timeline.partitions[record])
        entry["sequence"] = None if fault is PublicationFault.DROP else int(self.sequence[place])
        return entry


_SHOWS_IN = {
    PublicationFault.LATE: "score.late",
    PublicationFault.DUPLICATE: "score.duplicates",
    PublicationFault.DROP: "score.missing",
    PublicationFault.REORDER: "nothing",
    PublicationFault.MALFORMED: "dead-letter",
}


def plan_fingerprint(schedule: Schedule, options: PlanOptions) -> str:
    """The fingerprint of the plan that `make_plan` gives."""
    text = f"plan 1 {schedule.fingerprint} {sorted(asdict(options).items())}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_plan(schedule: Schedule, options: PlanOptions) -> Plan:
    """The plan of `schedule`: a pure function of its arguments."""
    gap, lateness = options.gap, options.allowed_lateness
    timeline = make_timeline(schedule, options.partitions, gap, lateness, options.heartbeats)
    faults = choose_faults(schedule, timeline, options.faults, gap, lateness, options.max_clicks)
    kinds, after = faults.kinds, faults.after
    once = np.flatnonzero(kinds != PublicationFault.DROP)
    twice = np.flatnonzero(kinds == PublicationFault.DUPLICATE)
    source = np.concatenate((once, twice))
    # A duplicate's first copy stays in its place.
    place = np.concatenate(
        (np.where(kinds[once] == PublicationFault.DUPLICATE, once, after[once]), after[twice])
    )
    comes_after = np.concatenate((place[: len(once)] != once, np.ones(len(twice), bool)))
    order = np.lexsort((source, comes_after, place))
    source = source[order]
    partitions = timeline.partitions[source]
    sequence = np.zeros(len(source), np.int64)
    for partition in range(options.partitions):
        here = np.flatnonzero(partitions == partition)
        sequence[here] = np.arange(len(here))
    return Plan(schedule, options, timeline, faults, source, timeline.times[place[order]], sequence)
