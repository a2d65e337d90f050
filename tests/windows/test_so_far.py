"""What is open of a session now is what would close if no more came."""

from __future__ import annotations

from factory import examples, heartbeat
from hypothesis import given
from oracle import Read, logs, rules_to_keep

from clickstream.consumer.state_format import decode, encode
from clickstream.features.shop import UCI553
from clickstream.windows.partition import ClosedWindow, Partition
from clickstream.windows.rules import Rules
from clickstream.windows.so_far import so_far


def read(rules: Rules, log: list[Read]) -> Partition:
    partition = Partition(rules)
    for one in log:
        partition.advance(*one)
    return partition


@given(rules_to_keep, logs)
@examples(150)
def test_the_latest_visit_is_the_one_that_a_flush_would_close_last(rules: Rules, log: list[Read]) -> None:
    partition = read(rules, log)
    stored = {session_id: encode(state) for session_id, state in partition.sessions.items()}
    closed: dict[str, list[ClosedWindow]] = {}
    before = len(partition.closed)
    newest = max(partition.newest, 0)
    partition.advance(len(log), newest, heartbeat(newest, flush=True))
    for window in partition.closed[before:]:
        closed.setdefault(window.session_id, []).append(window)
    assert stored.keys() == closed.keys()
    for session_id, state in stored.items():
        visit = so_far(session_id, decode(state, UCI553), rules)
        *earlier, latest = closed[session_id]
        assert visit.session == latest.session
        assert visit.earlier == len(earlier)
        assert visit.waiting == len(decode(state, UCI553).pending)
