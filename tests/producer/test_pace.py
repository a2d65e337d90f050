"""Publication: at its time without drift, delivered when it returns, stopped when asked."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from clickstream.infra.errors import UnavailableError
from clickstream.producer.plan import Publication
from clickstream.producer.replay import LineSink, Pace, ReplayReport, publish


class Clock:
    """Tells the time it was set to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Stop(threading.Event):
    """Waits by setting the clock; sets itself at a time."""

    def __init__(self, clock: Clock, at: float = float("inf")) -> None:
        super().__init__()
        self.clock = clock
        self.at = at

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0.0
        if self.clock.now >= self.at:
            self.set()
        return self.is_set()


class Sent:
    """A sink that notes when it took what; each record takes it a while."""

    def __init__(self, clock: Clock, takes: float = 0.0) -> None:
        self.clock = clock
        self.takes = takes
        self.sent: list[int] = []
        self.times: list[float] = []
        self.unflushed = 0

    def send(self, publication: Publication) -> None:
        self.sent.append(publication.due)
        self.times.append(self.clock.now - 100.0)
        self.clock.now += self.takes
        self.unflushed += 1

    def flush(self) -> None:
        self.unflushed = 0


def record(due: int, is_click: bool = True) -> Publication:
    return Publication(due, 0, 0, b"s1", b"{}", due, is_click)


def test_records_are_sent_at_their_time() -> None:
    clock = Clock()
    sink = Sent(clock)
    records = [record(1_000_000), record(1_060_000), record(1_090_000), record(4_600_000, is_click=False)]
    report = publish(records, sink, Pace(60, clock), Stop(clock))
    assert sink.times == pytest.approx([0, 1, 1.5, 60])
    assert sink.sent == [publication.due for publication in records]
    assert (report.clicks, report.heartbeats, report.stopped) == (3, 1, False)


def test_delays_do_not_add_up() -> None:
    clock = Clock()
    sink = Sent(clock, takes=0.009)
    publish([record(n * 10) for n in range(10_000)], sink, Pace(1, clock), Stop(clock))
    expected = [n * 0.01 for n in range(10_000)]
    assert all(-0.0021 <= sent - due <= 0.01 for sent, due in zip(sink.times, expected, strict=True))


def test_a_replay_that_fell_behind_catches_up() -> None:
    clock = Clock()
    sink = Sent(clock)
    pace = Pace(1, clock)
    assert pace.delay(0) == 0
    clock.now += 5
    publish([record(n * 1_000) for n in range(8)], sink, pace, Stop(clock))
    assert sink.times == pytest.approx([5, 5, 5, 5, 5, 5, 6, 7])


def test_as_fast_as_possible_waits_for_nothing() -> None:
    clock = Clock()
    publish([record(0), record(10**12)], Sent(clock), Pace(None, clock), Stop(clock))
    assert clock.now == 100.0


def test_nothing_is_left_undelivered_while_it_waits_or_when_it_ends() -> None:
    clock = Clock()
    sink = Sent(clock)
    seen = []

    def records() -> Iterator[Publication]:
        yield record(0)
        yield record(60_000)
        yield record(60_001)

    def progress(_sent: int, _due: int) -> None:
        seen.append(sink.unflushed)

    publish(records(), sink, Pace(1, clock), Stop(clock), progress)
    assert set(seen) == {0}
    assert sink.unflushed == 0


def test_a_stop_ends_a_long_wait_and_delivers_what_was_sent() -> None:
    clock = Clock()
    sink = Sent(clock)
    report = publish([record(0), record(3_600_000)], sink, Pace(1, clock), Stop(clock, at=103.5))
    assert isinstance(report, ReplayReport)
    assert (report.clicks, report.stopped, sink.unflushed) == (1, True, 0)
    assert clock.now < 105


def test_a_failed_delivery_ends_it() -> None:
    class Broken(Sent):
        def flush(self) -> None:
            raise UnavailableError("gone")

    with pytest.raises(UnavailableError):
        publish([record(0)], Broken(Clock()), Pace(None), threading.Event())


def test_lines_are_written_as_they_are() -> None:
    stream = io.BytesIO()
    sink = LineSink(stream)
    publish([record(0), record(1)], sink, Pace(None), threading.Event())
    assert stream.getvalue() == b"{}\n{}\n"
