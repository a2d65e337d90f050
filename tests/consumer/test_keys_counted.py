"""A consumer counts by which partitioner the keys lie where they lie, of a bounded part of its sessions."""

from __future__ import annotations

import zlib
from typing import cast

from factory import session, step

from clickstream.consumer.counters import Counters
from clickstream.consumer.ports import GroupClient, StateStore
from clickstream.consumer.scoring import UnscoredWindow
from clickstream.infra.kafka import partition_for
from clickstream.models.online import OnlineModels
from clickstream.windows.partition import ClosedWindow


def windows(names: list[str], crc32: bool) -> list[UnscoredWindow]:
    return [
        UnscoredWindow(
            zlib.crc32(name.encode()) % 8 if crc32 else partition_for(name.encode(), 8),
            ClosedWindow(name, session(step(1)), "gap", 7, False),
            cast(OnlineModels, None),
        )
        for name in names
    ]


def test_keys_of_both_kinds_are_told_apart_and_at_most_twenty_a_step_are_looked_at() -> None:
    counters = Counters(cast(StateStore, None), cast(GroupClient, None), "scores", "scores.open", 8, {})
    names = [f"visit-{number}" for number in range(100)]
    counters.stepped({}, {}, windows(names, crc32=False))
    assert sum(counters.keys.values()) == 20
    assert (counters.keys["crc32"], counters.keys["neither"]) == (0, 0)
    counters.stepped({}, {}, windows(names, crc32=True))
    assert sum(counters.keys.values()) == 40
    assert counters.keys["crc32"] > 10
    assert counters.keys["murmur2"] > 10
