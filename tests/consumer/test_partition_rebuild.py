"""A partition rebuilt from the middle of its log says which windows it cannot vouch for."""

from __future__ import annotations

from factory import click

from clickstream.consumer.partition import Closed, Partition, Rules

MINUTE = 60_000
RULES = Rules(gap=30 * MINUTE, allowed_lateness=MINUTE, max_clicks=100)


def windows(partition: Partition, minutes: range, first_offset: int = 0) -> list[Closed]:
    """One click a minute of one visitor who never pauses."""
    for offset, minute in enumerate(minutes, first_offset):
        partition.advance(offset, minute * MINUTE, click(minute * MINUTE, session_id="bot"))
    return partition.closed


def test_windows_cut_elsewhere_after_a_rebuild_are_marked_until_the_session_pauses() -> None:
    minutes = range(1_000)
    undisturbed = windows(Partition(RULES), minutes)
    begin = 330
    rebuilt = windows(
        Partition(RULES, newest=(begin - 1) * MINUTE, partial_before=(begin - 1) * MINUTE + RULES.gap),
        minutes[begin:],
        begin,
    )
    truth = {(w.session.opened_at, w.session.clicks) for w in undisturbed}
    assert len(rebuilt) >= 5
    assert all(w.partial for w in rebuilt)
    assert not any((w.session.opened_at, w.session.clicks) in truth for w in rebuilt)


def test_after_a_pause_the_same_session_is_whole_again() -> None:
    partition = Partition(RULES, newest=0, partial_before=RULES.gap)
    windows(partition, range(1, 150))
    windows(partition, range(200, 210), 500)
    windows(partition, range(300, 301), 600)
    assert [w.partial for w in partition.closed] == [True, True, False]
    assert partition.cut == {}
