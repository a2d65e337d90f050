"""Partition against an oracle that follows the rules as naively as they read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
import pytest
from factory import STORED, examples, heartbeat
from hypothesis import event, given
from hypothesis import strategies as st
from oracle import (
    SESSIONS,
    UNBOUNDED,
    Draw,
    Oracle,
    Read,
    Result,
    crowded_logs,
    draws_of_a_log,
    logs,
    rules_to_keep,
    shown,
    with_an_order_of_its_own,
    written,
)

from clickstream.records.click import Click, Forget, Heartbeat
from clickstream.windows import partition as partition_module
from clickstream.windows.open_session import OpenSession
from clickstream.windows.partition import ClosedWindow, Partition, RebuildPoint, RefusedRecord
from clickstream.windows.rules import Rules

pytestmark = pytest.mark.timeout(3_600)  # HYPOTHESIS_PROFILE=thorough takes minutes


class Outcome(NamedTuple):
    """What a run over a log leaves."""

    closed: list[Result]
    partial: list[bool]
    refused: list[tuple[int, str]]
    newest: int
    open_sessions: int
    rebuild_points: list[RebuildPoint]
    doubtful: dict[str, int]
    early: dict[str, int]


def new_partition(rules: Rules, **carried: Any) -> Partition:
    return Partition(rules, rebuild_point_every=5, horizon=20, **carried)


def outcome(
    partition: Partition, closed: Iterable[ClosedWindow], refused: Iterable[RefusedRecord]
) -> Outcome:
    return Outcome(
        [shown(window) for window in closed],
        [window.partial for window in closed],
        [(one.offset, one.reason) for one in refused],
        partition.newest,
        partition.open_sessions,
        partition.rebuild_points,
        partition.doubt.sessions,
        {name: until for name, until in partition.early.items() if until >= partition.watermark},
    )


def in_one_step(rules: Rules, log: Sequence[Read], **carried: Any) -> Outcome:
    partition = new_partition(rules, **carried)
    for read in log:
        partition.advance(*read)
    return outcome(partition, partition.closed, partition.refused)


def in_steps(rules: Rules, log: Sequence[Read], sizes: Sequence[int], partial_before: int) -> Outcome:
    """As the engine does it: each step by a new Partition that is given no more than it must have."""
    stored: dict[str, tuple[bytes, int]] = {}
    partition = new_partition(rules, partial_before=partial_before)
    closed: list[ClosedWindow] = []
    refused: list[RefusedRecord] = []
    left = list(log)
    for size in cycle(sizes):
        records, left = left[:size], left[size:]
        partition = new_partition(
            rules,
            newest=partition.newest,
            open_sessions=partition.open_sessions,
            rebuild_points=partition.rebuild_points,
            doubtful=partition.doubt.sessions,
            early=partition.early,
            partial_before=partition.doubt.before,
            closings=partition.closings,
        )
        wanted = needed(partition, records, {name: due for name, (_, due) in stored.items()})
        partition.load({name: copied(stored[name][0]) for name in wanted if name in stored})
        for read in records:
            partition.advance(*read)
        closed += partition.closed
        refused += partition.refused
        kept, deleted = partition.changes()
        for name in deleted:
            stored.pop(name, None)
        stored |= {name: (msgspec.msgpack.encode(visit), due) for name, (visit, due) in kept.items()}
        assert len(stored) == partition.open_sessions
        assert all(due > partition.watermark for _, due in stored.values()), "something due was left open"
        if not left:
            break
    return outcome(partition, closed, refused)


def needed(partition: Partition, records: Sequence[Read], dues: dict[str, int]) -> set[str]:
    """The session ids that a store finds for what a step needs."""
    named, until, first = partition.needs(
        (read.offset for read in records), (read.record for read in records)
    )
    by_due = sorted(dues, key=lambda name: (dues[name], name))
    return named | {name for name, due in dues.items() if due <= until} | set(by_due[:first])


def copied(encoded: bytes) -> OpenSession:
    stored: OpenSession = msgspec.msgpack.decode(encoded, type=STORED)
    return stored


@given(rules=rules_to_keep, log=logs)
@examples(600)
def test_what_closes_and_what_is_refused_is_what_the_rules_say(rules: Rules, log: list[Read]) -> None:
    oracle = Oracle(rules)
    for read in log:
        oracle.read(*read)
    found = in_one_step(rules, log)
    assert found.closed == oracle.closed
    assert found.refused == oracle.refused
    assert (found.newest, found.open_sessions) == (oracle.newest, len(oracle.visits))
    for window in found.closed:
        event(f"closed by {window.closed_by}")


@given(rules=rules_to_keep, lateness=st.sampled_from([2, 4, 6]), log=crowded_logs)
@examples(600)
def test_late_clicks_and_copies_of_a_busy_session_count_as_the_rules_say(
    rules: Rules, lateness: int, log: list[Read]
) -> None:
    rules = replace(rules, allowed_lateness=lateness)
    oracle = Oracle(rules)
    for read in [*log, Read(1_000, 10_000, heartbeat(10_000))]:
        oracle.read(*read)
    found = in_one_step(rules, [*log, Read(1_000, 10_000, heartbeat(10_000))])
    assert (found.closed, found.refused) == (oracle.closed, oracle.refused)


@given(rules=rules_to_keep, log=logs, names=st.sets(st.sampled_from(SESSIONS), min_size=1))
@examples(200)
def test_what_was_open_of_a_forgotten_session_leaves_no_trace_and_the_others_are_as_without_it(
    rules: Rules, log: list[Read], names: set[str]
) -> None:
    rules = replace(rules, max_open_sessions=UNBOUNDED)
    partition = new_partition(rules)
    for read in log:
        partition.advance(*read)
    before, dropped = len(partition.closed), names & partition.sessions.keys()
    partition.forgotten.clear()
    for offset, name in enumerate(SESSIONS, 500):
        if name in names:
            partition.advance(offset, None, Forget(session_id=name))
    assert partition.forgotten == [500 + SESSIONS.index(name) for name in sorted(dropped)]
    partition.advance(1_000, 10_000, heartbeat(10_000))
    afterwards = partition.closed[before:]
    assert not {one.session_id for one in afterwards} & names
    assert partition.open_sessions == 0
    kept, deleted = partition.changes()
    assert not kept
    assert dropped <= set(deleted)
    others = in_one_step(rules, [*log, Read(1_000, 10_000, heartbeat(10_000))]).closed[before:]
    assert [shown(one) for one in afterwards] == [one for one in others if one.session_id not in names]


@given(rules=rules_to_keep, log=logs)
@examples(400)
def test_no_two_windows_of_a_log_have_one_score_id(rules: Rules, log: list[Read]) -> None:
    ids = [(window.session_id, window.opened_at) for window in in_one_step(rules, log).closed]
    assert len(ids) == len(set(ids))


@given(rules=rules_to_keep, log=logs, sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4))
@examples(400)
def test_what_is_put_off_for_sessions_of_many_waiting_clicks_changes_nothing(
    rules: Rules, log: list[Read], sizes: list[int]
) -> None:
    """Here two waiting clicks are many."""
    expected = in_one_step(rules, log)
    with patch.object(partition_module, "_MANY", 1):
        assert in_one_step(rules, log) == expected
        assert in_steps(rules, log, sizes, -1) == expected


@given(
    rules=rules_to_keep,
    log=logs,
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    partial_before=st.sampled_from([-1, 10]),
)
@examples(400)
def test_how_the_log_is_cut_into_steps_changes_nothing(
    rules: Rules, log: list[Read], sizes: list[int], partial_before: int
) -> None:
    in_one = in_one_step(rules, log, partial_before=partial_before)
    assert in_steps(rules, log, sizes, partial_before) == in_one


@given(rules=rules_to_keep, log=logs, start=st.integers(0, 29))
@examples(200)
def test_a_rebuild_from_any_place_marks_every_window_that_it_did_not_get_right(
    rules: Rules, log: list[Read], start: int
) -> None:
    """An order has one time here. The bounds act by what is open, so they are far away.

    Nothing is flushed: what that closed before its time only the scores tell, not the log from a place on.
    """
    rules = replace(rules, max_pending=UNBOUNDED, max_open_sessions=UNBOUNDED)
    log = [*map(with_an_order_of_its_own, map(unflushed, log)), Read(1_000, 10_000, heartbeat(10_000))]
    newest = in_one_step(rules, log[:start]).newest
    rebuilt = in_one_step(rules, log[start:], newest=newest, partial_before=newest + rules.gap)
    right = in_one_step(rules, log).closed
    unmarked = [one for one, partial in zip(rebuilt.closed, rebuilt.partial, strict=True) if not partial]
    assert [one for one in unmarked if one not in right] == []


def unflushed(read: Read) -> Read:
    record = read.record
    return read._replace(record=heartbeat(record.event_time)) if isinstance(record, Heartbeat) else read


@given(rules=rules_to_keep, log=logs)
@examples(200)
def test_a_session_is_due_at_the_first_watermark_that_closes_a_window(rules: Rules, log: list[Read]) -> None:
    partition = new_partition(rules)
    for read in log:
        partition.advance(*read)
        for session_id, visit in partition.sessions.items():
            due = visit.due(rules)
            encoded = msgspec.msgpack.encode(visit)
            watermarks = range(partition.watermark, due + 1)
            closing = (w for w in watermarks if copied(encoded).settle(session_id, w, rules))
            assert next(closing, None) == due


@given(rules=rules_to_keep, log=logs)
@examples(200)
def test_windows_that_a_heartbeat_closes_come_in_order_of_due_time_and_session(
    rules: Rules, log: list[Read]
) -> None:
    partition = new_partition(rules)
    for read in log:
        watermark, before = partition.watermark, len(partition.closed)
        partition.advance(*read)
        if isinstance(read.record, Heartbeat) and not read.record.flush:
            dues = [(due_of(closed, rules), closed.session_id) for closed in partition.closed[before:]]
            assert dues == sorted(dues)
            assert all(watermark < due <= partition.watermark for due, _ in dues)


def due_of(closed: ClosedWindow, rules: Rules) -> int:
    last: int = closed.session.last.event_time
    return last + (rules.gap if closed.closed_by == "gap" else 0) + 1


@given(
    rules=rules_to_keep,
    draws=draws_of_a_log,
    delays=st.binary(min_size=60, max_size=60),
    homes=st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)),
)
@examples(400)
def test_any_interleaving_within_the_allowed_lateness_gives_equal_windows(
    rules: Rules, draws: list[Draw], delays: bytes, homes: tuple[int, int, int]
) -> None:
    """Copies included, and over any number of partitions. The bounds act by the log, so they are far away."""
    rules = replace(rules, max_pending=UNBOUNDED, max_open_sessions=UNBOUNDED)
    clicks = [read.record for read in written(draws) if isinstance(read.record, Click)]
    in_order = sorted(clicks, key=lambda one: one.event_time)
    arrivals = [
        (one.event_time + delay % (rules.allowed_lateness + 1), one)
        for one, delay in zip(clicks * 2, delays, strict=False)
    ]
    arrivals.sort(key=lambda arrival: arrival[0])
    partitions: list[list[Click]] = [[], [], []]
    for _, one in arrivals:
        partitions[homes[SESSIONS.index(one.session_id)]].append(one)
    found = [window for some in partitions for window in windows(rules, some)]
    assert sorted(found) == sorted(windows(rules, in_order))


def windows(rules: Rules, clicks: Iterable[Click]) -> list[Result]:
    """What closes when time goes far beyond the last click; without the log's offsets and the copies."""
    log = [Read(offset, one.event_time, one) for offset, one in enumerate(clicks)]
    closed = in_one_step(rules, [*log, Read(len(log), 10_000, heartbeat(10_000))]).closed
    return [
        window._replace(closing_offset=0, first_offset=0, last_offset=0, duplicates=0) for window in closed
    ]
