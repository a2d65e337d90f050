"""Which partition a key goes to."""

from __future__ import annotations

from kafka.partitioner import murmur2


def partition_for(key: bytes, partitions: int) -> int:
    """The partition that the Java client's default partitioner gives a key (murmur2)."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
