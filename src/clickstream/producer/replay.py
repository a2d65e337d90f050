"""The publication of a plan: paced, checked, and cut short cleanly.

The one file of the producer that talks to a server. Records of a partition are acknowledged in order or
not at all, so what a killed replay left on a partition is a beginning of its plan, and `--resume` goes on
behind it. That there is no hole in it is checked before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol

from clickstream.infra.errors import ConfigurationError, RefusedError, UnavailableError, UsageError
from clickstream.infra.kafka import Admin, Producer, Reader, Record, Topic
from clickstream.infra.settings import Settings, format_duration
from clickstream.producer.mark import HEADER, mark_of, missing_before
from clickstream.producer.plan import Plan, PlanOptions, Publication
from clickstream.producer.schedule import Schedule
from clickstream.producer.start import LogTail, ReplayStart, StartMode, choose_start, tails_for

ReplayProgress = Callable[[int, int], None]
"""A function called with the records sent so far and the event time reached, ms."""

_TAIL = 2_000
_WINDOW = 20_000
_REPORT_EVERY = 512
# A shorter wait is not worth a system call; what is skipped does not add up.
_SHORT_S = 0.002
_LONG_S = 0.05


class Sink(Protocol):
    """The place where records go."""

    def send(self, publication: Publication) -> None:
        """Take a record; it may be delivered later."""

    def flush(self) -> None:
        """Return when every record is delivered, or raise."""


class KafkaSink:
    """The clicks topic. Every delivery is checked; a window of records at most is on its way."""

    def __init__(self, settings: Settings, plan: Plan, hurried: bool = False) -> None:
        self._topic = settings.clicks_topic
        self._mark = plan.mark_prefix
        # In a hurry larger batches pay; at a pace a click should not wait for others.
        self._producer = Producer(settings, linger_ms=100 if hurried else 5)
        self._waiting = 0

    def send(self, publication: Publication) -> None:
        """Queue a record; waits for the window's delivery when it is full.

        Raises:
            UnavailableError: a record could not be delivered; how to go on.
        """
        mark = self._mark + b"%d" % publication.sequence
        try:
            self._producer.send(
                self._topic,
                publication.partition,
                publication.key,
                publication.value,
                publication.timestamp,
                [(HEADER, mark)],
            )
        except UnavailableError as error:
            raise _undelivered(error, publication.partition) from error
        self._waiting += 1
        # The client bounds no queue: without this a fast replay fills the memory and its records expire.
        if self._waiting >= _WINDOW:
            self.flush()

    def flush(self) -> None:
        """Wait until all is acknowledged.

        Raises:
            UnavailableError: a record could not be delivered; how to go on.
        """
        try:
            self._producer.flush()
        except UnavailableError as error:
            raise _undelivered(error) from error
        self._waiting = 0

    def close(self) -> None:
        """Drop the connection."""
        self._producer.close()


class LineSink:
    """JSON lines on a stream; a malformed record is written as it is."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def send(self, publication: Publication) -> None:
        """Write the record's value."""
        self._stream.write(publication.value + b"\n")

    def flush(self) -> None:
        """Hand on what was written."""
        self._stream.flush()


class Pace:
    """When a record is due: `speed` times faster than event time, always measured from the first record, so
    that no delay adds up. None is as fast as possible.
    """

    def __init__(self, speed: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.unlimited = speed is None
        self._per_s = speed * 1_000 if speed else None
        self._clock = clock
        self._first: tuple[int, float] | None = None

    def delay(self, due: int) -> float:
        """Seconds to wait before sending what is due at this event time; 0 or less when behind."""
        if self._per_s is None:
            return 0.0
        now = self._clock()
        if self._first is None:
            self._first = (due, now)
        first_due, began = self._first
        return began + (due - first_due) / self._per_s - now


@dataclass(frozen=True)
class ReplayReport:
    """What was published, in how many seconds; `stopped` when asked to before the end."""

    clicks: int
    heartbeats: int
    seconds: float
    stopped: bool


def publish(
    publications: Iterable[Publication],
    sink: Sink,
    pace: Pace,
    stop: threading.Event,
    progress: ReplayProgress = lambda _sent, _due: None,
) -> ReplayReport:
    """Send every record in order at its time, until the end or until `stop` is set.

    What was sent is delivered when this returns.

    Raises:
        UnavailableError: a record could not be delivered; how to go on.
    """
    began = time.monotonic()
    clicks = heartbeats = 0
    for publication in publications:
        if pace.delay(publication.due) > _SHORT_S:
            _wait(pace, publication.due, sink, stop, partial(progress, clicks + heartbeats))
        if stop.is_set():
            break
        sink.send(publication)
        if publication.is_click:
            clicks += 1
        else:
            heartbeats += 1
        if (clicks + heartbeats) % _REPORT_EVERY == 0:
            progress(clicks + heartbeats, publication.due)
    sink.flush()
    return ReplayReport(clicks, heartbeats, time.monotonic() - began, stop.is_set())


def _wait(pace: Pace, due: int, sink: Sink, stop: threading.Event, progress: Callable[[int], None]) -> None:
    if pace.delay(due) > _LONG_S:
        # So that nothing is left undelivered, or fails unseen, while we wait.
        sink.flush()
    while (delay := pace.delay(due)) > 0 and not stop.wait(min(delay, 1.0)):
        progress(due)


def prepare(settings: Settings, partitions: int | None) -> Topic:
    """The clicks topic, created when it is missing: with times in the past, it keeps its records for ever.

    Raises:
        UsageError: it has another number of partitions than was asked for.
        ConfigurationError: it is there and keeps records for a limited time.
        UnavailableError: no broker answers.
    """
    name = settings.clicks_topic
    admin = Admin(settings)
    try:
        config = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(settings.max_ahead)}
        there = admin.describe_topic(name)
        topic = there or admin.create_topic(
            name, partitions or settings.partitions, config, settings.replication_factor
        )
        kept = admin.topic_config(name)["retention.ms"] if there else config["retention.ms"]
    finally:
        admin.close()
    if kept != "-1":
        raise ConfigurationError(
            f"topic {name} keeps records for {format_duration(int(kept))}: with times of 2008 they would be"
            " deleted at once",
            "Set its retention.ms to -1, or take a topic that is not there yet (--topic): it is created so.",
        )
    if partitions is not None and topic.partitions != partitions:
        raise UsageError(
            f"topic {name} has {topic.partitions} partitions, not {partitions}",
            "Leave --partitions out, or take another topic (--topic).",
        )
    return topic


