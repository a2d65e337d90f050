"""What the scores say that a partition's records closed, read back to rebuild a lost state."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import msgspec

from clickstream.infra.errors import RefusedError, UnavailableError
from clickstream.infra.kafka import Reader, Record
from clickstream.infra.settings import Settings
from clickstream.records.reading import reader_of
from clickstream.records.reasons import ClosedBy
from clickstream.windows.partition import PublishedClosing

_AT_ONCE_S = 20.0
"""A group waits a minute for a poll, and a claim needs its time as well."""


class _Source(msgspec.Struct):
    topic: str
    partition: int
    closing_offset: int


class _Score(msgspec.Struct):
    score_id: str
    session_id: str
    last_click_at: int
    closed_by: ClosedBy
    clicks: int
    source: _Source


_read_score = reader_of(_Score)


class RecordSpan(NamedTuple):
    """Records of a clicks partition from `begin` up to `end`, that closed `closings` windows."""

    partition: int
    begin: int
    end: int
    closings: int


class ScoresReader:
    """The published scores of one consumer group. A reading that takes long goes on with the next call."""

    def __init__(self, settings: Settings, clicks_partitions: int) -> None:
        self._settings = settings
        self._partitions = clicks_partitions
        self._readings: dict[RecordSpan, Iterator[dict[int, list[PublishedClosing]] | None]] = {}

    def closed(self, span: RecordSpan) -> Mapping[int, Sequence[PublishedClosing]]:
        """What the records of `span` closed, by offset, in the order of closing.

        Raises:
            RefusedError: the topic does not hold all of it.
            UnavailableError: a server did not answer, or it takes longer; call again.
        """
        if not span.closings:
            return {}
        reading = self._readings.pop(span, None) or self._read(span)
        until = time.monotonic() + _AT_ONCE_S
        for found in reading:
            if found is not None:
                return found
            if time.monotonic() > until:
                self._readings[span] = reading
                break
        raise UnavailableError(
            f"partition {span.partition}: still reading back what {self._settings.scores_topic} holds",
            "It goes on where it was.",
        )

    def _read(self, span: RecordSpan) -> Iterator[dict[int, list[PublishedClosing]] | None]:
        """None after each batch, then what was found."""
        topic = self._settings.scores_topic
        with closing(Reader(self._settings, topic, committed_only=False)) as every:
            # Also what an open transaction of another consumer still holds back.
            ends, begins = every.end_offsets(), every.beginning_offsets()
            if len(every.partitions) == self._partitions:
                ends = {span.partition: ends[span.partition]}
        back = 2 * span.closings + 100  # each transaction leaves a marker
        with closing(Reader(self._settings, topic, only=ends.keys())) as reader:
            while True:
                starts = {p: max(begins[p], end - back) for p, end in ends.items()}
                for p, offset in starts.items():
                    reader.seek(p, offset)
                records: list[tuple[int, _Score]] = []
                for batch in reader.read_to(ends):
                    records += self._of(span, batch)
                    yield None
                if len(records) >= span.closings or all(starts[p] == begins[p] for p in starts):
                    break
                back *= 4
        found = _newest(records, span.closings)
        if len(found) < span.closings:
            raise RefusedError(
                f"partition {span.partition}: its state is lost, and {topic} holds {len(found)} of the"
                f" {span.closings} scores of the records {span.begin} to {span.end}; without them it is not"
                " known what was open",
                f"Were they published to {topic}? If retention or compaction deleted them: to forget what was"
                f" open, `clickstream consume --restart-from committed --partition {span.partition}`; to"
                " score everything again, the same with `earliest`.",
            )
        by_offset: dict[int, list[PublishedClosing]] = {}
        for score in found:
            by_offset.setdefault(score.source.closing_offset, []).append(
                PublishedClosing(score.session_id, score.last_click_at, score.closed_by, score.clicks)
            )
        yield by_offset

    def _of(self, span: RecordSpan, batch: Sequence[Record]) -> Iterator[tuple[int, _Score]]:
        for record in batch:
            if (score := _read_score(record.value)) is None:
                continue
            source = score.source
            if (source.topic, source.partition) == (
                self._settings.clicks_topic,
                span.partition,
            ) and span.begin <= source.closing_offset < span.end:
                yield record.timestamp or 0, score


def _newest(records: list[tuple[int, _Score]], count: int) -> list[_Score]:
    """The last `count`: who started over on purpose has scored the same records before."""
    records.sort(key=lambda one: one[0])
    scores = [score for _, score in records]
    if len(scores) > count:
        scores = list({(score.source.closing_offset, score.score_id): score for score in scores}.values())
    return scores[-count:]
