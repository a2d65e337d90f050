"""A step as values: what the records of a poll say, what it publishes. Pure, no I/O.

`Partition.needs` says which states a step must load; `processor.py` does the rest, in the order it states.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clickstream.consumer.store import OutboxRecord
from clickstream.infra.kafka import Record
from clickstream.records.click import ClickFields, Forget, Heartbeat, InvalidRecordError
from clickstream.records.score import KEY_CAP, VALUE_CAP, DeadLetter
from clickstream.records.shop_click import ClickParser
from clickstream.windows.partition import Partition, RefusedRecord

ParsedRecord = ClickFields | Heartbeat | Forget | InvalidRecordError
"""What a record says, or why it cannot be used."""


class TakenRecords(NamedTuple):
    """The records that a step took of one partition, and how many of them were clicks and heartbeats."""

    records: Sequence[Record]
    clicks: int
    heartbeats: int


def parse_records(parser: ClickParser, records: Sequence[Record], max_bytes: int) -> list[ParsedRecord]:
    """Parse each record; one that cannot be used becomes the error that says why."""
    read, parsed = parser.read, list[ParsedRecord]()
    for record in records:
        try:
            parsed.append(read(record.value, record.key, max_bytes))
        except InvalidRecordError as error:
            parsed.append(error)
    return parsed


def advance(
    logic: Partition, records: Sequence[Record], parsed: Sequence[ParsedRecord], most_closed: int
) -> TakenRecords:
    """Take the records in order: all, or up to the one that closed the last of `most_closed` windows."""
    count, take, closed = 0, logic.advance, logic.closed
    for raw, record in zip(records, parsed, strict=True):
        count += 1
        if isinstance(record, InvalidRecordError):
            logic.refuse(raw.offset, record.reason, record.detail)
            continue
        take(raw.offset, raw.timestamp, record)
        if len(closed) >= most_closed:
            break
    # By type alone: a click is of one type or another, by how it was read.
    kinds = Counter(map(type, parsed[:count]))
    heartbeats = kinds[Heartbeat]
    others = heartbeats + kinds[Forget] + kinds[InvalidRecordError]
    return TakenRecords(records[:count], count - others, heartbeats)


def outbox_of(
    scores: Sequence[OutboxRecord],
    refused: Sequence[RefusedRecord],
    records: Sequence[Record],
    letters_topic: str,
) -> list[OutboxRecord]:
    """The records that a step of one partition publishes, in the order of those that brought them about."""
    by_offset: Mapping[int, Record] = {record.offset: record for record in records} if refused else {}
    letters = [_letter(by_offset[one.offset], one, letters_topic) for one in refused]
    return sorted([*scores, *letters], key=lambda record: record.offset)


def _letter(record: Record, refused: RefusedRecord, topic: str) -> OutboxRecord:
    letter = DeadLetter(
        reason=refused.reason,
        detail=refused.detail,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=_base64(record.key, KEY_CAP),
        value=_base64(record.value, VALUE_CAP),
        size=len(record.value or b""),
    )
    key = (record.key or b"")[:KEY_CAP]
    return OutboxRecord(refused.offset, topic, key, letter.model_dump_json().encode())


def _base64(data: bytes | None, cap: int) -> str | None:
    return None if data is None else base64.b64encode(data[:cap]).decode()
