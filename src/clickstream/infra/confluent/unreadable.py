"""A batch that librdkafka could not unpack, named as everywhere: by its offsets, and what to do about it."""

from __future__ import annotations

import time
from contextlib import closing

from clickstream.infra.errors import ClickstreamError
from clickstream.infra.kafka import DamagedBatchError, Reader
from clickstream.infra.settings import Settings


def damaged_batch(
    settings: Settings, topic: str, partition: int, offset: int, reason: str
) -> DamagedBatchError:
    """The error to raise for the batch at `offset`; `reason` is what librdkafka said of it.

    librdkafka passes over the batch and does not say where it ends, so kafka-python looks at it once more.
    """
    deadline = time.monotonic() + settings.patience / 1000
    try:
        with closing(Reader(settings, topic, only=[partition])) as reader:
            reader.seek(partition, offset)
            while not reader.poll(500) and time.monotonic() < deadline:
                pass
    except DamagedBatchError as error:
        return error
    except ClickstreamError:
        pass
    return DamagedBatchError(topic, partition, offset, "a batch", reason)
