"""A session that is to be forgotten teaches no model: neither what was open of it, nor what had closed."""

from __future__ import annotations

from typing import Any

import orjson
from scored_log import START, ScoredLog

from clickstream.offline.recorded import RecordedSessions, sessions_of
from clickstream.offline.sample import as_window


def day() -> ScoredLog:
    """One visit each that closes, and later one that stays open."""
    log = ScoredLog()
    for name in ("ann", "bob"):
        log.click(name, 0, 1)
        log.click(name, 1, 2)
    log.heartbeat(60)
    log.click("ann", 60, 1)
    return log


def forget(log: ScoredLog, name: str, partition: int = 0) -> None:
    log.send(name.encode(), orjson.dumps({"type": "forget", "session_id": name}), START, partition)


def recorded(log: ScoredLog) -> RecordedSessions[Any]:
    records: Any = log.clicks
    return sessions_of(records, {0: 0, 1: 0}, log.settings, as_window)


def test_what_closed_before_and_what_is_open_is_left_out_and_what_comes_later_is_not() -> None:
    log = day()
    everything = recorded(log)
    assert ([one.session_id for one in everything.sessions], everything.open) == (["ann", "bob"], 1)
    forget(log, "ann")
    found = recorded(log)
    assert [one.session_id for one in found.sessions] == ["bob"]
    assert (found.forgotten, found.open, found.clicks) == (1, 0, everything.clicks)
    log.click("ann", 61, 1)
    log.heartbeat(120)
    again = recorded(log)
    assert [one.session_id for one in again.sessions] == ["bob", "ann"]
    assert again.sha256 != everything.sha256


def test_what_is_to_be_forgotten_on_another_partition_is_another_session() -> None:
    log = day()
    forget(log, "ann", partition=1)
    assert [one.session_id for one in recorded(log).sessions] == ["ann", "bob"]
