"""The clicks of one visit, read from the log beside the consumers, and on as it goes on.

Redis keeps what the models need of a visit, not its clicks: those are in the log. The part of one partition
from the beginning of the visit on is read, a turn at a time, so that a page is not held up by a long one.
What the consumers refused as late is left out: the same rules decide here, by the same clock of the log.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Literal

import msgspec

from clickstream.features.session import SessionStep
from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka import Reader, Record
from clickstream.infra.settings import Settings
from clickstream.records.click import Click, Forget, Heartbeat, InvalidRecordError
from clickstream.records.reading import reader_of
from clickstream.records.shop_click import parser_of
from clickstream.records.shops import load_shop
from clickstream.windows.fingerprint import rules_of
from clickstream.windows.partition import Partition

_POLL_MS = 20


class _Moment(msgspec.Struct, gc=False):
    event_time: int
    type: Literal["click", "heartbeat"] = "click"
    flush: bool = False


_read = reader_of(_Moment)


class SessionClicks:
    """The clicks of the visit of a session id that opened at a time, as far as they are read.

    May be used by several threads. After an error the next turn goes on where the last one was.
    """

    def __init__(self, settings: Settings, session_id: str, partition: int, opened_at: int) -> None:
        self._settings = settings
        self._shop = load_shop(settings.shop)
        self._parser = parser_of(self._shop.definition)
        self._key = session_id.encode()
        self._partition = partition
        # A click may be so far ahead of the time of its record, and no further.
        self._since = max(opened_at - settings.max_ahead, 0)
        self._opened_at = opened_at
        self._reader: Reader | None = None
        self._begun_at = self._next = -1
        # Records before them are older than the visit: none of its clicks was late by those.
        self._windows = Partition(rules_of(settings))
        self._found: list[tuple[int, SessionStep]] = []
        self._lock = threading.Lock()

    def take(self, to: int, for_s: float) -> float:
        """Read on up to an offset, for about so long; the share that is read by then, from 0 to 1.

        Raises:
            UnavailableError: the broker is away.
        """
        with self._lock:
            until = time.monotonic() + for_s
            try:
                while self._next < to:
                    self._read_on()
                    if time.monotonic() > until:
                        break
            except ClickstreamError:
                self._drop()
                raise
            whole = max(to - self._begun_at, 1)
            return min((self._next - self._begun_at) / whole, 1.0)

    def steps(self, to: int) -> list[SessionStep]:
        """The clicks before an offset in event order, copies left out."""
        with self._lock:
            refused = {one.offset for one in self._windows.refused}
            found = [step for offset, step in self._found if offset < to and offset not in refused]
        distinct: dict[Any, SessionStep] = {}
        # Of copies that differ the consumers keep the smallest content.
        for step in sorted(found, key=lambda one: (one.sort_key, one.content)):
            distinct.setdefault(step.identity, step)
        return list(distinct.values())

    def close(self) -> None:
        """Drop the connection. A later turn opens another."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def _read_on(self) -> None:
        if self._reader is None:
            self._reader = Reader(self._settings, self._settings.clicks_topic, only=(self._partition,))
            if self._next < 0:
                self._begun_at = self._next = self._reader.offset_since(self._partition, self._since)
            self._reader.seek(self._partition, self._next)
        for record in self._reader.poll(timeout_ms=_POLL_MS):
            own = self._own(record) if record.key == self._key else None
            if own is not None:
                if isinstance(own, Forget):
                    self._found.clear()
                else:
                    self._found.append((record.offset, self._shop.step_of(own)))
                self._windows.advance(record.offset, record.timestamp, own)
            elif (moment := _read(record.value)) is not None:
                # Of others only the time matters: with it the watermark goes on.
                flush = moment.flush and moment.type == "heartbeat"
                beat = Heartbeat.model_construct(event_time=moment.event_time, flush=flush)
                self._windows.advance(record.offset, record.timestamp, beat)
        self._next = self._reader.position(self._partition)

    def _own(self, record: Record) -> Click | Forget | None:
        """A click of the visit, or that it is to be forgotten; None: of an earlier one, or not readable."""
        try:
            found = self._parser.parse(record.value, record.key, self._settings.max_record_bytes)
        except InvalidRecordError:
            return None
        if isinstance(found, Forget):
            return found
        return None if isinstance(found, Heartbeat) or found.event_time < self._opened_at else found
