"""Partitions that nobody in the group has."""

from __future__ import annotations

from clickstream.consumer.coverage import unowned
from clickstream.infra.kafka import GroupState, Member


def members(*partitions: tuple[int, ...]) -> tuple[Member, ...]:
    return tuple(Member(f"m{number}", these, "") for number, these in enumerate(partitions))


def test_of_a_settled_group_those_that_no_member_has() -> None:
    assert unowned(GroupState("Stable", members((0, 1), ())), 4) == {2, 3}
    assert unowned(GroupState("Stable", members((0, 1), (3, 2))), 4) == frozenset()


def test_none_while_the_group_is_being_settled() -> None:
    assert unowned(GroupState("PreparingRebalance", members((), ())), 4) == frozenset()
    assert unowned(GroupState("Dead", ()), 4) == frozenset()
