"""What a few seconds of looks say: rates, lag, what is next. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from clickstream.operate.group import Lane, Look
from clickstream.operate.scrape import Told, quantile

_LOOKS = 6
"""Rates are over so many looks: consumers commit about once a second."""


class Rates(NamedTuple):
    """Records a second: that came, that were committed; and scores a second."""

    arriving: float = 0.0
    done: float = 0.0
    scores: float = 0.0


class Latency(NamedTuple):
    """Close to score, in seconds: half, and 99 of 100, are faster; None without a score."""

    p50: float | None
    p99: float | None


class View:
    """The last looks at a group.

    `closes_after_ms` is the event time after which a silent session closes (T1, T3).
    """

    def __init__(self, group: str, closes_after_ms: int) -> None:
        self.group = group
        self._closes_after_ms = closes_after_ms
        self._looks: deque[Look] = deque(maxlen=_LOOKS)
        self._told: deque[list[Told]] = deque(maxlen=_LOOKS)

    def add(self, look: Look | None, told: Sequence[Told] = ()) -> None:
        """Take in a look, None where Kafka did not answer (the last one stays), and what consumers told."""
        self._told.append(list(told))
        if look is not None:
            self._looks.append(look)

    @property
    def now(self) -> Look | None:
        """The last look."""
        return self._looks[-1] if self._looks else None

    @property
    def consumers(self) -> list[Told]:
        """What each told last."""
        return self._told[-1] if self._told else []

    def rates(self, partition: int | None = None) -> Rates:
        """Of one partition, or of all."""
        if self._seconds() <= 0:
            return Rates()
        lanes = [
            pair
            for pair in zip(self._looks[0].lanes, self._looks[-1].lanes, strict=False)
            if partition in (None, pair[0].partition)
        ]
        arriving = sum(now.end - before.end for before, now in lanes)
        done = sum((now.committed or 0) - (before.committed or 0) for before, now in lanes)
        scores = sum(now.scores - before.scores for before, now in lanes)
        if partition is None:
            scores = self._looks[-1].scores - self._looks[0].scores
        return Rates(*(max(count, 0) / self._seconds() for count in (arriving, done, scores)))

    def dead_letters_a_second(self) -> float:
        """Dead letters a second."""
        if self._seconds() <= 0:
            return 0.0
        return (self._looks[-1].dead_letters - self._looks[0].dead_letters) / self._seconds()

    def event_time(self) -> int | None:
        """The largest that was worked through, ms."""
        return max(_times(self.now.lanes), default=None) if self.now else None

    def speed(self) -> float | None:
        """Event time that passes in a second of the clock; None before it is known."""
        if self._seconds() <= 0:
            return None
        before, now = (max(_times(self._looks[i].lanes), default=None) for i in (0, -1))
        return None if before is None or now is None else (now - before) / 1000 / self._seconds()

    def closes_within_s(self) -> float | None:
        """Seconds of the clock after which a silent session is closed; None where event time stands."""
        speed = self.speed()
        return self._closes_after_ms / 1000 / speed if speed and speed > 0 else None

    def latency(self, consumer: int) -> Latency:
        """Of the last seconds, of one consumer; of all its time where nothing closed lately."""
        now = self.consumers[consumer]
        then = self._told[0][consumer] if len(self._told[0]) > consumer else now
        before = then.latency if quantile(0.5, now.latency, then.latency) is not None else ()
        return Latency(quantile(0.5, now.latency, before), quantile(0.99, now.latency, before))

    def as_dict(self, state: str = "") -> dict[str, Any]:
        """All of it, for JSON; `state` is what a person should know, null where all is well."""
        look = self.now
        if look is None:
            return {"group": self.group, "state": state or None}
        rates = self.rates()
        return {
            "group": self.group,
            "state": state or None,
            "group_state": look.group.state,
            "members": {member.name: list(member.partitions) for member in look.group.members},
            "records_a_second": round(rates.arriving, 1),
            "committed_a_second": round(rates.done, 1),
            "scores_a_second": round(rates.scores, 1),
            "open_sessions": sum(lane.open_sessions for lane in look.lanes),
            "lag_records": sum(lane.lag for lane in look.lanes),
            "lag_event_seconds": max((lane.behind_ms for lane in look.lanes), default=0) / 1000,
            "dead_letters_seen": look.dead_letters,
            "event_time": self.event_time(),
            "event_seconds_a_second": self.speed(),
            "silent_session_closes_within_seconds": self.closes_within_s(),
            "partitions": [
                {
                    **lane._asdict(),
                    "lag_records": lane.lag,
                    "lag_event_seconds": lane.behind_ms / 1000,
                    "records_a_second": round(self.rates(lane.partition).arriving, 1),
                    "committed_a_second": round(self.rates(lane.partition).done, 1),
                }
                for lane in look.lanes
            ],
            "consumers": [
                {
                    "address": told.address,
                    "away": told.away or None,
                    "ready": told.ready,
                    "reasons": told.reasons,
                    "partitions": told.partitions,
                    "latency": self.latency(number)._asdict(),
                    "metrics": told.values,
                }
                for number, told in enumerate(self.consumers)
            ],
        }

    def _seconds(self) -> float:
        return self._looks[-1].at - self._looks[0].at if self._looks else 0.0


def _times(lanes: Sequence[Lane]) -> list[int]:
    return [lane.newest for lane in lanes if lane.newest is not None]
