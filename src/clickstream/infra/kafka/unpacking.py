"""Batches that cannot be unpacked: named, where the client would ask for them for ever."""

from __future__ import annotations

from typing import Any

import kafka
from kafka import codec
from kafka.consumer.fetcher import Fetcher

from clickstream.infra.errors import ConfigurationError
from clickstream.infra.kafka.errors import DamagedBatchError
from clickstream.infra.kafka.opening import opened
from clickstream.infra.kafka.records import Record

_CODECS = {
    0: ("none", lambda: True),
    1: ("gzip", codec.has_gzip),
    2: ("snappy", codec.has_snappy),
    3: ("lz4", codec.has_lz4),
    4: ("zstd", codec.has_zstd),
}


def codecs() -> dict[str, bool]:
    """Every codec that a producer may compress with, and whether it can be unpacked here."""
    return {name: bool(there()) for name, there in _CODECS.values()}


class _Batches:
    """The batches of one fetch of a partition; remembers which one is being unpacked."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.current: Any = None

    def next_batch(self) -> Any:
        self.current = None
        self.current = self._records.next_batch()
        return self.current


class Unpacked(Fetcher.PartitionRecords):  # type: ignore[misc]
    """Records of one fetch of a partition, which end with the first that cannot be unpacked.

    The client's own do not: a generator that raised is exhausted and still there, and the fetcher asks it for
    records for ever, inside one poll.
    """

    def __init__(self, fetch_offset: int, tp: Any, records: Any, **more: Any) -> None:
        self._batches = _Batches(records)
        super().__init__(fetch_offset, tp, self._batches, **more)

    def take(self, n: int | None = None) -> list[Record]:
        """The next records; raises DamagedBatchError where there is one that cannot be unpacked."""
        try:
            taken: list[Record] = super().take(n)
        except Exception as error:
            # Whatever a codec raises: OSError, EOFError, RuntimeError, errors of its own.
            self.drain()
            raise _damaged(
                self.topic_partition, self.next_fetch_offset, self._batches.current, error
            ) from error
        return taken


def _damaged(tp: Any, offset: int, batch: Any, error: Exception) -> DamagedBatchError:
    name, behind = "a batch", None
    if getattr(batch, "magic", 0) == 2:
        packed = _CODECS.get(batch.compression_type, (f"unknown codec {batch.compression_type}",))[0]
        name = f"the batch of offsets {batch.base_offset} to {batch.last_offset}, compression {packed},"
        behind = batch.next_offset
    return DamagedBatchError(tp.topic, tp.partition, offset, name, f"{type(error).__name__}: {error}", behind)


def new_consumer(**options: Any) -> Any:
    """A consumer of the client's that cannot hang in a batch that it fails to unpack."""
    consumer = opened(kafka.KafkaConsumer, options)
    if not callable(getattr(consumer._fetcher, "PartitionRecords", None)):
        raise ConfigurationError(
            f"kafka-python {kafka.__version__} has no PartitionRecords", "Install kafka-python==3.0.12."
        )
    consumer._fetcher.PartitionRecords = Unpacked
    return consumer
