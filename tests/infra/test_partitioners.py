"""Which default partitioner puts a key where it lies."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from clickstream.infra.kafka import partition_for
from clickstream.infra.placement import partitioner_of


@given(st.binary(min_size=1, max_size=40), st.integers(1, 32), st.data())
def test_a_place_is_that_of_murmur2_of_crc32_of_both_or_of_neither(
    key: bytes, partitions: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, partitions - 1))
    found = partitioner_of(key, place, partitions)
    assert (found in ("murmur2", "both")) == (place == partition_for(key, partitions))
    assert (found in ("crc32", "both")) == (place == zlib.crc32(key) % partitions)


def test_producers_that_agree_leave_only_one_of_the_two_alone() -> None:
    keys = [b"visit-%d" % n for n in range(200)]
    java = {partitioner_of(key, partition_for(key, 8), 8) for key in keys}
    librdkafka = {partitioner_of(key, zlib.crc32(key) % 8, 8) for key in keys}
    assert java == {"murmur2", "both"}
    assert librdkafka == {"crc32", "both"}
