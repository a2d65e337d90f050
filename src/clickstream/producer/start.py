"""Start: where a replay begins on a topic that may hold records already. Pure: tails in, a decision out.

Anew, it is refused where later event times are: its clicks would all be late. It may be moved behind the
last record as a further run, or go on after the last record of this very plan on each partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from clickstream.infra.days import DAY_MS
from clickstream.infra.errors import RefusedError
from clickstream.infra.kafka import Record
from clickstream.infra.settings import Settings
from clickstream.producer.mark import Mark, mark_of
from clickstream.producer.plan import Plan, PlanOptions, make_plan, plan_fingerprint
from clickstream.producer.schedule import Schedule
from clickstream.records.click import Click, InvalidRecordError, wrong_clock
from clickstream.records.shop_click import parser_of
from clickstream.windows.fingerprint import rules_of

StartMode = Literal["new", "append", "resume"]


@dataclass
class LogTail:
    """What the end of a partition says to plan `plan`; times in ms, -1 where there is none.

    `newest` is the largest event time; `foreign_newest` that of records after our last mark, and
    `foreign_click` that of the clicks among them. A record that no consumer counts, whatever came before it,
    moves no event time, so it has no part in any of them; `settings` says which those are.
    """

    plan: str
    settings: Settings
    newest: int = -1
    last_run: int = 0
    mark: Mark | None = None
    mark_offset: int = -1
    foreign_newest: int = -1
    foreign_click: int = -1
    any_mark: bool = False

    def __post_init__(self) -> None:
        self._parse = parser_of(rules_of(self.settings).shop.definition).parse

    def read(self, records: Iterable[Record]) -> None:
        """Take records of the partition in offset order."""
        for record in records:
            mark = mark_of(record.headers)
            time, is_click = self._counted(record)
            self.newest = max(self.newest, time)
            if mark is not None:
                self.any_mark = True
                self.last_run = max(self.last_run, mark.run)
            if mark is not None and mark.plan == self.plan:
                self.mark, self.mark_offset = mark, record.offset
                self.foreign_newest = self.foreign_click = -1
                continue
            self.foreign_newest = max(self.foreign_newest, time)
            if is_click:
                self.foreign_click = max(self.foreign_click, time)

    def _counted(self, record: Record) -> tuple[int, bool]:
        """Event time of a record, -1 where it is a dead letter; and whether it is a click."""
        settings = self.settings
        try:
            parsed = self._parse(record.value, record.key, settings.max_record_bytes)
        except InvalidRecordError:
            return -1, False
        if wrong_clock(parsed.event_time, record.timestamp, settings.max_ahead, settings.max_behind):
            return -1, False
        return parsed.event_time, isinstance(parsed, Click)


@dataclass(frozen=True)
class ReplayStart:
    """A plan, and for each partition the sequence number after which it is to be gone on with.

    `overtaken` counts clicks that will be late, as others have carried event time beyond them.
    """

    plan: Plan
    after: dict[int, int] = field(default_factory=dict)
    overtaken: int = 0


def choose_start(
    mode: StartMode,
    topic: str,
    schedule: Schedule,
    options: PlanOptions,
    tails: Mapping[int, LogTail],
    now: int,
) -> ReplayStart:
    """The start of a replay of `schedule` on `topic`; `now` in ms since the epoch.

    Raises:
        RefusedError: the topic holds what this replay must not follow; names the remedies.
    """
    newest = max((tail.newest for tail in tails.values()), default=-1)
    ours = [tail.mark for tail in tails.values() if tail.mark is not None]
    if mode == "resume" and ours:
        return _resume(topic, schedule, options, tails, max(ours, key=lambda mark: mark.run))
    if mode == "append" and newest >= 0:
        run = max(tail.last_run for tail in tails.values()) + 1
        behind = newest + options.gap + options.allowed_lateness + 2
        # Whole days keep the hours of the day, and the midnights between sessions.
        days = max(-(-(behind - int(schedule.times[0])) // DAY_MS), 0)
        plan = make_plan(schedule.moved(max(run, 2), days), options)
    else:
        if newest > schedule.times[0]:
            raise _later_times(mode, topic, schedule, newest, bool(ours))
        plan = make_plan(schedule, options)
    if plan.last_due > now:
        raise RefusedError(
            f"the replay would end at {show_time(plan.last_due)}, in the future: {topic} takes no such times",
            "Take another topic (--topic).",
        )
    return ReplayStart(plan)


def show_time(event_time: int) -> str:
    """2008-08-13 17:03:29 of ms since the epoch, UTC."""
    return datetime.fromtimestamp(event_time / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _resume(
    topic: str, schedule: Schedule, options: PlanOptions, tails: Mapping[int, LogTail], last: Mark
) -> ReplayStart:
    plan = make_plan(schedule.moved(last.run, last.days), options)
    after = {
        partition: tail.mark.sequence
        for partition, tail in tails.items()
        if tail.mark is not None and tail.mark.run == last.run
    }
    left = plan.source[plan.left(after)]
    overtaken = 0
    for partition, tail in tails.items():
        times = plan.timeline.times[left[plan.timeline.partitions[left] == partition]]
        late = int((times < tail.foreign_click - options.allowed_lateness).sum())
        if late:
            raise RefusedError(
                f"partition {partition} of {topic} holds other clicks up to {show_time(tail.foreign_click)},"
                f" written after this replay stopped: {late} of its records would be late",
                "Replay to another topic (--topic), or anew behind the last record (--append).",
            )
        overtaken += int((times < tail.foreign_newest - options.allowed_lateness).sum())
    return ReplayStart(plan, after, overtaken)


def _later_times(mode: StartMode, topic: str, schedule: Schedule, newest: int, begun: bool) -> RefusedError:
    begins = show_time(int(schedule.times[0]))
    remedies = "Take another topic (--topic), or --append: it moves the run behind the last record."
    if begun:
        remedies = "This very replay was begun there: --resume goes on with it. Else: " + remedies
    elif mode == "resume":
        remedies = "No record of this very replay (file, options, seed) is there to go on from. " + remedies
    else:
        remedies += " If a replay with other options was stopped there, --resume with those goes on with it."
    return RefusedError(
        f"topic {topic} holds event times up to {show_time(newest)}, and this replay begins at {begins}: its"
        " clicks would be late",
        remedies,
    )


def tails_for(
    partitions: Iterable[int], schedule: Schedule, options: PlanOptions, settings: Settings
) -> dict[int, LogTail]:
    """A LogTail that has read nothing yet, for each partition."""
    plan = plan_fingerprint(schedule, options)
    return {partition: LogTail(plan, settings) for partition in partitions}