def find_start(mode: StartMode, settings: Settings, schedule: Schedule, options: PlanOptions) -> ReplayStart:
    """Read the end of each partition of the clicks topic and choose where to start.

    Raises:
        RefusedError: the topic holds what this replay must not follow; names the remedies.
        UnavailableError: no broker answers.
    """
    reader = Reader(settings, settings.clicks_topic)
    try:
        begins, ends = reader.beginning_offsets(), reader.end_offsets()
        tails = _read_tails(reader, begins, ends, schedule, options, mode, settings)
        now = int(time.time() * 1_000) + settings.max_ahead
        start = choose_start(mode, settings.clicks_topic, schedule, options, tails, now)
        _refuse_holes(reader, begins, {p: tail for p, tail in tails.items() if p in start.after})
        return start
    finally:
        reader.close()


def _read_tails(
    reader: Reader,
    begins: Mapping[int, int],
    ends: Mapping[int, int],
    schedule: Schedule,
    options: PlanOptions,
    mode: StartMode,
    settings: Settings,
) -> dict[int, LogTail]:
    tails: dict[int, LogTail] = {}
    unknown, size = set(reader.partitions), _TAIL
    while unknown:
        starts = {p: max(begins[p], ends[p] - size) for p in unknown}
        read = tails_for(unknown, schedule, options, settings)
        for partition, records in _read(reader, starts, ends).items():
            read[partition].read(records)
        tails |= read
        size *= 8
        # A mark of others shows that ours is not further back than the start of their run; without any,
        # consumers may have written many heartbeats since ours.
        unknown = {p for p in unknown if mode == "resume" and not tails[p].any_mark and starts[p] > begins[p]}
    return tails


def _refuse_holes(reader: Reader, begins: Mapping[int, int], tails: Mapping[int, LogTail]) -> None:
    """Offsets and sequence numbers run in step, unless others wrote in between: then all is read."""
    marks = {p: tail.mark for p, tail in tails.items() if tail.mark is not None}
    firsts = {p: tails[p].mark_offset - mark.sequence for p, mark in marks.items()}
    probes = {p: offset for p, offset in firsts.items() if offset >= begins[p]}
    found = _read(reader, probes, {p: offset + 1 for p, offset in probes.items()})
    for partition, mark in marks.items():
        first = mark._replace(sequence=0)
        if any(mark_of(record.headers) == first for record in found.get(partition, ())):
            continue
        upto = {partition: tails[partition].mark_offset + 1}
        missing = missing_before(mark, _read(reader, {partition: begins[partition]}, upto)[partition])
        if missing:
            raise RefusedError(
                f"partition {partition} of {reader.topic} lacks {len(missing)} records of this replay before"
                f" its last one, from number {missing[0]} on: they cannot be put in their place any more",
                "Replay to another topic (--topic), or anew behind the last record (--append).",
            )


def _read(reader: Reader, starts: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, list[Record]]:
    """Records by partition from `starts` up to, without, `ends`."""
    found: dict[int, list[Record]] = {partition: [] for partition in starts}
    for partition, offset in starts.items():
        reader.seek(partition, offset)
    for batch in reader.read_to({partition: ends[partition] for partition in starts}):
        for record in batch:
            if record.partition in found and record.offset < ends[record.partition]:
                found[record.partition].append(record)
    return found


def _undelivered(error: UnavailableError, partition: int | None = None) -> UnavailableError:
    where = "" if partition is None else f" (found when sending to partition {partition})"
    return UnavailableError(
        f"the replay stopped: {error.what}{where}",
        "What was acknowledged stays. When the broker is back, run the same command with --resume: it goes on"
        " after the last record of each partition. " + error.remedy,
    )
