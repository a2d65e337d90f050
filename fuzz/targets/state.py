"""What Redis holds of a partition, and Kafka beside an offset: refused in words, or state that can be
worked on.

Parts: the metadata, a line `name=value` each; a session; online models; the note beside an offset.
Checksums are made right. Past them a session is worked with as a consumer does, up to what it stores again:
its numbers add up, or the partition is damaged.
"""

from __future__ import annotations

import zlib
from contextlib import suppress

import orjson

from clickstream.consumer.note import read_note
from clickstream.consumer.scoring import cases_of
from clickstream.consumer.state_format import (
    STATE_VERSION,
    DamagedError,
    ForgedError,
    Meta,
    checksum_of,
    decode,
    encode,
    read_meta,
    relied_on,
    texts_of,
    unpack_online,
)
from clickstream.features.shop import shop_of
from clickstream.features.shop_file import built_in
from clickstream.infra.errors import BundleError, RefusedError
from clickstream.infra.kafka import CommittedOffset
from clickstream.models.online import read_online_state
from clickstream.records.click import Heartbeat
from clickstream.windows.open_session import OpenSession
from clickstream.windows.partition import Partition
from clickstream.windows.rules import Rules
from fuzz.contract import parts, refusing

_SHOPS = [shop_of(built_in(name)) for name in ("uci553", "online-store")]
_NOW = 1_000_000
_BUNDLE = "20260101T000000Z-00000000"


def check(data: bytes) -> None:
    """Read each of the four."""
    meta, session, online, note = parts(data, 4)
    _read_meta(meta)
    for shop in _SHOPS:
        with refusing(RefusedError):
            decode(session, shop)
        with refusing(RefusedError):
            state = decode(_checked(session), shop)
            decode(encode(state), shop)
            with suppress(ForgedError), relied_on(0):
                _work(Rules(shop=shop), state)
    for packed in (online, b"%s\n%s" % (_BUNDLE.encode(), _summed(online))):
        owner, kept = unpack_online(packed)
        with refusing(BundleError):
            read_online_state(kept, owner)
    read_note(CommittedOffset(1, note.decode(errors="replace")))


def _work(rules: Rules, state: OpenSession) -> None:
    partition = Partition(rules, _NOW, 1)
    partition.load({"visit": state})
    partition.advance(1, _NOW, Heartbeat(event_time=_NOW + 1))
    for kept, _ in partition.changes()[0].values():
        encode(kept)
    partition.advance(2, _NOW, Heartbeat(event_time=_NOW + 2, flush=True))
    for window in partition.closed:
        closing, drawn, lesson = cases_of(rules.shop, window.session)
        facts = [window.session.missing, window.session.evidence, lesson.outcome._asdict()]
        orjson.dumps([*facts, *(case.whole for case in (closing, drawn, lesson.case) if case is not None)])


def _read_meta(lines: bytes) -> None:
    pairs = [line.partition(b"=")[::2] for line in lines.split(b"\n") if line]
    for texts in (texts_of(pairs), _with_sum(texts_of(pairs))):
        # Its readers make a DamagedError of a ValueError.
        with refusing(RefusedError, DamagedError, ValueError):
            meta = read_meta(texts)
            assert isinstance(meta, Meta)


def _with_sum(values: dict[str, str]) -> dict[str, str]:
    values = values | {"sum": ""}
    return values | {"sum": checksum_of(values)}


def _checked(state: bytes) -> bytes:
    return bytes((0x80 | STATE_VERSION,)) + zlib.crc32(state).to_bytes(4) + state


def _summed(payload: bytes) -> bytes:
    return b"clickstream-online-1 %s 7 %d\n%s" % (_BUNDLE.encode(), zlib.crc32(payload), payload)
