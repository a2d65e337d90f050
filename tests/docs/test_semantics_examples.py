"""The examples of docs/semantics.md, run through the code, and the page held to their outcome.

An example is a log of one partition. Records are written as on the page:

    a 1 at 10:00:00                    click of session a, order 1
    a A13 at 10:00:00                  click of session a without an order, product A13
    a 2 at 10:00:10, end               the shop says that the visit is over
    a 2 at 10:00:10, written 10:00:00  with another Kafka timestamp than its event time
    heartbeat 10:05:00, flush 10:05:00
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from factory import click, heartbeat, session, step

from clickstream.consumer.partition import Closed, Open, Partition, Rules
from clickstream.consumer.score import comparable, digest
from clickstream.features.click import Click, Heartbeat, InvalidRecordError, parse
from clickstream.features.outcome import proxy_outcome
from clickstream.features.vector import DEFINITIONS, PREFIX, REFERENCE, prefix, reference
from clickstream.producer.dataset import Dataset
from clickstream.producer.rows import View
from clickstream.producer.schedule import ScheduleOptions, make_schedule
from clickstream.producer.synthetic import synthetic_dataset
from clickstream.producer.timeline import make_timeline

PAGE = Path(__file__).parents[2] / "docs" / "semantics.md"

Line = tuple[str, str, str]
"""A record, the watermark after it, and what it does."""


def at(clock: str) -> int:
    """Milliseconds since midnight of "10:00:00" or "10:00:00.001"."""
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3_600_000 + int(minutes) * 60_000 + round(float(seconds) * 1_000)


def clock(ms: int) -> str:
    """The time of day, with milliseconds where there are some."""
    seconds, rest = divmod(ms, 1_000)
    whole = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{whole}.{rest:03}" if rest else whole


def read(text: str) -> tuple[int, Click | Heartbeat]:
    """Kafka timestamp and content of a record written as on the page."""
    if found := re.fullmatch(r"(heartbeat|flush) (\S+)", text):
        return at(found[2]), heartbeat(at(found[2]), flush=found[1] == "flush")
    found = re.fullmatch(r"(\w) (\w+) at ([\d:.]+)(, end)?(?:, written ([\d:.]+))?", text)
    if found is None:
        raise ValueError(f"{text!r} is no record")
    session_id, name, time, end, written = found.groups()
    order = {"order": int(name)} if name.isdigit() else {"product": name}
    record = click(at(time), session_id=session_id, end=bool(end), **order)
    return at(written or time), record


class Watched:
    """A partition, and words for what each record does there."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.partition = Partition(rules)
        self.waiting: list[str] = []
        self.counts = {"late, counted": 0, "duplicate": 0}

    def advance(self, offset: int, text: str) -> Line:
        partition = self.partition
        closed, refused = len(partition.closed), len(partition.refused)
        partition.advance(offset, *read(text))
        words = [f"dead letter `{one.reason}`" for one in partition.refused[refused:]]
        windows = [window.session for window in partition.closed]
        opened = {name: settled(visit, partition) for name, visit in partition.sessions.items()}
        windows += [visit.window for visit in opened.values() if visit.window is not None]
        counts = {
            "late, counted": sum(window.late for window in windows),
            "duplicate": sum(window.duplicates for window in windows)
            + sum(one.copies for visit in opened.values() for one in visit.pending),
        }
        words += [word for word, count in counts.items() if count > self.counts[word]]
        waiting = [
            f"{name} {one.click.order or one.click.product}"
            for name, visit in opened.items()
            for one in visit.pending
        ]
        words += [f"{name} waits" for name in waiting if name not in self.waiting]
        if counts["duplicate"] == self.counts["duplicate"]:
            words += [f"{name} settles" for name in self.waiting if name not in waiting]
        words += [told(window) for window in partition.closed[closed:]]
        self.waiting, self.counts = waiting, counts
        return text, clock(partition.watermark), "; ".join(words) or "nothing"


def settled(visit: Open, partition: Partition) -> Open:
    """The session as it is once everything that the watermark has passed is settled.

    The partition itself does that no sooner than it must.
    """
    copy = msgspec.msgpack.decode(msgspec.msgpack.encode(visit), type=Open)
    assert copy.settle(partition.watermark, partition.rules) is None, "something due was left open"
    return copy


def told(closed: Closed) -> str:
    window = closed.session
    words = [f"{window.clicks} click{'s' if window.clicks > 1 else ''}"]
    for name in ("late", "duplicates", "missing"):
        if count := getattr(window, name):
            words.append(f"{count} {name}")
    return f"**{closed.session_id} from {clock(window.opened_at)} closes by `{closed.closed_by}`**: " + (
        ", ".join(words)
    )


def lines(rules: Rules, *texts: str) -> list[Line]:
    watched = Watched(rules)
    return [watched.advance(offset, text) for offset, text in enumerate(texts)]
