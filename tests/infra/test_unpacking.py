"""A fetch with a batch that cannot be unpacked ends with it, by name, in bounded time."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition

from clickstream.infra.kafka import DamagedBatchError, Record, codecs
from clickstream.infra.kafka.unpacking import Unpacked

TP = TopicPartition("clicks", 3)
_NUMBER = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_CRC, _ATTRIBUTES, _PAYLOAD = 17, 21, 61
_POLLS = 50


def batch(first: int, records: int, codec: str) -> bytearray:
    """A batch as a producer writes it."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=_NUMBER[codec], batch_size=1 << 20)
    for number in range(records):
        builder.append(timestamp=1_000, key=b"s%d" % number, value=b"a click, again a click" * 8, headers=[])
    builder.close()
    made = bytearray(builder.buffer())
    made[0:8] = first.to_bytes(8, "big")
    return made


def sealed(made: bytearray) -> bytearray:
    """With a checksum that fits: damage that only unpacking can find."""
    made[_CRC:_ATTRIBUTES] = crc32c(bytes(made[_ATTRIBUTES:])).to_bytes(4, "big")
    return made


def read(log: bytes) -> tuple[list[Record], DamagedBatchError | None]:
    """What a fetch gives, taken as the client's fetcher does: until there is no more."""
    part = Unpacked(0, TP, MemoryRecords(log), check_crcs=True)
    records: list[Record] = []
    for _ in range(_POLLS):
        if not part:
            return records, None
        try:
            records += part.take(2)
        except DamagedBatchError as error:
            assert not part, "it would be asked again, for ever"
            return records, error
    raise AssertionError("a fetcher would ask for ever")


def garbage(made: bytearray) -> bytearray:
    made[_PAYLOAD:] = random.Random(1).randbytes(len(made) - _PAYLOAD)
    return sealed(made)


def unknown_codec(made: bytearray) -> bytearray:
    made[_ATTRIBUTES + 1] |= 7
    return sealed(made)


def flipped(made: bytearray) -> bytearray:
    made[_PAYLOAD + 5] ^= 0xFF
    return made


@pytest.mark.parametrize("codec", _NUMBER)
def test_every_codec_that_a_producer_may_use_is_read(codec: str) -> None:
    records, error = read(bytes(batch(0, 5, codec)))
    assert error is None
    assert [record.offset for record in records] == [0, 1, 2, 3, 4]
    assert codecs() == dict.fromkeys(_NUMBER, True)


@pytest.mark.parametrize("codec", _NUMBER)
@pytest.mark.parametrize("damage", [garbage, unknown_codec, flipped])
def test_what_comes_before_a_damaged_batch_is_delivered_and_the_batch_is_named(
    codec: str, damage: Callable[[bytearray], bytearray]
) -> None:
    log = batch(0, 3, codec) + damage(batch(3, 4, codec)) + batch(7, 1, codec)
    records, error = read(bytes(log))
    assert [record.offset for record in records] == [0, 1, 2]
    assert error is not None
    assert (error.partition, error.offset) == (3, 3)
    assert "offsets 3 to 6" in error.what
    assert "(7)" in error.remedy
    assert error.exit_code == 78
    assert not error.retriable


@given(st.data())
def test_no_damage_of_any_bytes_makes_a_fetch_endless(data: st.DataObject) -> None:
    codec = data.draw(st.sampled_from(sorted(_NUMBER)))
    made = batch(0, 3, codec)
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(_ATTRIBUTES, len(made) - 1))] = data.draw(st.integers(0, 255))
    records, error = read(bytes(batch(0, 2, codec) + sealed(made)))
    assert [record.offset for record in records[:2]] == [0, 1]
    assert error is None or error.partition == 3


def test_a_header_that_is_not_text_is_named_too() -> None:
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 16)
    builder.append(timestamp=1, key=b"s", value=b"v", headers=[("trace", b"1")])
    builder.close()
    made = sealed(bytearray(bytes(builder.buffer()).replace(b"trace", b"tr\xffce")))
    records, error = read(bytes(made))
    assert not records
    assert error is not None
    assert error.offset == 0
