"""Placement: which client's default partitioner puts a key on the partition where it lies.

All clicks of a session must lie on one partition, so all producers must agree. Java and kafka-python take
murmur2 of the key; librdkafka, and what is built on it, CRC32 unless it is told otherwise.
"""

from __future__ import annotations

import zlib
from typing import Literal, get_args

from clickstream.infra.kafka import partition_for

Partitioner = Literal["both", "murmur2", "crc32", "neither"]
"""Which of the two agree with a place; by chance a key that one of them places agrees with the other too."""

PARTITIONERS: tuple[Partitioner, ...] = get_args(Partitioner)


def places_of(key: bytes, partitions: int) -> set[int]:
    """Where the default partitioners put `key`."""
    return {partition_for(key, partitions), zlib.crc32(key) % partitions}


def partitioner_of(key: bytes, partition: int, partitions: int) -> Partitioner:
    """Which default partitioners put `key` on this one of `partitions`."""
    murmur2 = partition_for(key, partitions) == partition
    crc32 = zlib.crc32(key) % partitions == partition
    return "both" if murmur2 and crc32 else "murmur2" if murmur2 else "crc32" if crc32 else "neither"
